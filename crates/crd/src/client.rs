//! A client of Kubernetes that no resource can make blind.
//!
//! An API server takes arguments and results of any depth, and serde_json reads 128 levels. One Task beyond that would make every list with it
//! unreadable, and with the list all other Tasks. So what is nested too deep is left out before anything is parsed; no WIT type is that deep, so
//! what is left of such a Task is refused as any other that doesn't fit.

use http_body_util::BodyExt;
use kube::{
    Client, Config, Result,
    client::{ClientBuilder, DynBody},
};
use tower::util::MapResponseLayer;

/// Levels that are read, below the 128 at which serde_json gives up. A type of WIT has a hundred at most.
const LEVELS: u32 = 120;

/// A client for that configuration.
///
/// # Errors
///
/// When the configuration can't be used.
pub fn client(config: Config) -> Result<Client> {
    let shallow = |response: http::Response<Box<DynBody>>| {
        response.map(|body| {
            let mut shallow = Shallow::default();
            body.map_frame(move |frame| frame.map_data(|data| shallow.pass(data)))
        })
    };
    let builder = ClientBuilder::try_from(config)?;
    Ok(builder.with_layer(&MapResponseLayer::new(shallow)).build())
}

/// Lets JSON through, in pieces, with null in the place of what is nested too deep. Other bytes are let through as well.
#[derive(Debug, Default)]
struct Shallow {
    depth: u32,
    in_string: bool,
    is_escaped: bool,
}

impl Shallow {
    fn pass(&mut self, piece: bytes::Bytes) -> bytes::Bytes {
        let mut kept: Option<Vec<u8>> = None;
        for (index, &byte) in piece.iter().enumerate() {
            let was_too_deep = self.depth > LEVELS;
            self.step(byte);
            let is_too_deep = self.depth > LEVELS;
            if was_too_deep || is_too_deep {
                let kept = kept.get_or_insert_with(|| piece[..index].to_vec());
                if !was_too_deep {
                    kept.extend_from_slice(b"null");
                }
            } else if let Some(kept) = &mut kept {
                kept.push(byte);
            }
        }
        kept.map_or(piece, Into::into)
    }

    fn step(&mut self, byte: u8) {
        match byte {
            // No string has a line's end in it: what was cut off there, as a line of a log may be, ends with its line.
            b'\n' => (self.in_string, self.is_escaped) = (false, false),
            _ if self.is_escaped => self.is_escaped = false,
            b'\\' if self.in_string => self.is_escaped = true,
            b'"' => self.in_string = !self.in_string,
            _ if self.in_string => {}
            b'[' | b'{' => self.depth = self.depth.saturating_add(1),
            b']' | b'}' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn passed(text: &str, size: usize) -> String {
        let mut shallow = Shallow::default();
        let pieces = text.as_bytes().chunks(size);
        let passed = pieces.flat_map(|piece| shallow.pass(piece.to_vec().into()));
        String::from_utf8(passed.collect()).unwrap()
    }

    #[test]
    fn only_what_is_too_deep_is_left_out() {
        let nested = |levels: usize| format!(r#"{}"]\"[",1{}"#, "[".repeat(levels), "]".repeat(levels));
        let list = |levels| format!(r#"[{},{{"a":[{}]}}, "{{{{"]"#, nested(levels - 1), nested(levels));
        for size in [1, 7, 100_000] {
            let fits = list(LEVELS as usize - 3);
            assert_eq!(passed(&fits, size), fits);
            for levels in [LEVELS as usize, 127, 5_000] {
                let read: Value = serde_json::from_str(&passed(&list(levels), size)).unwrap();
                assert_eq!(read[2], "{{", "{levels}");
                let deepest = |value: &Value| {
                    let levels = std::iter::successors(Some(value), |value| value.get(0));
                    levels.last().cloned()
                };
                assert_eq!(
                    deepest(&read[0]),
                    Some(if levels > LEVELS as usize {
                        Value::Null
                    } else {
                        json!("]\"[")
                    })
                );
                assert_eq!(deepest(&read[1]["a"]), Some(Value::Null), "{levels}");
            }
        }
        let torn = format!("{{\"line\": \"torn\n{}", "{\"line\": \"[[[\"}\n".repeat(100));
        assert_eq!(passed(&torn, 5), torn);
        assert_eq!(passed("]]}no JSON", 3), "]]}no JSON");
    }
}
