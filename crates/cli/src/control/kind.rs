//! What people ask for: a kind of resource, and names.

use std::fmt;

use propeller_api::is_dns_subdomain;
use serde_json::Value;

use super::ControlError;

/// A kind of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One run of one component.
    Task,
    /// One running host.
    Proplet,
}

impl Kind {
    /// Every kind, in the order in which people meet them.
    pub const ALL: [Self; 2] = [Self::Task, Self::Proplet];

    /// By any of its names.
    pub fn named(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "t" | "task" | "tasks" => Some(Self::Task),
            "p" | "proplet" | "proplets" => Some(Self::Proplet),
            _ => None,
        }
    }

    /// What `kind` says.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Task => "Task",
            Self::Proplet => "Proplet",
        }
    }

    /// As people write one, and as it is before a name: `task/addition`.
    pub fn singular(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Proplet => "proplet",
        }
    }

    /// As it is in paths of the API.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Task => "tasks",
            Self::Proplet => "proplets",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.singular())
    }
}

/// A kind, and names of it. No names mean all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub kind: Kind,
    pub names: Vec<String>,
}

impl Target {
    /// From `tasks`, `task a b`, or `task/a task/b`.
    pub fn read(words: &[String]) -> Result<Self, ControlError> {
        let (first, rest) = words.split_first().ok_or_else(|| unknown(""))?;
        if !first.contains('/') {
            let kind = Kind::named(first).ok_or_else(|| unknown(first))?;
            if let Some(name) = rest.iter().find(|name| name.contains('/')) {
                return Err(ControlError::Target(format!(
                    "`{name}` names a kind, and so does `{first}` before it: write {kind} NAME…, or KIND/NAME…"
                )));
            }
            let names = rest.iter().map(|name| checked(name)).collect::<Result<_, _>>()?;
            return Ok(Self { kind, names });
        }
        let mut target: Option<Self> = None;
        for word in words {
            let (kind, name) = word.split_once('/').unwrap_or((word, ""));
            let kind = Kind::named(kind).ok_or_else(|| unknown(word))?;
            let target = target.get_or_insert(Self { kind, names: vec![] });
            if name.is_empty() || target.kind != kind {
                return Err(ControlError::Target(format!(
                    "can't read `{word}`: write KIND/NAME, of one kind at a time, such as {}/NAME",
                    target.kind
                )));
            }
            target.names.push(checked(name)?);
        }
        target.ok_or_else(|| unknown(first))
    }

    /// The same where names must be said.
    pub fn named(words: &[String]) -> Result<Self, ControlError> {
        let target = Self::read(words)?;
        if target.names.is_empty() {
            let kind = target.kind;
            return Err(ControlError::Target(format!("say which {kind}: {kind} NAME")));
        }
        Ok(target)
    }
}

/// The name of one of that kind, from `NAME` or `KIND/NAME`.
pub fn name_of(kind: Kind, word: &str) -> Result<String, ControlError> {
    match word.split_once('/') {
        None => checked(word),
        Some((of, name)) if Kind::named(of) == Some(kind) => checked(name),
        Some(_) => Err(ControlError::Target(format!(
            "`{word}` is no {kind}: write the name of one"
        ))),
    }
}

/// A name that resources can have, and that means nothing else in a URL.
fn checked(name: &str) -> Result<String, ControlError> {
    match is_dns_subdomain(name) {
        true => Ok(name.to_owned()),
        false => Err(ControlError::Target(format!(
            "nothing can have the name `{name}`: names are made of a-z, 0-9, - and ."
        ))),
    }
}

fn unknown(word: &str) -> ControlError {
    ControlError::Target(format!(
        "there is no kind `{word}`: write task (t) or proplet (p), and a name behind it"
    ))
}

/// The text of a field, by its path as in `/metadata/name`. Empty where there is none.
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The name of an object.
pub fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// The condition of that type, if the object has it.
pub fn condition<'a>(object: &'a Value, type_: &str) -> Option<&'a Value> {
    conditions(object).find(|condition| condition["type"] == type_)
}

/// All conditions of the object, in the order in which they were first said.
pub fn conditions(object: &Value) -> impl Iterator<Item = &Value> {
    let list = object.pointer("/status/conditions").and_then(Value::as_array);
    list.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_names_are_read_or_refused() {
        let check = |line: &str, expected: Result<(Kind, &[&str]), &str>| {
            let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
            match (Target::read(&words), expected) {
                (Ok(target), Ok((kind, names))) => {
                    assert_eq!(target.kind, kind, "{line}");
                    assert_eq!(target.names, names, "{line}");
                }
                (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{line}: {error}"),
                (found, expected) => panic!("{line}: {found:?}, expected {expected:?}"),
            }
        };
        check("tasks", Ok((Kind::Task, &[])));
        check("t a", Ok((Kind::Task, &["a"])));
        check("Proplet a b", Ok((Kind::Proplet, &["a", "b"])));
        check("p/a proplets/b", Ok((Kind::Proplet, &["a", "b"])));
        check("", Err("write task"));
        check("pods", Err("no kind `pods`"));
        check("pod/a", Err("no kind `pod/a`"));
        check("task/a proplet/b", Err("one kind at a time"));
        check("task/", Err("KIND/NAME"));
        check("task/a b", Err("no kind `b`"));
        check("task task/a", Err("so does `task`"));
    }
}
