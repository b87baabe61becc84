//! Prints to its standard output and error in turns, something that isn't text too, and ends in the middle of a line.

use std::io::{self, Write};

fn main() -> io::Result<()> {
    println!("out 1");
    eprintln!("error 1");
    println!("out 2");
    io::stdout().write_all(b"\xff is no character\n")?;
    eprint!("error with");
    eprintln!(" two parts");
    io::stdout().write_all(b"no end")?;
    io::stdout().flush()
}
