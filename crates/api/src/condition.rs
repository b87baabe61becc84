//! Conditions: what is known about a resource, each with a reason for machines and a message for people.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One thing that is known, in the shape of Kubernetes'
/// [Condition](https://kubernetes.io/docs/reference/generated/kubernetes-api/v1.36/#condition-v1-meta), so that `kubectl wait` understands it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What is known, in CamelCase.
    #[serde(rename = "type")]
    pub type_: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Why, in one CamelCase word that programs may branch on.
    pub reason: String,
    /// Why, for people, and what to change where something has to be.
    pub message: String,
    /// The `metadata.generation` that this was said about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When `status` last changed.
    pub last_transition_time: Timestamp,
}

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It doesn't.
    False,
    /// Nobody can say.
    Unknown,
}

impl From<bool> for ConditionStatus {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// The condition of that type, if it was ever said.
pub fn condition<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether the condition of that type was said and holds.
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    condition(conditions, type_).is_some_and(|condition| condition.status == ConditionStatus::True)
}

/// Says `new`, in place of what was said before. The transition time moves only when the status changes, as the convention wants.
pub fn set_condition(conditions: &mut Vec<Condition>, mut new: Condition) {
    match conditions.iter_mut().find(|old| old.type_ == new.type_) {
        Some(old) => {
            if old.status == new.status {
                new.last_transition_time = old.last_transition_time;
            }
            *old = new;
        }
        None => conditions.push(new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_changed_status_moves_the_time() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let say = |status: bool, reason: &str, second| Condition {
            type_: "Scheduled".into(),
            status: status.into(),
            reason: reason.into(),
            message: String::new(),
            observed_generation: None,
            last_transition_time: at(second),
        };
        let mut conditions = vec![];
        set_condition(&mut conditions, say(false, "NoProplets", 1));
        set_condition(&mut conditions, say(false, "Unschedulable", 2));
        assert_eq!(
            condition(&conditions, "Scheduled"),
            Some(&say(false, "Unschedulable", 1))
        );
        set_condition(&mut conditions, say(true, "Placed", 3));
        assert_eq!(conditions, [say(true, "Placed", 3)]);
    }
}
