//! Prints lines as fast as it can: as many as its argument says, or for ever.

use std::{
    env,
    io::{self, BufWriter, Write},
};

fn main() -> io::Result<()> {
    let lines = env::args()
        .nth(1)
        .and_then(|lines| lines.parse().ok())
        .unwrap_or(u64::MAX);
    let mut output = BufWriter::new(io::stdout());
    for line in 0..lines {
        writeln!(output, "{line} bottles of water on the wall")?;
    }
    output.flush()
}
