//! Errors for people.

use std::error::Error;

/// The error and what it came from, each said once: libraries differ in whether an error repeats its source.
pub fn chain(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let said = error.to_string();
        if !message.contains(&said) {
            message.push_str(": ");
            message.push_str(&said);
        }
        source = error.source();
    }
    message
}

#[cfg(test)]
mod tests {
    use super::chain;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Said(&'static str, #[source] Option<Box<Said>>);

    #[test]
    fn each_is_said_once() {
        let root = Said("no such host", None);
        let middle = Said("dns failed: no such host", Some(root.into()));
        let error = Said("can't connect", Some(middle.into()));
        assert_eq!(chain(&error), "can't connect: dns failed: no such host");
    }
}
