//! The rules that a resource must keep, for shells without an API server.
//!
//! They are the same as the schemas and CEL rules of the custom resources: one table of cases, in tests/, runs against both.

mod edit;
mod grants;
mod labels;

use std::ops::RangeInclusive;

use crate::{LabelOperator, LabelSelector, MAX_LEVELS, Metadata, Proplet, Task, TaskSpec, is_deeper, is_dns_subdomain};

pub use labels::validate_labels;

#[cfg(feature = "schema")]
pub(crate) use grants::PATH;

/// A year: longer times are mistakes.
pub const MAX_SECONDS: u32 = 31_536_000;

/// Most attempts that may follow failed ones.
pub const MAX_BACKOFF_LIMIT: u32 = 100;

/// How far from 0 a priority may be, as in Kubernetes.
pub const MAX_PRIORITY: i32 = 1_000_000_000;

/// Most characters that the arguments of a program, an environment or a configuration have together: a start must fit into a message.
pub const MAX_TEXT: usize = 262_144;

/// A field breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Invalid {
    /// Path of the field, as in `spec.call.function`.
    pub field: String,
    /// What is wrong, and what to write instead.
    pub problem: String,
}

impl Task {
    /// Checks every rule that needs nothing but the task itself.
    pub fn validate(&self) -> Result<(), Invalid> {
        let spec = &self.spec;
        metadata(&self.metadata)?;
        length("spec.image", &spec.image, 1..=1024)?;
        if spec.image.contains(' ') || spec.image.contains("://") {
            return invalid(
                "spec.image",
                "image is a reference such as registry.example/team/component:1.0.0, without a scheme and without spaces",
            );
        }
        what_to_run(spec)?;
        if let Some(grants) = &spec.grants {
            grants.validate().map_err(|invalid| Invalid {
                field: format!("spec.grants.{}", invalid.field),
                ..invalid
            })?;
        }
        if let Some(proplet) = &spec.proplet {
            length("spec.proplet", proplet, 1..=253)?;
        }
        if spec.proplet.is_some() && spec.proplet_selector.is_some() {
            return invalid(
                "spec",
                "proplet and propletSelector exclude each other: name one proplet, or select by labels",
            );
        }
        if let Some(selector) = &spec.proplet_selector {
            expressions(selector)?;
        }
        policy(spec)
    }
}

/// When it starts and ends, and how often.
fn policy(spec: &TaskSpec) -> Result<(), Invalid> {
    let within = |field: &str, number: Option<u32>, range: RangeInclusive<u32>| match number {
        Some(number) if !range.contains(&number) => invalid(
            field,
            format!("{number} should be from {} to {}", range.start(), range.end()),
        ),
        _ => Ok(()),
    };
    within(
        "spec.activeDeadlineSeconds",
        spec.active_deadline_seconds,
        1..=MAX_SECONDS,
    )?;
    within(
        "spec.startDeadlineSeconds",
        spec.start_deadline_seconds,
        1..=MAX_SECONDS,
    )?;
    within("spec.lostAfterSeconds", spec.lost_after_seconds, 1..=MAX_SECONDS)?;
    within(
        "spec.ttlSecondsAfterFinished",
        spec.ttl_seconds_after_finished,
        0..=MAX_SECONDS,
    )?;
    within("spec.backoffLimit", spec.backoff_limit, 0..=MAX_BACKOFF_LIMIT)?;
    if !(-MAX_PRIORITY..=MAX_PRIORITY).contains(&spec.priority) {
        let problem = format!("{} should be from -{MAX_PRIORITY} to {MAX_PRIORITY}", spec.priority);
        return invalid("spec.priority", problem);
    }
    let Some(policy) = &spec.retry_policy else {
        return Ok(());
    };
    let mut kinds = policy.retry_on.clone();
    kinds.sort();
    if kinds.windows(2).any(|pair| pair[0] == pair[1]) {
        return invalid("spec.retryPolicy.retryOn", "has an entry twice");
    }
    Ok(())
}

fn expressions(selector: &LabelSelector) -> Result<(), Invalid> {
    let field = "spec.propletSelector.matchExpressions";
    count(field, selector.match_expressions.len(), 32)?;
    for (index, requirement) in selector.match_expressions.iter().enumerate() {
        let field = format!("{field}[{index}]");
        length(&format!("{field}.key"), &requirement.key, 1..=317)?;
        count(&format!("{field}.values"), requirement.values.len(), 64)?;
        for (index, value) in requirement.values.iter().enumerate() {
            length(&format!("{field}.values[{index}]"), value, 0..=63)?;
        }
        let wants_values = matches!(requirement.operator, LabelOperator::In | LabelOperator::NotIn);
        if wants_values == requirement.values.is_empty() {
            return invalid(&field, "In and NotIn need values, Exists and DoesNotExist have none");
        }
    }
    Ok(())
}

fn what_to_run(spec: &TaskSpec) -> Result<(), Invalid> {
    if spec.work().is_none() {
        return invalid("spec", "exactly one of call, command and service says what to run");
    }
    if spec.service.is_some() && spec.active_deadline_seconds.is_some() {
        return invalid(
            "spec",
            "a service runs until its Task is deleted: activeDeadlineSeconds is for calls and commands",
        );
    }
    let retries = spec.backoff_limit.is_some() || spec.retry_policy.is_some();
    if spec.service.is_some() && (retries || spec.ttl_seconds_after_finished.is_some()) {
        return invalid(
            "spec",
            "a service is placed anew whenever it ends: backoffLimit, retryPolicy and ttlSecondsAfterFinished are for calls and commands",
        );
    }
    if let Some(call) = &spec.call {
        length("spec.call.function", &call.function, 1..=512)?;
        if is_deeper(&call.args, MAX_LEVELS) {
            let problem = format!("has more than {MAX_LEVELS} levels of lists and objects, which no type has");
            return invalid("spec.call.args", problem);
        }
    }
    let Some(command) = &spec.command else { return Ok(()) };
    count("spec.command.args", command.args.len(), 256)?;
    for (index, arg) in command.args.iter().enumerate() {
        text(&format!("spec.command.args[{index}]"), arg, 0..=MAX_VALUE)?;
    }
    together("spec.command.args", command.args.iter().map(String::as_str))
}

impl Proplet {
    /// Checks every rule that needs nothing but the proplet itself.
    pub fn validate(&self) -> Result<(), Invalid> {
        metadata(&self.metadata)
    }
}

fn metadata(metadata: &Metadata) -> Result<(), Invalid> {
    let name = &metadata.name;
    if !is_dns_subdomain(name) {
        return invalid(
            "metadata.name",
            format!("`{name}` should be at most 253 lowercase letters, digits, `-` and `.`, such as my-task"),
        );
    }
    validate_labels("metadata.labels", &metadata.labels)
}

/// Characters of a single argument, variable or value.
const MAX_VALUE: usize = 32_768;

fn length(field: &str, text: &str, range: RangeInclusive<usize>) -> Result<(), Invalid> {
    let count = text.chars().count();
    if range.contains(&count) {
        return Ok(());
    }
    let (least, most) = (range.start(), range.end());
    invalid(
        field,
        format!("has {count} characters, should have from {least} to {most}"),
    )
}

/// What goes to a program: C's strings end at a NUL.
fn text(field: &str, text: &str, range: RangeInclusive<usize>) -> Result<(), Invalid> {
    length(field, text, range)?;
    if text.contains('\0') {
        return invalid(field, "has a NUL in it");
    }
    Ok(())
}

fn count(field: &str, count: usize, most: usize) -> Result<(), Invalid> {
    if count <= most {
        return Ok(());
    }
    invalid(field, format!("has {count} entries, should have at most {most}"))
}

fn together<'a>(field: &str, texts: impl Iterator<Item = &'a str>) -> Result<(), Invalid> {
    let sum: usize = texts.map(|text| text.chars().count()).sum();
    if sum <= MAX_TEXT {
        return Ok(());
    }
    invalid(
        field,
        format!("has {sum} characters, more than {MAX_TEXT}: put data into a file"),
    )
}

fn invalid(field: &str, problem: impl Into<String>) -> Result<(), Invalid> {
    Err(Invalid {
        field: field.to_owned(),
        problem: problem.into(),
    })
}
