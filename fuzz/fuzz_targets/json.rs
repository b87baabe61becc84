//! JSON arguments for a parameter of any type.

#![no_main]

use libfuzzer_sys::fuzz_target;
use propeller_fuzz::{check_values, param_and_text};
use propeller_types::json;
use serde_json::json;

fuzz_target!(|input: &[u8]| {
    let Some((params, text)) = param_and_text(input) else {
        return;
    };
    let Ok(arg) = serde_json::from_str::<serde_json::Value>(text) else {
        return;
    };
    check_values(&params, json::args_to_values(&params, &json!([arg])));
    check_values(&params, json::args_to_values(&params, &json!({ "x": arg })));
    let _ = json::args_to_values::<wasm_wave::value::Value>(&params, &arg);
});
