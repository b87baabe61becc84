//! Labels, as [Kubernetes has them](https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set).

use crate::{Labels, is_dns_subdomain};

use super::{Invalid, invalid};

/// Checks keys and values of labels.
///
/// # Errors
///
/// Names the first label that isn't one, at `field`.
pub fn validate_labels(field: &str, labels: &Labels) -> Result<(), Invalid> {
    for (key, value) in labels {
        let (prefix, name) = match key.split_once('/') {
            Some((prefix, name)) => (Some(prefix), name),
            None => (None, key.as_str()),
        };
        let is_prefix = |prefix: &str| is_dns_subdomain(prefix);
        if !is_name(name) || !prefix.is_none_or(is_prefix) {
            return invalid(
                field,
                format!(
                    "the key `{key}` should be a name of at most 63 letters, digits, `-`, `_` and `.`, or such a name after a domain and a slash"
                ),
            );
        }
        if !value.is_empty() && !is_name(value) {
            return invalid(
                field,
                format!("the value `{value}` of `{key}` should be at most 63 letters, digits, `-`, `_` and `.`"),
            );
        }
    }
    Ok(())
}

/// Begins and ends with a letter or digit.
fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let alphabet = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let edges = [bytes.first(), bytes.last()];
    let ends_well = edges
        .into_iter()
        .all(|byte| byte.is_some_and(u8::is_ascii_alphanumeric));
    bytes.len() <= 63 && ends_well && bytes.iter().all(alphabet)
}
