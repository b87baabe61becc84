//! Reads and writes files.

wit_bindgen::generate!({
    inline: "
        package propeller:guests;

        world files {
            /// What is in a file, or what kind of error it was.
            export read-file: func(path: string) -> result<string, string>;

            /// Make a file, or replace what is in it.
            export write-file: func(path: string, text: string) -> result<_, string>;

            /// Give a file another name.
            export link-file: func(path: string, name: string) -> result<_, string>;
        }
    ",
});

use std::{fs, io};

struct Component;

impl Guest for Component {
    fn read_file(path: String) -> Result<String, String> {
        fs::read_to_string(path).map_err(said)
    }

    fn write_file(path: String, text: String) -> Result<(), String> {
        fs::write(path, text).map_err(said)
    }

    fn link_file(path: String, name: String) -> Result<(), String> {
        fs::hard_link(path, name).map_err(said)
    }
}

fn said(error: io::Error) -> String {
    error.kind().to_string()
}

export!(Component);
