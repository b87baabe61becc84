//! What is answered to what: plain functions, which know nothing of HTTP's streams.

use serde_json::{Value, json};

pub struct Answer {
    pub status: u16,
    pub body: Value,
}

pub fn answer(method: &str, path: &str, body: &[u8]) -> Answer {
    let path = path.split('?').next().unwrap_or_default();
    match (method, path) {
        ("GET", "/") => ok(json!({"routes": ["GET /greet/NAME", "POST /echo"]})),
        ("POST", "/echo") => echo(body),
        ("GET", _) if path.starts_with("/greet/") => greet(&path["/greet/".len()..]),
        (_, "/" | "/echo") => refusal(405, "not with this method"),
        _ => refusal(404, "there is nothing here"),
    }
}

fn greet(name: &str) -> Answer {
    match decoded(name) {
        Some(name) if !name.trim().is_empty() => ok(json!({"greeting": format!("Hello, {name}!")})),
        _ => refusal(400, "this isn't a name"),
    }
}

fn echo(body: &[u8]) -> Answer {
    match serde_json::from_slice::<Value>(body) {
        Ok(value) => ok(json!({"you sent": value})),
        Err(error) => refusal(400, &format!("this isn't JSON: {error}")),
    }
}

fn ok(body: Value) -> Answer {
    Answer { status: 200, body }
}

fn refusal(status: u16, error: &str) -> Answer {
    let body = json!({"error": error});
    Answer { status, body }
}

/// A part of a path, in which `%C3%A4` means ä.
fn decoded(part: &str) -> Option<String> {
    let mut pieces = part.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}
