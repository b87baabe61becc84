//! An error with its causes in one line, for messages that leave the process.

use std::{error::Error, fmt::Write};

/// More than this is no message any more: a registry may have answered with a page of HTML.
const MAX_BYTES: usize = 4 << 10;

/// `what was being done: why it failed: why that`, cut to some kilobytes.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a String can't fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    clip(text)
}

/// The text, if it is not too long for a message; else its beginning.
pub fn clip(mut text: String) -> String {
    if text.len() > MAX_BYTES {
        text.truncate(text.floor_char_boundary(MAX_BYTES));
        text.push('…');
    }
    text
}
