//! Values of flags that several commands have.

use std::{str::FromStr, time::Duration};

use jiff::SignedDuration;

/// `key=value`, as annotations of artifacts and values of `wasi:config` are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    /// Such as `org.opencontainers.image.source`. Never empty.
    pub key: String,
    /// May be empty, and may hold further equals signs.
    pub value: String,
}

/// A duration as people type it: `30s`, `1m 30s`, `500ms`. Never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeout(pub Duration);

impl FromStr for KeyValue {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(Self {
                key: key.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err("write it as KEY=VALUE"),
        }
    }
}

impl FromStr for Timeout {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let duration = text
            .parse()
            .ok()
            .and_then(|signed: SignedDuration| signed.try_into().ok());
        match duration {
            Some(duration) if duration > Duration::ZERO => Ok(Self(duration)),
            _ => Err("write a number above 0 with its unit, such as 30s, 500ms or 5m"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        let check = |text: &str, millis: u64| assert_eq!(text.parse(), Ok(Timeout(Duration::from_millis(millis))));
        check("30s", 30_000);
        check("500ms", 500);
        check("1m 30s", 90_000);
        check("2h", 7_200_000);
    }
}
