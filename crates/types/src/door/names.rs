//! Names of core modules in WIT's kebab-case.

/// The longest name that is kept, in bytes.
const MAX_NAME: usize = 256;

/// A core name in kebab-case: `add_two`, `addTwo` and `Add Two` are all `add-two`. None if there is no letter to begin
/// with, or if it's longer than anybody types.
///
/// WIT wants every word to begin with a letter, so a number belongs to the word before: `add_2` is `add2`.
pub(super) fn kebab(name: &str) -> Option<String> {
    let mut kebab = String::new();
    let mut previous = ' ';
    for c in name.chars() {
        let begins_word = !previous.is_ascii_alphanumeric() || c.is_ascii_uppercase() && !previous.is_ascii_uppercase();
        if c.is_ascii_alphanumeric() {
            if begins_word && c.is_ascii_alphabetic() && !kebab.is_empty() {
                kebab.push('-');
            }
            kebab.push(c.to_ascii_lowercase());
        }
        previous = c;
    }
    (kebab.starts_with(|c: char| c.is_ascii_lowercase()) && kebab.len() <= MAX_NAME).then_some(kebab)
}

/// Names for parameters: the module's own if they are all usable and no two are alike, else `p0`, `p1` and so on.
pub(super) fn of_params<'a>(own: impl ExactSizeIterator<Item = Option<&'a str>>) -> Vec<String> {
    let numbered = (0..own.len()).map(|index| format!("p{index}")).collect();
    let named: Option<Vec<String>> = own.map(|name| kebab(name?)).collect();
    match named {
        Some(named) if (1..named.len()).all(|index| !named[..index].contains(&named[index])) => named,
        _ => numbered,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_kebab_case() {
        let check = |name: &str, expected: &str| assert_eq!(kebab(name).as_deref(), Some(expected), "{name}");
        check("add", "add");
        check("add-two", "add-two");
        check("add_two", "add-two");
        check("addTwo", "add-two");
        check("AddTwo", "add-two");
        check("HTTPGet", "httpget");
        check("main.add", "main-add");
        check("assembly/index/add", "assembly-index-add");
        check("add__2", "add2");
        check("vec3_of", "vec3-of");
        check("addÄ", "add");
        check("_private_", "private");
        for name in ["", "_", "2nd", "д", &"a".repeat(300)] {
            assert_eq!(kebab(name), None, "{name}");
        }
    }

    #[test]
    fn parameters_keep_their_names_if_all_have_one() {
        let check =
            |own: &[Option<&str>], expected: &[&str]| assert_eq!(of_params(own.iter().copied()), expected, "{own:?}");
        check(&[], &[]);
        check(&[Some("a"), Some("bIn")], &["a", "b-in"]);
        check(&[Some("a"), None], &["p0", "p1"]);
        check(&[Some("a"), Some("a")], &["p0", "p1"]);
        check(&[Some("a"), Some("$")], &["p0", "p1"]);
    }
}
