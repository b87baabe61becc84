//! A WAVE call for a parameter of any type.

#![no_main]

use libfuzzer_sys::fuzz_target;
use propeller_fuzz::{check_message, check_values, param_and_text};
use propeller_types::wave;

fuzz_target!(|input: &[u8]| {
    let Some((params, text)) = param_and_text(input) else {
        return;
    };
    match text.parse::<wave::Call>() {
        Ok(call) => check_values(&params, wave::args_to_values(&params, &call)),
        Err(error) => check_message(&error),
    }
});
