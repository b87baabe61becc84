//! How deep values may be.

use serde_json::Value;

/// Most levels of lists and objects in arguments and results. A type of a component has a hundred at most; and what has many more can't be read
/// by JSON parsers that stop at 128, nor a list of resources in which it is.
pub const MAX_LEVELS: usize = 110;

/// Whether a value has more than so many levels of lists and objects.
pub fn is_deeper(value: &Value, levels: usize) -> bool {
    let Some(below) = levels.checked_sub(1) else {
        return value.is_array() || value.is_object();
    };
    match value {
        Value::Array(items) => items.iter().any(|item| is_deeper(item, below)),
        Value::Object(fields) => fields.values().any(|field| is_deeper(field, below)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Task;

    fn nested(levels: usize) -> Value {
        let mut value = Value::Null;
        for level in 0..levels {
            value = match level % 2 {
                0 => serde_json::json!([1, value]),
                _ => serde_json::json!({"a": 1, "b": value}),
            };
        }
        value
    }

    #[test]
    fn arguments_are_as_deep_as_a_type_can_be() {
        let check = |levels: usize, is_valid: bool| {
            let mut task: Task = serde_json::from_value(serde_json::json!({
                "apiVersion": "propeller.dev/v1alpha1", "kind": "Task", "metadata": {"name": "a"},
                "spec": {"image": "lab/a:1", "call": {"function": "f"}},
            }))
            .unwrap();
            task.spec.call.as_mut().unwrap().args = nested(levels);
            let verdict = task.validate();
            assert_eq!(verdict.is_ok(), is_valid, "{levels}: {verdict:?}");
        };
        check(0, true);
        check(MAX_LEVELS, true);
        check(MAX_LEVELS + 1, false);
        check(1_000, false);
    }
}
