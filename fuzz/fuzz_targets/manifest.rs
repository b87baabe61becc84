//! What registries answer, and the references that people write.

#![no_main]

use libfuzzer_sys::fuzz_target;
use propeller_artifact::{Reference, read_layout};

fuzz_target!(|input: &[u8]| {
    let (Ok(said) | Err(said)) = read_layout(input);
    assert!(said.len() < 4_000, "{said}");
    let Some(reference) = std::str::from_utf8(input)
        .ok()
        .and_then(|text| text.parse::<Reference>().ok())
    else {
        return;
    };
    assert_eq!(reference.to_string().parse::<Reference>().unwrap(), reference);
});
