//! Bytes at the door, and whatever can be read of them.

#![no_main]

use std::{panic, sync::Once};

use libfuzzer_sys::fuzz_target;
use propeller_fuzz::check_message;
use propeller_types::{Contract, lift, outline};
use serde_json::Value;

/// The fuzzer's own hook aborts at every panic. The door turns those of wit-component into errors, and those are no
/// findings; a panic that gets out of here is one, with this hook as well.
static QUIET: Once = Once::new();

fuzz_target!(|input: &[u8]| {
    QUIET.call_once(|| panic::set_hook(Box::new(|info| eprintln!("{info}"))));
    let component = match lift(input) {
        Ok(component) => component,
        Err(error) => return check_message(&error),
    };
    match Contract::read(&component) {
        Ok(contract) => {
            exercise(&contract);
            if let Some(outline) = outline(&component) {
                assert_eq!(Contract::read(&outline).unwrap(), contract);
            }
        }
        Err(error) => check_message(&error),
    }
});

/// What can be read can also be shown, found, and called with its own examples.
fn exercise(contract: &Contract) {
    serde_json::to_string(contract).unwrap();
    (contract.command(), contract.service(), contract.needs_03());
    for function in contract.exports.iter().flat_map(|export| &export.functions) {
        match function.argument_types() {
            Ok(_) => function.check_args(&function.example_args()).unwrap(),
            Err(error) => check_message(&error),
        }
        if let Err(error) = function.check_args(&Value::Null) {
            check_message(&error);
        }
        if let Ok(reference) = function.reference().to_string().parse() {
            let _ = contract.find(&reference);
        }
    }
}
