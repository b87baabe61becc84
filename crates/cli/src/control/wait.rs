//! `propeller wait`: by watching, until it is so, can't be so any more, or time is over.

use serde_json::Value;
use tokio::time::timeout;

use super::{
    ControlError,
    kind::{Kind, Target, condition, conditions, name, text},
    server::{Query, Server, together},
    watch::{Seen, Watch},
};
use crate::{
    args::{Wait, Wanted},
    failure::Failure,
    output::Output,
};

/// Waits for all that are named. The time is for all of them together.
pub async fn wait(args: &Wait, server: &Server, output: &Output) -> Result<(), Failure> {
    let Target { kind, names } = Target::named(&args.what)?;
    let limit = args.timeout.0;
    let mut state = String::new();
    let mut objects = vec![];
    let all = async {
        for name in &names {
            let object = until(server, kind, name, &args.wanted, &mut state).await?;
            let met = if args.wanted == Wanted::Delete {
                "deleted"
            } else {
                "condition met"
            };
            output.line(&format!("{kind}/{name} {met}"))?;
            objects.push(object);
        }
        Ok::<_, Failure>(())
    };
    match timeout(limit, all).await {
        Ok(result) => result?,
        Err(_) => {
            let waits_for = names
                .iter()
                .map(|name| format!("{kind}/{name}"))
                .collect::<Vec<_>>()
                .join(", ");
            let what = format!("{} of {waits_for}", args.wanted);
            let state = if state.is_empty() {
                "nothing is known of it yet".to_owned()
            } else {
                state
            };
            return Err(ControlError::TimedOut { what, limit, state }.into());
        }
    }
    output.document(&together(objects))
}

/// The object as it is when it is so. `state` says how it is meanwhile.
async fn until(
    server: &Server,
    kind: Kind,
    name: &str,
    wanted: &Wanted,
    state: &mut String,
) -> Result<Value, ControlError> {
    let (list, mut watch) = Watch::begin(server, kind, Query::one(name)).await?;
    let first = list["items"].as_array().and_then(|items| items.first()).cloned();
    let mut seen = match first {
        Some(object) => Seen::Is(object),
        // As kubectl has it: what isn't there is as good as deleted.
        None if *wanted == Wanted::Delete => return Ok(Value::Null),
        None => return Err(server.missing(kind, name)),
    };
    let hopeless = |state: String| ControlError::Hopeless {
        what: format!("{wanted} of {kind}/{name}"),
        state,
    };
    loop {
        match (seen, wanted) {
            (Seen::Gone(object), Wanted::Delete) => return Ok(object),
            (Seen::Gone(_), _) => return Err(hopeless("it was deleted".to_owned())),
            (Seen::Is(object), Wanted::Delete) => *state = describe(&object),
            (Seen::Is(object), _) if holds(&object, wanted) => return Ok(object),
            (Seen::Is(object), _) => {
                *state = describe(&object);
                if kind == Kind::Task && has_ended(&object) {
                    return Err(hopeless(describe(&object)));
                }
            }
        }
        seen = watch.next().await?;
    }
}

/// Whether it is so.
fn holds(object: &Value, wanted: &Wanted) -> bool {
    match wanted {
        Wanted::Condition { type_, status } => {
            // As kubectl has it, in any case.
            conditions(object)
                .find(|said| text(said, "/type").eq_ignore_ascii_case(type_))
                .is_some_and(|said| text(said, "/status").eq_ignore_ascii_case(status))
        }
        Wanted::Phase(phase) => text(object, "/status/phase").eq_ignore_ascii_case(phase),
        Wanted::Delete => false,
    }
}

/// What has ended stays as it is.
pub fn has_ended(task: &Value) -> bool {
    condition(task, "Finished").is_some_and(|said| said["status"] == "True")
}

/// How it is, in a line: `Pending, Scheduled is False: Unschedulable: 0 of 1 proplets fit: 1 cordoned`.
pub fn describe(object: &Value) -> String {
    let phase = text(object, "/status/phase");
    let said = conditions(object).last().map(|newest| {
        let [type_, status, reason, message] =
            ["/type", "/status", "/reason", "/message"].map(|pointer| super::table::clean(text(newest, pointer)));
        format!("{type_} is {status}: {reason}: {message}")
    });
    match (phase, said) {
        ("", None) => format!("nothing was said of {} yet", name(object)),
        ("", Some(said)) => said,
        (phase, None) => phase.to_owned(),
        (phase, Some(said)) => format!("{phase}, {said}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_holds_is_seen() {
        let task = json!({
            "metadata": {"name": "a"},
            "status": {"phase": "Failed", "conditions": [
                {"type": "Ready", "status": "False", "reason": "Lost", "message": "away"},
                {"type": "Finished", "status": "True", "reason": "Trap", "message": "a\u{1b}b"},
            ]},
        });
        let check =
            |wanted: &str, expected: bool| assert_eq!(holds(&task, &wanted.parse().unwrap()), expected, "{wanted}");
        check("condition=Finished", true);
        check("condition=Finished=true", true);
        check("condition=finished", true);
        check("condition=Ready", false);
        check("condition=Ready=False", true);
        check("condition=Started", false);
        check("phase=Failed", true);
        check("phase=failed", true);
        check("phase=Completed", false);
        assert!("phase=Nonsense".parse::<Wanted>().is_err());
        assert!(has_ended(&task));
        assert_eq!(describe(&task), "Failed, Finished is True: Trap: a\\u{1b}b");
        assert_eq!(
            describe(&json!({"metadata": {"name": "a"}})),
            "nothing was said of a yet"
        );
    }
}
