//! Whether a component can do what a task wants of it, and what to write instead when it can't.

use propeller_api::{Call, Work};
use propeller_types::{Contract, FindError, FunctionRef, InvalidFunctionRef};

use super::permanent;
use crate::brain::Trouble;

/// Exports that a message names.
const NAMED: usize = 8;

/// Checks what is to run against what the component exports.
pub(super) fn check(contract: &Contract, work: &Work) -> Result<(), Trouble> {
    match work {
        Work::Call(call) => check_call(contract, call),
        Work::Command(_) if contract.command().is_some() => Ok(()),
        Work::Command(_) => Err(unfit("NotAProgram", "it doesn't export wasi:cli/run", contract)),
        Work::Service(_) if contract.service().is_some() => Ok(()),
        Work::Service(_) => Err(unfit(
            "NotAService",
            "it exports neither wasi:http/incoming-handler nor wasi:http/handler",
            contract,
        )),
    }
}

/// The function that a call names.
pub(super) fn function(call: &Call) -> Result<FunctionRef, Trouble> {
    let function = call.function.parse();
    function.map_err(|error: InvalidFunctionRef| permanent("InvalidFunction", &error))
}

fn check_call(contract: &Contract, call: &Call) -> Result<(), Trouble> {
    let found = contract
        .find(&function(call)?)
        .map_err(|error| not_found(contract, &error))?;
    let fits = found.check_args(&call.args);
    fits.map_err(|error| permanent(error.reason(), &error))
}

/// A program or a service has no functions to call, which is easily forgotten.
fn not_found(contract: &Contract, error: &FindError) -> Trouble {
    let trouble = permanent(error.reason(), error);
    let message = match suggestion(contract) {
        Some(suggestion) if contract.functions().next().is_none() => format!("{}; {suggestion}", trouble.message),
        _ => return trouble,
    };
    Trouble { message, ..trouble }
}

fn unfit(reason: &str, problem: &str, contract: &Contract) -> Trouble {
    let instead = suggestion(contract).unwrap_or_else(|| exports(contract));
    Trouble {
        reason: reason.to_owned(),
        message: format!("the component can't do that: {problem}; {instead}"),
        is_transient: false,
    }
}

/// What to write for this component.
fn suggestion(contract: &Contract) -> Option<String> {
    if contract.command().is_some() {
        return Some("it is a program: write `command: {}` to run it".to_owned());
    }
    if contract.service().is_some() {
        return Some("it serves HTTP: write `service: {}` to have it serve".to_owned());
    }
    let functions = contract.functions().map(|function| function.reference().to_string());
    let functions = list(functions);
    (!functions.is_empty()).then(|| format!("it exports functions: write `call` with one of {functions}"))
}

fn exports(contract: &Contract) -> String {
    match list(contract.export_names().map(str::to_owned)) {
        names if names.is_empty() => "it exports nothing".to_owned(),
        names => format!("it exports only {names}"),
    }
}

fn list(names: impl Iterator<Item = String>) -> String {
    let mut names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(NAMED);
    if more > 0 {
        names.truncate(NAMED);
        names.push(format!("{more} more"));
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use propeller_api::{Command, Service};
    use serde_json::json;

    use super::*;

    /// A component that exports one function under each name: interfaces when they have a colon.
    fn contract(exports: &[&str]) -> Contract {
        let exported: String = exports
            .iter()
            .enumerate()
            .map(|(index, name)| export(index, name))
            .collect();
        let component = format!(
            r#"(component
                (core module $m (func (export "f")))
                (core instance $i (instantiate $m))
                (func $f (canon lift (core func $i "f")))
                {exported})"#
        );
        Contract::read(&wat::parse_str(component).unwrap()).unwrap()
    }

    fn export(index: usize, name: &str) -> String {
        match name.split_once('#') {
            Some((interface, function)) => format!(
                r#"(instance $e{index} (export "{function}" (func $f))) (export "{interface}" (instance $e{index}))"#
            ),
            None => format!(r#"(export "{name}" (func $f))"#),
        }
    }

    #[test]
    fn what_does_not_fit_says_what_to_write_instead() {
        let call = Work::Call(Call {
            function: "run".into(),
            args: json!([]),
        });
        let command = Work::Command(Command::default());
        let service = Work::Service(Service::default());
        let check = |exports: &[&str], work: &Work, expected: Option<(&str, &str)>| {
            let trouble = check(&contract(exports), work).err();
            let matches = match (&trouble, expected) {
                (Some(trouble), Some((reason, mention))) => {
                    trouble.reason == reason && trouble.message.contains(mention) && !trouble.is_transient
                }
                (trouble, expected) => trouble.is_none() && expected.is_none(),
            };
            assert!(matches, "{exports:?} {work}: {trouble:?}, {expected:?}");
        };
        let (program, program_03) = ("wasi:cli/run@0.2.6#run", "wasi:cli/run@0.3.0#run");
        let (server, server_03) = (
            "wasi:http/incoming-handler@0.2.0#handle",
            "wasi:http/handler@0.3.0#handle",
        );
        check(&["run"], &call, None);
        check(&[program], &command, None);
        check(&[program_03], &command, None);
        check(&[server], &service, None);
        check(&[server_03], &service, None);
        check(&[program], &call, Some(("UnknownExport", "write `command: {}`")));
        check(&[server], &call, Some(("UnknownExport", "write `service: {}`")));
        check(&["go", program], &call, Some(("UnknownExport", "exports go")));
        check(&[program], &service, Some(("NotAService", "write `command: {}`")));
        check(&[server], &command, Some(("NotAProgram", "write `service: {}`")));
        check(
            &["go", "a:b/c#stop"],
            &command,
            Some(("NotAProgram", "one of `go`, `a:b/c#stop`")),
        );
        check(&[], &command, Some(("NotAProgram", "it exports nothing")));
        check(
            &["wasi:cli/environment@0.2.0#get"],
            &command,
            Some(("NotAProgram", "only `wasi:cli/environment@0.2.0`")),
        );
        let many: Vec<_> = (0..20).map(|number| format!("f{number}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        check(&many, &service, Some(("NotAService", "`f7`, 12 more")));
    }
}
