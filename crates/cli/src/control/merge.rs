//! What an object is to become when a file is applied to it.
//!
//! Three things meet: what is there, what was in the file when it was last applied, and what is in it now. A field in the file becomes what it
//! says; one that was in it and isn't any more goes; all others stay, such as a cordon. It's what `kubectl apply` does, with the same annotation.

use serde_json::{Map, Value};

use super::kind::text;

/// Where the last application is noted.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Annotations may have 256 KiB together. A file that is larger isn't noted, and then nothing that it leaves out is removed.
const MOST: usize = 200 << 10;

/// What a field has is one value, however deep: merging the arguments of two calls gives those of none.
const WHOLE: &str = "args";

/// What `wanted` makes of `live`, annotated. Equal to `live` if there is nothing to do.
pub fn applied(live: &Value, wanted: &Value) -> Value {
    let noted = live
        .pointer("/metadata/annotations")
        .and_then(|notes| notes.get(LAST_APPLIED));
    let last: Option<Value> = noted
        .and_then(Value::as_str)
        .and_then(|text| serde_json::from_str(text).ok());
    let mut merged = live.clone();
    merge(&mut merged, last.as_ref(), wanted);
    if last.as_ref() != Some(wanted) {
        annotate(&mut merged, wanted);
    }
    merged
}

/// `wanted` with a note of itself.
pub fn annotated(wanted: &Value) -> Value {
    let mut object = wanted.clone();
    annotate(&mut object, wanted);
    object
}

fn annotate(object: &mut Value, wanted: &Value) {
    let note = wanted.to_string();
    if note.len() <= MOST {
        object["metadata"]["annotations"][LAST_APPLIED] = note.into();
        return;
    }
    tracing::debug!("{} is too large to be noted as applied", text(wanted, "/metadata/name"));
    let annotations = object
        .pointer_mut("/metadata/annotations")
        .and_then(Value::as_object_mut);
    annotations.map(|annotations| annotations.remove(LAST_APPLIED));
}

fn merge(live: &mut Value, last: Option<&Value>, wanted: &Value) {
    let (Value::Object(live), Value::Object(wanted)) = (&mut *live, wanted) else {
        *live = wanted.clone();
        return;
    };
    let nothing = Map::new();
    let last = last.and_then(Value::as_object).unwrap_or(&nothing);
    live.retain(|field, _| wanted.contains_key(field) || !last.contains_key(field));
    for (field, value) in wanted {
        match live.get_mut(field).filter(|_| field != WHOLE) {
            Some(there) => merge(there, last.get(field), value),
            None => drop(live.insert(field.clone(), value.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// `live` as it is after `last` was applied to it and others have edited it.
    fn check(last: Value, edited: Value, wanted: Value, expected: Value) {
        let object = |spec: Value| json!({"metadata": {"name": "a"}, "spec": spec});
        let mut live = annotated(&object(last));
        live["spec"] = edited;
        let merged = applied(&live, &object(wanted.clone()));
        assert_eq!(merged["spec"], expected);
        let again = applied(&merged, &object(wanted));
        assert_eq!(again, merged, "what was applied is unchanged");
    }

    #[test]
    fn a_field_becomes_what_the_file_says() {
        check(
            json!({"a": 1}),
            json!({"a": 1}),
            json!({"a": 2, "b": {"c": 3}}),
            json!({"a": 2, "b": {"c": 3}}),
        );
        check(json!({"a": 1}), json!({"a": 5}), json!({"a": 1}), json!({"a": 1}));
        check(
            json!({"a": [1, 2]}),
            json!({"a": [1, 2]}),
            json!({"a": [3]}),
            json!({"a": [3]}),
        );
    }

    #[test]
    fn what_left_the_file_goes_and_what_never_was_in_it_stays() {
        check(
            json!({"a": 1, "b": {"c": 1, "d": 1}}),
            json!({"a": 1, "b": {"c": 1, "d": 1, "e": 1}, "unschedulable": true}),
            json!({"b": {"d": 1}}),
            json!({"b": {"d": 1, "e": 1}, "unschedulable": true}),
        );
    }

    #[test]
    fn arguments_are_replaced_as_a_whole() {
        check(
            json!({"call": {"args": {"a": 1}}}),
            json!({"call": {"args": {"a": 1, "z": 1}}}),
            json!({"call": {"args": {"b": null}}}),
            json!({"call": {"args": {"b": null}}}),
        );
    }

    #[test]
    fn what_was_made_by_others_is_adopted_without_loss() {
        let live = json!({"metadata": {"name": "a", "labels": {"x": "1"}}, "spec": {"a": 1, "b": 2}});
        let wanted = json!({"metadata": {"name": "a"}, "spec": {"a": 1}});
        let merged = applied(&live, &wanted);
        assert_eq!(
            (&merged["spec"], &merged["metadata"]["labels"]),
            (&live["spec"], &live["metadata"]["labels"])
        );
        assert_ne!(merged, live, "it's noted");
        let large = json!({"metadata": {"name": "a"}, "spec": {"a": "x".repeat(MOST)}});
        assert_eq!(annotated(&large), large);
    }
}
