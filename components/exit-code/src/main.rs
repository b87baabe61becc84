//! Exits with the code in its first argument; without one, its `main` returns an error.

use std::{env, num::ParseIntError, process};

fn main() -> Result<(), ParseIntError> {
    let code = env::args().nth(1).unwrap_or_default().parse()?;
    process::exit(code)
}
