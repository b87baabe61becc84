use serde_json::{Value, json};

use super::*;

fn start() -> Value {
    json!({
        "v": 1, "controller": "control", "journal": "journal",
        "task": {"namespace": "default", "name": "addition", "uid": "u"}, "attempt": 1,
        "issuedAt": "2026-01-01T00:00:00Z", "windowSeconds": 60, "image": "localhost:5000/a",
        "component": format!("sha256:{}", "0".repeat(64)), "call": {"function": "f"}, "limits": {},
    })
}

fn without(field: &str) -> Value {
    let mut start = start();
    start.as_object_mut().unwrap().remove(field);
    start
}

/// What is made of a message on `m/d/c/c/` and `topic`, in short, and how many were undecodable.
fn check(topic: &str, payload: &[u8], expected: &str) {
    let mut inbound = Inbound::new(Base::new("d", "c").unwrap(), "edge-1".parse().unwrap());
    let heard = match inbound.read(&format!("m/d/c/c/{topic}"), payload) {
        Heard::Event(Event::Start(_)) => "start",
        Heard::Event(Event::Stop(_)) => "stop",
        Heard::Event(_) => "another event",
        Heard::Malformed(holding, rejection) => {
            assert_eq!(
                (holding.attempt.task.uid.as_str(), rejection.reason),
                ("u", Refusal::Malformed)
            );
            "malformed"
        }
        Heard::Undecodable => "undecodable",
    };
    assert_eq!(heard, expected, "{topic} {}", String::from_utf8_lossy(payload));
    assert_eq!(
        inbound.undecodable(),
        u64::from(matches!(heard, "malformed" | "undecodable"))
    );
}

#[test]
fn messages_are_read_by_their_topic() {
    let text = |value: Value| value.to_string().into_bytes();
    check("control/manager/start/edge-1", &text(start()), "start");
    check("control/manager/stop/edge-1", &text(start()), "stop");
    check("control/manager/start/edge-2", &text(start()), "undecodable");
    check("control/manager/lease/edge-1", &text(start()), "undecodable");
    check("control/manager/nonsense/edge-1", &text(start()), "undecodable");
    check("control/manager/ack/edge-1", b"{}", "undecodable");
    check("control/manager/stop/edge-1", b"\xff\x00", "undecodable");
}

#[test]
fn a_start_that_says_whose_it_is_is_answered() {
    let check = |payload: Value, expected: &str| {
        check("control/manager/start/edge-1", payload.to_string().as_bytes(), expected)
    };
    check(without("call"), "malformed");
    check(without("component"), "malformed");
    check(without("v"), "malformed");
    let mut newer = start();
    newer["v"] = 2.into();
    check(newer, "malformed");
    check(without("task"), "undecodable");
    check(without("controller"), "undecodable");
    check(json!("start"), "undecodable");
}
