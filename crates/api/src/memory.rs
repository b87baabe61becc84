//! An amount of memory, as Kubernetes writes it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Bytes, written as a Kubernetes [quantity](https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/) of whole
/// bytes: `67108864`, `64Mi`, `1Gi`, `64M`. Fractions and exponents, which the quantity grammar has too, are refused: nobody means them here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Memory(u64);

/// The text isn't an amount of memory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an amount of memory: write bytes or a whole number with Ki, Mi, Gi, k, M or G, such as 64Mi")]
pub struct InvalidMemory(String);

/// Longest first where one is a prefix of another, so that printing and parsing agree.
const UNITS: [(&str, u64); 6] = [
    ("Gi", 1 << 30),
    ("Mi", 1 << 20),
    ("Ki", 1 << 10),
    ("G", 1_000_000_000),
    ("M", 1_000_000),
    ("k", 1_000),
];

impl Memory {
    /// This many bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The amount in bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Memory {
    type Err = InvalidMemory;

    fn from_str(text: &str) -> Result<Self, InvalidMemory> {
        let (digits, factor) = UNITS
            .iter()
            .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))
            .unwrap_or((text, 1));
        let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number: Option<u64> = if all_digits { digits.parse().ok() } else { None };
        number
            .and_then(|number| number.checked_mul(factor))
            .map(Self)
            .ok_or_else(|| InvalidMemory(text.to_owned()))
    }
}

impl fmt::Display for Memory {
    /// The largest binary unit that loses nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, factor) in &UNITS[..3] {
            if self.0 != 0 && self.0.is_multiple_of(*factor) {
                return write!(f, "{}{unit}", self.0 / factor);
            }
        }
        write!(f, "{}", self.0)
    }
}

impl Serialize for Memory {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Memory {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected an amount of memory, such as 64Mi")]
        enum Raw {
            Bytes(u64),
            Text(String),
        }
        match Raw::deserialize(deserializer)? {
            Raw::Bytes(bytes) => Ok(Self(bytes)),
            Raw::Text(text) => text.parse().map_err(de::Error::custom),
        }
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Memory {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Memory".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        // As for every quantity in Kubernetes' own API: a number is what YAML makes of an amount without unit.
        schemars::json_schema!({
            "x-kubernetes-int-or-string": true,
            "pattern": "^[0-9]+(Ki|Mi|Gi|k|M|G)?$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Memory;

    #[test]
    fn amounts_are_read_and_printed() {
        let check = |text: &str, bytes: u64, printed: &str| {
            let memory: Memory = text.parse().unwrap();
            assert_eq!(
                (memory.bytes(), memory.to_string().as_str()),
                (bytes, printed),
                "{text}"
            );
        };
        check("0", 0, "0");
        check("1000", 1000, "1000");
        check("64Mi", 64 << 20, "64Mi");
        check("65536Ki", 64 << 20, "64Mi");
        check("1Gi", 1 << 30, "1Gi");
        check("2k", 2000, "2000");
        check("3M", 3_000_000, "3000000");
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "Mi", "-1", "+1", "1.5Gi", "1e3", "64MB", "64 Mi", "99999999999Gi"] {
            assert!(text.parse::<Memory>().is_err(), "{text}");
        }
    }

    #[test]
    fn json_takes_numbers_and_text() {
        assert_eq!(
            serde_json::from_str::<Memory>("1024").unwrap(),
            serde_json::from_str("\"1Ki\"").unwrap()
        );
        assert!(serde_json::from_str::<Memory>("-1").is_err());
    }
}
