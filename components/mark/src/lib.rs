//! Leaves a mark each time that it runs, so that others can count how often it did.

wit_bindgen::generate!({
    inline: "
        package propeller:guests;

        world mark {
            /// How a call ends.
            enum ending {
                /// With the name that it was given.
                value,
                /// With an error, which is that name.
                error,
                /// With an error the first time, then with the name.
                error-at-first,
                /// With a trap.
                trap,
            }

            /// Make the mark of that name in a directory one byte longer, wait, and end so.
            export mark: func(directory: string, name: string, milliseconds: u64, ending: ending) -> result<string, string>;
        }
    ",
});

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::Path,
    process, thread,
    time::Duration,
};

struct Component;

impl Guest for Component {
    fn mark(directory: String, name: String, milliseconds: u64, ending: Ending) -> Result<String, String> {
        let marks = leave(&Path::new(&directory).join(&name)).map_err(|error| error.to_string())?;
        thread::sleep(Duration::from_millis(milliseconds));
        match ending {
            Ending::Value => Ok(name),
            Ending::ErrorAtFirst if marks > 1 => Ok(name),
            Ending::Error | Ending::ErrorAtFirst => Err(name),
            Ending::Trap => process::abort(),
        }
    }
}

/// Returns how many marks there are now.
fn leave(path: &Path) -> io::Result<u64> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)?
        .write_all(b"|")?;
    Ok(fs::metadata(path)?.len())
}

export!(Component);
