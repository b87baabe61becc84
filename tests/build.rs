//! Makes an enum of the folders of `components/`, so that a `match` over the guests which forgets one doesn't compile.

use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    // A new guest is a new member of the workspace. The folder itself isn't watched: Cargo would look at every file below it, and build the tests anew
    // whenever a guest is edited.
    println!("cargo::rerun-if-changed=../Cargo.toml");
    let guests = guests(Path::new("../components"))?;
    for guest in &guests {
        println!("cargo::rerun-if-changed=../components/{guest}/Cargo.toml");
    }
    let out = env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?;
    fs::write(Path::new(&out).join("guests.rs"), source(&guests))
}

/// The folders that are packages, in alphabetical order.
fn guests(components: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(components)? {
        let entry = entry?;
        if entry.path().join("Cargo.toml").exists() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn source(guests: &[String]) -> String {
    let (mut variants, mut all) = (String::new(), String::new());
    for guest in guests {
        let variant = camel_case(guest);
        variants += &format!("    /// `components/{guest}`\n    {variant},\n");
        all += &format!("        Self::{variant},\n");
    }
    format!(
        "/// A guest: a folder of `components/`.\n#[derive(Clone, Copy, Debug)]\npub enum Guest {{\n{variants}}}\n\n\
         impl Guest {{\n    /// Each of them once.\n    pub const ALL: [Self; {}] = [\n{all}    ];\n}}\n",
        guests.len()
    )
}

/// `task-context` becomes `TaskContext`.
fn camel_case(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_uppercase() + rest
    });
    words.collect()
}
