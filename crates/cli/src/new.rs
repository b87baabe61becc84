//! `propeller new`: a component to start from.

use std::{fs, io, path::Path};

use serde::Serialize;

use crate::{
    args::{Language, New},
    failure::Failure,
};

/// A file's path, and what is in it but for the name.
type File = (&'static str, &'static str);

const WIT: File = ("wit/component.wit", include_str!("../templates/shared/component.wit"));

const RUST: [File; 4] = [
    WIT,
    ("Cargo.toml", include_str!("../templates/rust/Cargo.toml.in")),
    ("src/lib.rs", include_str!("../templates/rust/lib.rs.in")),
    (".gitignore", "/target\n"),
];

const JAVASCRIPT: [File; 4] = [
    WIT,
    ("package.json", include_str!("../templates/javascript/package.json.in")),
    ("component.js", include_str!("../templates/javascript/component.js.in")),
    (".gitignore", "/target\n/node_modules\n"),
];

const PYTHON: [File; 4] = [
    WIT,
    (
        "requirements.txt",
        include_str!("../templates/python/requirements.txt.in"),
    ),
    ("component.py", include_str!("../templates/python/component.py.in")),
    (".gitignore", "/target\n/.venv\n__pycache__\n"),
];

/// What was made.
#[derive(Debug, Serialize)]
pub struct Made {
    directory: String,
    files: Vec<&'static str>,
    #[serde(skip)]
    call: &'static str,
}

/// Makes the directory. One that is there already is left as it is.
pub fn new(args: &New) -> Result<Made, Failure> {
    let directory = Path::new(&args.name.0);
    fs::create_dir(directory).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => Failure::DirectoryExists(directory.to_owned()),
        _ => Failure::WriteFile {
            path: directory.to_owned(),
            source,
        },
    })?;
    let files = match args.language {
        Language::Rust => RUST,
        Language::Javascript => JAVASCRIPT,
        Language::Python => PYTHON,
    };
    for (path, text) in files {
        write(&directory.join(path), &text.replace("{{name}}", &args.name.0))?;
    }
    Ok(Made {
        directory: args.name.0.clone(),
        files: files.map(|(path, _)| path).to_vec(),
        call: "greet(\"you\")",
    })
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let parent = path.parent().map_or(Ok(()), fs::create_dir_all);
    parent
        .and_then(|()| fs::write(path, text))
        .map_err(|source| Failure::WriteFile {
            path: path.to_owned(),
            source,
        })
}

impl std::fmt::Display for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { directory, files, call } = self;
        writeln!(f, "{directory}: {}", files.join(", "))?;
        writeln!(f, "next: cd {directory} && propeller build")?;
        writeln!(
            f,
            "then: propeller run COMPONENT '{call}', with the file that it prints"
        )
    }
}
