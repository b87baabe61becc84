//! Every message against its golden JSON, both ways, and what isn't one.

use std::{collections::BTreeMap, path::Path};

use jiff::Timestamp;
use propeller_api::{Call, Capacity, Digest, HostInfo, Memory, Work};
use serde_json::{Value, json};

use crate::*;

/// The message reads as the golden file says, and the golden file as the message. `make gen` writes the files anew; a change that is meant
/// shows in the diff.
#[track_caller]
fn golden<M: Message + PartialEq + std::fmt::Debug>(name: &str, message: M) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("golden")
        .join(format!("{name}.json"));
    let bytes = encode(&message).unwrap();
    if std::env::var_os("PROPELLER_GEN").is_some() {
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        std::fs::write(&path, format!("{}\n", serde_json::to_string_pretty(&value).unwrap())).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let (written, expected): (Value, Value) = (
        serde_json::from_slice(&bytes).unwrap(),
        serde_json::from_str(&text).unwrap(),
    );
    assert_eq!(written, expected, "{name}: if the change is meant, run `make gen`");
    assert_eq!(decode::<M>(text.as_bytes()).unwrap(), message, "{name}");
}

fn time() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

fn attempt() -> AttemptRef {
    let task = TaskRef {
        namespace: "default".into(),
        name: "addition".into(),
        uid: "7d1f9f0e-3f5c-4f8a-9a60-0c6c3e1a2b3c".into(),
    };
    AttemptRef { task, attempt: 1 }
}

fn controller() -> ControllerId {
    "b7e3".parse().unwrap()
}

fn journal() -> JournalId {
    "5c1a".parse().unwrap()
}

fn sender() -> Sender {
    Sender {
        journal: journal(),
        boot: "e9d2".parse().unwrap(),
        sequence: 7,
    }
}

fn digest() -> Digest {
    Digest::from_sha256([0xab; 32])
}

fn report(stage: Stage) -> Report {
    Report {
        sender: sender(),
        controller: controller(),
        attempt: attempt(),
        stage,
    }
}

fn usage() -> Usage {
    Usage {
        wall_millis: 3,
        cpu_millis: 2,
        peak_memory_bytes: 1_114_112,
        bytes_in: 8,
        bytes_out: 2,
    }
}

#[test]
fn start() {
    golden(
        "start",
        Start {
            controller: controller(),
            journal: journal(),
            attempt: attempt(),
            issued_at: time(),
            window_seconds: 60,
            requires: vec![],
            image: format!("registry.example/addition@{}", digest()),
            component: digest(),
            work: Work::Call(Call {
                function: "add".into(),
                args: json!([20, 22]),
            }),
            grants: None,
            limits: Limits {
                memory: Some(Memory::from_bytes(64 << 20)),
                deadline_seconds: Some(30),
            },
        },
    );
}

#[test]
fn stop() {
    golden(
        "stop",
        Stop {
            controller: controller(),
            journal: journal(),
            attempt: attempt(),
            issued_at: time(),
        },
    );
}

#[test]
fn ack() {
    let verdict = Verdict::Recorded;
    golden(
        "ack",
        Ack {
            controller: controller(),
            journal: journal(),
            attempt: attempt(),
            verdict,
        },
    );
}

#[test]
fn lease() {
    golden(
        "lease",
        Lease {
            controller: controller(),
            journal: journal(),
            sequence: 7,
            now: time(),
        },
    );
}

#[test]
fn alive() {
    let held = Held {
        attempt: attempt(),
        controller: controller(),
        state: HeldState::Running,
    };
    let host = HostInfo {
        version: "0.1.0".into(),
        os: "linux".into(),
        arch: "aarch64".into(),
        cpus: 4,
    };
    let presence = Presence::Alive {
        interval_seconds: 10,
        capacity: Capacity {
            tasks: 4,
            memory: Memory::from_bytes(1 << 30),
            task_memory: Some(Memory::from_bytes(64 << 20)),
            max_task_memory: Some(Memory::from_bytes(1 << 29)),
        },
        inventory: vec![held],
        host,
        labels: BTreeMap::from([("site".into(), "lab".into())]),
        capabilities: crate::requires::ALL.map(str::to_owned).into(),
        max_packet_bytes: 1 << 20,
        undecodable: 2,
        draining: false,
    };
    golden(
        "alive",
        Alive {
            sender: sender(),
            presence,
        },
    );
    golden(
        "offline",
        Alive {
            sender: sender(),
            presence: Presence::Offline,
        },
    );
}

#[test]
fn reports() {
    golden("report-accepted", report(Stage::Accepted));
    golden(
        "report-started",
        report(Stage::Started {
            address: Some("http://192.168.1.7:41234".into()),
            problem: None,
        }),
    );
    let rejection = Rejection {
        reason: Refusal::Busy,
        message: "4 of 4 tasks are running".into(),
    };
    golden(
        "report-rejected",
        report(Stage::Rejected {
            rejection,
            newest: Some(3),
        }),
    );
    let outcome = Outcome::Completed {
        results: Some(json!(42)),
        usage: usage(),
    };
    golden("report-completed", report(Stage::Finished { outcome }));
    let failure = Failure {
        reason: "ErrResult".into(),
        message: "the call returned err".into(),
        error: Some(json!({"not-found": "M6 bolt"})),
    };
    golden(
        "report-failed",
        report(Stage::Finished {
            outcome: Outcome::Failed {
                failure,
                usage: usage(),
            },
        }),
    );
}

#[test]
fn null_is_a_result_and_absence_is_none() {
    for results in [None, Some(Value::Null)] {
        let outcome = Outcome::Completed {
            results,
            usage: usage(),
        };
        let message = report(Stage::Finished { outcome });
        assert_eq!(decode::<Report>(&encode(&message).unwrap()).unwrap(), message);
    }
}

#[test]
fn logs() {
    let lines = vec!["reading sensor".into(), "21.5".into()];
    golden(
        "logs",
        Logs {
            sender: sender(),
            attempt: attempt(),
            stream: Stream::Stdout,
            lines,
        },
    );
}

#[test]
fn metrics() {
    let figures = BTreeMap::from([
        ("proplet_tasks_running".into(), 1),
        ("proplet_messages_undecodable_total".into(), 2),
    ]);
    golden(
        "metrics",
        Metrics {
            sender: sender(),
            figures,
        },
    );
}

#[test]
fn chunks() {
    golden(
        "chunk-request",
        ChunkRequest {
            component: digest(),
            offset: 512_000,
            max_bytes: 512_000,
        },
    );
    let data = "AGFzbQ==".into();
    golden(
        "chunk",
        Chunk::Data {
            component: digest(),
            offset: 0,
            total: 13_312,
            data,
        },
    );
    golden(
        "chunk-refused",
        Chunk::Refused {
            component: digest(),
            message: "no task asks for it".into(),
        },
    );
}

#[test]
fn topics_are_read_back() {
    let base = Base::new("default", "main").unwrap();
    let edge: propeller_api::PropletId = "edge-1".parse().unwrap();
    for channel in Channel::ALL {
        let topic = base.topic(channel, &edge);
        assert_eq!(
            base.parse(&topic),
            Ok(Topic {
                channel,
                proplet: edge.clone()
            }),
            "{topic}"
        );
    }
    assert_eq!(
        base.topic(Channel::Start, &edge),
        "m/default/c/main/control/manager/start/edge-1"
    );
    assert_eq!(base.filter(Channel::Alive), "m/default/c/main/control/proplet/alive/+");
}

#[test]
fn other_topics_are_none_of_ours() {
    let base = Base::new("default", "main").unwrap();
    for topic in [
        "",
        "m/default/c/main",
        "m/default/c/main2/control/proplet/alive/edge-1",
        "m/other/c/main/control/proplet/alive/edge-1",
        "m/default/c/main/control/proplet/alive",
        "m/default/c/main/control/proplet/alive/",
        "m/default/c/main/control/proplet/alive/Edge",
        "m/default/c/main/control/proplet/alive/edge-1/more",
        "m/default/c/main/control/proplet/unheard-of/edge-1",
        "x/m/default/c/main/control/proplet/alive/edge-1",
    ] {
        assert!(base.parse(topic).is_err(), "{topic}");
    }
    for name in ["", "a/b", "+", "#", "a b", "ü"] {
        assert!(
            Base::new(name, "main").is_err() && Base::new("default", name).is_err(),
            "{name}"
        );
    }
}

#[test]
fn what_is_not_a_message_is_said_to_be_none() {
    let check = |bytes: &[u8], expected: &str| {
        let error = decode::<Ack>(bytes).unwrap_err();
        assert!(format!("{error:?}").contains(expected), "{error:?} lacks {expected}");
    };
    check(b"", "EOF");
    check(b"\xff\xfe", "expected value");
    check(b"[]", "invalid length");
    check(b"{}", "missing field `v`");
    check(br#"{"v":1}"#, "missing field");
    check(br#"{"v":2,"controller":"x"}"#, "Version");
    check(br#"{"v":"1"}"#, "invalid type");
    check(&vec![b' '; MAX_MESSAGE_BYTES + 1], "TooLarge");
    // Unknown fields are skipped without recursion; what is read is read to a bounded depth.
    check(&[b"{\"v\":1,\"x\":".as_slice(), &[b'['; 100_000]].concat(), "EOF");
    let (open, close) = ("[".repeat(9000), "]".repeat(9000));
    let deep = format!("{{\"v\":1,\"call\":{{\"function\":\"f\",\"args\":{open}{close}}}}}");
    let error = decode::<Start>(deep.as_bytes()).unwrap_err();
    assert!(format!("{error:?}").contains("recursion limit"), "{error:?}");
    // A result that could be read here, and not in a list of tasks.
    let finished = |levels: usize| {
        let value = (0..levels).fold(json!(1), |value, _| json!([value]));
        let usage = Usage::default();
        let results = Some(value);
        report(Stage::Finished {
            outcome: Outcome::Completed { results, usage },
        })
    };
    let deepest = finished(110);
    assert_eq!(decode::<Report>(&encode(&deepest).unwrap()).unwrap(), deepest);
    let error = decode::<Report>(&encode(&finished(111)).unwrap()).unwrap_err();
    assert!(format!("{error:?}").contains("levels"), "{error:?}");
}

#[test]
fn unknown_fields_are_ignored() {
    let message = report(Stage::Accepted);
    let mut value: Value = serde_json::from_slice(&encode(&message).unwrap()).unwrap();
    value
        .as_object_mut()
        .unwrap()
        .insert("invented-later".into(), json!({"a": [1]}));
    assert_eq!(decode::<Report>(value.to_string().as_bytes()).unwrap(), message);
}

#[test]
fn nobody_says_more_of_itself_than_is_worth_keeping() {
    let message = |change: fn(&mut Value)| {
        let mut value = json!({
            "v": 1, "status": "alive", "journal": "j", "boot": "b", "sequence": 1, "intervalSeconds": 10,
            "capacity": {"tasks": 1, "memory": "1Gi"}, "inventory": [], "maxPacketBytes": 1, "undecodable": 0,
            "host": {"version": "1", "os": "linux", "arch": "x86_64", "cpus": 1},
        });
        change(&mut value);
        decode::<Alive>(value.to_string().as_bytes()).map_err(|error| format!("{error:?}"))
    };
    assert!(message(|_| {}).is_ok());
    let check = |expected: &str, change: fn(&mut Value)| {
        let error = message(change).unwrap_err();
        assert!(error.contains(expected), "{error} lacks {expected}");
    };
    check("version has 65 bytes", |value| {
        value["host"]["version"] = "1".repeat(65).into()
    });
    check("the value of a label has 64 bytes", |value| {
        value["labels"] = json!({"a": "x".repeat(64)})
    });
    check("the key of a label has 318 bytes", |value| {
        value["labels"] = json!({"x".repeat(318): ""})
    });
    check("65 labels", |value| {
        let labels = (0..65).map(|number| (number.to_string(), Value::from("")));
        value["labels"] = Value::Object(labels.collect());
    });
    check("65 words", |value| value["capabilities"] = vec!["x"; 65].into());
    check("a word has 65 bytes", |value| {
        value["capabilities"] = json!(["x".repeat(65)])
    });
}

#[test]
fn a_task_is_named_in_few_words() {
    let check = |field: &str, most: usize| {
        let mut value: Value = serde_json::from_slice(&encode(&report(Stage::Accepted)).unwrap()).unwrap();
        value["task"][field] = "x".repeat(most).into();
        assert!(decode::<Report>(value.to_string().as_bytes()).is_ok(), "{field}");
        value["task"][field] = "x".repeat(most + 1).into();
        let error = decode::<Report>(value.to_string().as_bytes()).unwrap_err();
        assert!(
            format!("{error:?}").contains(&format!("{field} has {} bytes", most + 1)),
            "{error:?}"
        );
    };
    check("namespace", 63);
    check("name", 253);
    check("uid", 128);
}
