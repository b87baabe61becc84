//! Which Proplets a task is for, by their labels: Kubernetes'
//! [label selector](https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/label-selector/).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Labels;

/// Which Proplets: those that match everything here. Empty selects every Proplet of the namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelSelector {
    /// Every label here must be there with that value. Every Proplet has the labels `propeller.dev/os` and `propeller.dev/arch` besides its
    /// own, once its process was heard of.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub match_labels: Labels,
    /// Every requirement here must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 32)))]
    pub match_expressions: Vec<LabelRequirement>,
}

/// What must hold of one label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(
    feature = "schema",
    schemars(extend("x-kubernetes-validations" = [{
        "rule": "(self.operator in ['In', 'NotIn']) == (has(self.values) && self.values.size() > 0)",
        "message": "In and NotIn need values, Exists and DoesNotExist have none",
    }]))
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelRequirement {
    /// Key of the label.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 317)))]
    pub key: String,
    /// How the label relates to `values`.
    pub operator: LabelOperator,
    /// For `In` and `NotIn`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = 64), inner(length(max = 63))))]
    pub values: Vec<String>,
}

/// How a label relates to values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum LabelOperator {
    /// It's there, with one of the values.
    In,
    /// It's there with another value, or not there.
    NotIn,
    /// It's there.
    Exists,
    /// It isn't there.
    DoesNotExist,
}

impl LabelSelector {
    /// The first requirement that `labels` don't meet, if any, in words such as `site=lab`.
    pub fn mismatch(&self, labels: &Labels) -> Option<String> {
        let missing = self
            .match_labels
            .iter()
            .find(|(key, value)| labels.get(*key) != Some(*value));
        let missing = missing.map(|(key, value)| format!("{key}={value}"));
        missing.or_else(|| {
            let unmet = self
                .match_expressions
                .iter()
                .find(|requirement| !requirement.holds(labels));
            unmet.map(ToString::to_string)
        })
    }
}

impl LabelRequirement {
    fn holds(&self, labels: &Labels) -> bool {
        let label = labels.get(&self.key);
        let is_listed = label.is_some_and(|label| self.values.contains(label));
        match self.operator {
            LabelOperator::In => is_listed,
            LabelOperator::NotIn => !is_listed,
            LabelOperator::Exists => label.is_some(),
            LabelOperator::DoesNotExist => label.is_none(),
        }
    }
}

/// As `kubectl get -l` has it.
impl fmt::Display for LabelRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, values) = (&self.key, self.values.join(","));
        match self.operator {
            LabelOperator::In => write!(f, "{key} in ({values})"),
            LabelOperator::NotIn => write!(f, "{key} notin ({values})"),
            LabelOperator::Exists => f.write_str(key),
            LabelOperator::DoesNotExist => write!(f, "!{key}"),
        }
    }
}

/// A text can't be read as a selector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "write site=lab, site!=lab, 'site in (lab,roof)', 'site notin (lab)', gpu or !gpu, with commas between several"
)]
pub struct InvalidSelector;

/// The text of `kubectl get -l` and of a list's `labelSelector`:
/// [labels and selectors](https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#list-and-watch-filtering).
impl FromStr for LabelSelector {
    type Err = InvalidSelector;

    fn from_str(text: &str) -> Result<Self, InvalidSelector> {
        let mut selector = Self::default();
        for part in parts(text) {
            selector.require(part.trim())?;
        }
        Ok(selector)
    }
}

/// What is between commas that aren't in parentheses.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_u32;
    text.split(move |letter| {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        letter == ',' && depth == 0
    })
}

impl LabelSelector {
    fn require(&mut self, part: &str) -> Result<(), InvalidSelector> {
        use LabelOperator::{DoesNotExist, Exists, In, NotIn};
        let (key, operator, values) = if let Some((key, value)) = part.split_once("!=") {
            (key, NotIn, vec![value])
        } else if let Some((key, value)) = part.split_once('=') {
            let value = value.strip_prefix('=').unwrap_or(value);
            self.match_labels.insert(word(key)?, value_of(value)?);
            return Ok(());
        } else if let Some(key) = part.strip_prefix('!') {
            (key, DoesNotExist, vec![])
        } else if let Some((key, rest)) = part.split_once(char::is_whitespace) {
            let (operator, list) = rest.trim_start().split_once('(').ok_or(InvalidSelector)?;
            let operator = match operator.trim() {
                "in" => In,
                "notin" => NotIn,
                _ => return Err(InvalidSelector),
            };
            let list = list.strip_suffix(')').ok_or(InvalidSelector)?;
            (key, operator, list.split(',').collect())
        } else {
            (part, Exists, vec![])
        };
        self.match_expressions.push(LabelRequirement {
            key: word(key)?,
            operator,
            values: values.into_iter().map(value_of).collect::<Result<_, _>>()?,
        });
        Ok(())
    }
}

fn word(text: &str) -> Result<String, InvalidSelector> {
    let word = value_of(text)?;
    if word.is_empty() {
        Err(InvalidSelector)
    } else {
        Ok(word)
    }
}

/// A label's value may be empty.
fn value_of(text: &str) -> Result<String, InvalidSelector> {
    let text = text.trim();
    let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || "-_./".contains(letter);
    if text.chars().all(is_allowed) {
        Ok(text.to_owned())
    } else {
        Err(InvalidSelector)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_kubectl_is_read_or_refused() {
        let check = |text: &str, expected: Option<&str>| {
            let read = text.parse::<LabelSelector>().ok().map(|selector| {
                let labels = selector
                    .match_labels
                    .iter()
                    .map(|(key, value)| format!("{key}={value}"));
                let others = selector.match_expressions.iter().map(ToString::to_string);
                labels.chain(others).collect::<Vec<_>>().join(" + ")
            });
            assert_eq!(read.as_deref(), expected, "{text}");
        };
        check("site=lab", Some("site=lab"));
        check(" site == lab , gpu", Some("site=lab + gpu"));
        check("site!=lab,!old", Some("site notin (lab) + !old"));
        check(
            "site in (lab, roof),room notin (12),a.b/c",
            Some("site in (lab,roof) + room notin (12) + a.b/c"),
        );
        check("site=", Some("site="));
        for text in [
            "",
            ",",
            "=lab",
            "site in lab",
            "site in (lab",
            "site of (lab)",
            "a b",
            "site=a b",
            "site (lab)",
            "!",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn a_selector_means_what_kubernetes_means_by_it() {
        let check = |operator, values: &[&str], labels: &[(&str, &str)], expected: Option<&str>| {
            let requirement = LabelRequirement {
                key: "site".into(),
                operator,
                values: values.iter().map(ToString::to_string).collect(),
            };
            let selector = LabelSelector {
                match_labels: Labels::default(),
                match_expressions: vec![requirement],
            };
            let labels = labels.iter().map(|(key, value)| (key.to_string(), value.to_string()));
            assert_eq!(selector.mismatch(&labels.collect()).as_deref(), expected);
        };
        use LabelOperator::{DoesNotExist, Exists, In, NotIn};
        check(In, &["lab", "roof"], &[("site", "roof")], None);
        check(In, &["lab", "roof"], &[("site", "cellar")], Some("site in (lab,roof)"));
        check(In, &["lab"], &[], Some("site in (lab)"));
        check(NotIn, &["lab"], &[("site", "lab")], Some("site notin (lab)"));
        check(NotIn, &["lab"], &[], None);
        check(Exists, &[], &[("site", "")], None);
        check(Exists, &[], &[], Some("site"));
        check(DoesNotExist, &[], &[("site", "lab")], Some("!site"));
        check(DoesNotExist, &[], &[], None);
    }
}
