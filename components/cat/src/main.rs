//! Copies the files that its arguments name, or else its standard input, to its standard output. An argument `>FILE` writes that file instead.

use std::{
    env,
    fs::File,
    io::{self, Read, Write},
};

fn main() -> io::Result<()> {
    let mut output: Box<dyn Write> = Box::new(io::stdout());
    let mut any = false;
    for argument in env::args().skip(1) {
        match argument.strip_prefix('>') {
            Some(file) => output = Box::new(File::create(file)?),
            None => {
                any = true;
                copy(File::open(argument)?, &mut output)?;
            }
        }
    }
    if !any {
        copy(io::stdin(), &mut output)?;
    }
    Ok(())
}

/// Piece by piece as it comes, without waiting for ends of lines.
fn copy(mut input: impl Read, output: &mut dyn Write) -> io::Result<()> {
    let mut piece = [0; 4096];
    loop {
        match input.read(&mut piece)? {
            0 => return Ok(()),
            n => output.write_all(&piece[..n]).and_then(|()| output.flush())?,
        }
    }
}
