//! Copies the files that its arguments name, or else its standard input, to its standard output. An argument `>FILE` writes that file instead.

use std::{
    env,
    fs::File,
    io::{self, Write},
};

fn main() -> io::Result<()> {
    let mut output: Box<dyn Write> = Box::new(io::stdout());
    let mut any = false;
    for argument in env::args().skip(1) {
        match argument.strip_prefix('>') {
            Some(file) => output = Box::new(File::create(file)?),
            None => {
                any = true;
                io::copy(&mut File::open(argument)?, &mut output)?;
            }
        }
    }
    if !any {
        io::copy(&mut io::stdin(), &mut output)?;
    }
    output.flush()
}
