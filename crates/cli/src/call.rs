//! Which function is called with which arguments, from what a person typed.

use propeller_api::Call as TaskCall;
use propeller_types::{Contract, Function, FunctionRef, wave};
use serde_json::Value;

use crate::failure::Failure;

/// A call as it was asked for. Whether the component has it is seen in its contract.
#[derive(Debug)]
pub enum Wanted {
    /// `add(20, 22)`.
    Wave(wave::Call),
    /// Arguments as JSON. Without a function, the only one that the component has is meant.
    Json { function: Option<FunctionRef>, args: Value },
}

impl Default for Wanted {
    /// The only function that there is, without arguments.
    fn default() -> Self {
        Self::Json {
            function: None,
            args: Value::Null,
        }
    }
}

/// A call that fits a component: what the engine takes.
#[derive(Debug, PartialEq)]
pub struct Call {
    pub function: FunctionRef,
    pub args: Value,
}

impl Wanted {
    /// What the command line says counts, part by part, and then what the Task says.
    pub fn new(
        wave: Option<&str>,
        function: Option<FunctionRef>,
        args: Option<&str>,
        task: Option<&TaskCall>,
    ) -> Result<Self, Failure> {
        if let Some(call) = wave {
            return Ok(Self::Wave(call.parse()?));
        }
        let function = match (function, task) {
            (Some(function), _) => Some(function),
            (None, Some(task)) => Some(task.function.parse()?),
            (None, None) => None,
        };
        let args = match (args, task) {
            (Some(json), _) => serde_json::from_str(json).map_err(Failure::ParseArgs)?,
            (None, Some(task)) => task.args.clone(),
            (None, None) => Value::Null,
        };
        Ok(Self::Json { function, args })
    }

    /// Finds the function and checks the arguments, so that nothing is compiled for a call that can't be made.
    pub fn fit(self, contract: &Contract) -> Result<Call, Failure> {
        let (function, args) = match self {
            Self::Wave(call) => {
                let function = contract.find(call.function())?;
                (function, call.args(&function.argument_types()?)?)
            }
            Self::Json {
                function: Some(function),
                args,
            } => (contract.find(&function)?, args),
            Self::Json { function: None, args } => (only_function(contract)?, args),
        };
        function.check_args(&args)?;
        let function = function.reference();
        Ok(Call { function, args })
    }
}

fn only_function(contract: &Contract) -> Result<&Function, Failure> {
    let functions: Vec<_> = contract.functions().collect();
    match functions.as_slice() {
        [only] => Ok(only),
        [] => Err(Failure::FunctionRequired(
            " the component exports none of its own".to_owned(),
        )),
        several => {
            let lines: Vec<_> = several.iter().map(|function| format!("\n  {function}")).collect();
            Err(Failure::FunctionRequired(lines.concat()))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The text of a component that exports these functions, all of them without parameters but for `add`.
    fn contract(names: &[&str]) -> Contract {
        let function = |name: &&str| {
            let ty = match *name {
                "add" => r#"(param "a" s32) (param "b" s32) (result s32)"#,
                _ => "(result s32)",
            };
            let core = ty
                .replace("\"a\" s32", "i32")
                .replace("\"b\" s32", "i32")
                .replace("s32", "i32");
            format!(
                r#"(core module $m_{name} (func (export "f") {core} (i32.const 1)))
                   (core instance $i_{name} (instantiate $m_{name}))
                   (func (export "{name}") {ty} (canon lift (core func $i_{name} "f")))"#
            )
        };
        let wat = format!("(component {})", names.iter().map(function).collect::<String>());
        Contract::read(&wat::parse_str(wat).unwrap()).unwrap()
    }

    #[test]
    fn calls_fit_or_say_why_not() {
        let task = TaskCall {
            function: "add".to_owned(),
            args: json!([1, 2]),
        };
        type Typed<'a> = (Option<&'a str>, Option<&'a str>, Option<&'a str>, Option<&'a TaskCall>);
        let check = |exports: &[&str], (wave, function, args, task): Typed, expected: Result<(&str, Value), &str>| {
            let function = function.map(|function| function.parse().unwrap());
            let call = Wanted::new(wave, function, args, task).and_then(|wanted| wanted.fit(&contract(exports)));
            let call = call
                .map(|call| (call.function.to_string(), call.args))
                .map_err(|failure| failure.reason().to_owned());
            let expected = expected.map(|(function, args)| (function.to_owned(), args));
            assert_eq!(call, expected.map_err(str::to_owned));
        };
        let both = &["add", "one"];
        check(
            both,
            (Some("add(20, 22)"), None, None, None),
            Ok(("add", json!([20, 22]))),
        );
        check(
            both,
            (None, Some("add"), Some("[20, 22]"), None),
            Ok(("add", json!([20, 22]))),
        );
        check(
            both,
            (None, Some("add"), Some(r#"{"b": 2, "a": 1}"#), None),
            Ok(("add", json!({"a": 1, "b": 2}))),
        );
        check(both, (None, Some("one"), None, None), Ok(("one", Value::Null)));
        check(&["one"], (None, None, None, None), Ok(("one", Value::Null)));
        check(&["add"], (None, None, Some("[1, 2]"), None), Ok(("add", json!([1, 2]))));
        check(both, (None, None, None, Some(&task)), Ok(("add", json!([1, 2]))));
        check(
            both,
            (None, None, Some("[3, 4]"), Some(&task)),
            Ok(("add", json!([3, 4]))),
        );
        check(both, (Some("one()"), None, None, Some(&task)), Ok(("one", json!([]))));

        check(both, (None, None, None, None), Err("FunctionRequired"));
        check(&[], (None, None, None, None), Err("FunctionRequired"));
        check(&["add"], (None, None, None, None), Err("TooFewArguments"));
        check(both, (Some("sub(1)"), None, None, None), Err("UnknownExport"));
        check(both, (Some("add"), None, None, None), Err("InvalidCall"));
        check(both, (None, Some("add"), Some("20, 22"), None), Err("InvalidCall"));
        check(
            both,
            (None, Some("add"), Some("[20, \"22\"]"), None),
            Err("WrongArgumentType"),
        );
    }

    #[test]
    fn what_there_is_to_call_is_listed() {
        let missing = Wanted::new(None, None, None, None).and_then(|wanted| wanted.fit(&contract(&["add", "one"])));
        assert_eq!(
            missing.unwrap_err().to_string(),
            "say which function to call:\n  add: func(a: s32, b: s32) -> s32\n  one: func() -> s32"
        );
    }
}
