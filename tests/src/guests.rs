//! The guests by name, as the compiler knows them. `build.rs` writes the enum, and `tests/e2e/guests.rs` has the test of each.

include!(concat!(env!("OUT_DIR"), "/guests.rs"));
