//! Counts the words of every file in one directory, and writes a report into another. An ordinary program on the standard library's files: what is
//! WASI about it is that the two directories are all it has.

use std::{collections::BTreeMap, env, fmt::Write, fs, io, path::Path, process::ExitCode};

const MOST: usize = 3;

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let (input, output) = (
        args.next().unwrap_or_else(|| "/in".to_owned()),
        args.next().unwrap_or_else(|| "/out".to_owned()),
    );
    match run(Path::new(&input), Path::new(&output)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("word-count: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(input: &Path, output: &Path) -> Result<(), String> {
    let (mut report, mut words) = (String::new(), BTreeMap::<String, usize>::new());
    for name in names(input).map_err(|error| format!("can't list {}: {error}", input.display()))? {
        let path = input.join(&name);
        let text = fs::read_to_string(&path).map_err(|error| format!("can't read {}: {error}", path.display()))?;
        let count = count(&text, &mut words);
        println!("{name}: {count}");
        report += &format!("{count:>8}  {name}\n");
    }
    let mut words: Vec<_> = words.into_iter().collect();
    // Equals stay in alphabetical order.
    words.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    report += "\nmost frequent\n";
    for (word, count) in words.iter().take(MOST) {
        // Writing into a string doesn't fail.
        let _ = writeln!(report, "{count:>8}  {word}");
    }
    let path = output.join("report.txt");
    fs::write(&path, report).map_err(|error| format!("can't write {}: {error}", path.display()))
}

/// The files of a directory, in alphabetical order.
fn names(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn count(text: &str, words: &mut BTreeMap<String, usize>) -> usize {
    let mut count = 0;
    for word in text
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
    {
        *words.entry(word.to_lowercase()).or_default() += 1;
        count += 1;
    }
    count
}
