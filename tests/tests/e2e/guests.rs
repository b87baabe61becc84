//! Every guest of `components/` has a test. One without an entry here doesn't compile; `components/README.md` says how to add one.

use std::any::type_name;
use std::process::Command;

use anyhow::{Result, ensure};
use propeller_tests::guests::Guest;

use crate::cli::{program, serve};
use crate::proplet::services;
use crate::{grants, host, runs};

/// The test that shows what the guest is for.
fn test_of(guest: Guest) -> &'static str {
    match guest {
        Guest::Ambiguous => name(host::ambiguous_exports_must_be_qualified),
        Guest::AsyncExport => name(runs::async_export_is_called_and_ends_on_cancel),
        Guest::BothWorlds => name(runs::both_worlds_runs_as_0_3),
        Guest::Cat => name(program::cat_copies_its_input),
        Guest::Cat03 => name(program::cat_03_copies_its_input),
        Guest::Config => name(grants::config_is_what_was_granted),
        Guest::Dial => name(grants::sockets::dial_reaches_what_was_granted),
        Guest::EchoArgs => name(program::echo_args_sees_arguments_and_granted_variables),
        Guest::Env => name(grants::env_is_what_was_granted),
        Guest::ExitCode => name(program::exit_code_is_the_programs),
        Guest::Fetch => name(grants::http::fetch_reaches_what_was_granted),
        Guest::Files => name(grants::files_are_below_what_was_granted),
        Guest::Flood => name(program::flood_and_others_end_whatever_they_do),
        Guest::Greedy => name(host::greedy_imports_are_named_before_anything_runs),
        Guest::Hoard => name(host::hoard_is_out_of_memory_and_disturbs_nobody),
        Guest::Hog => name(grants::memory::hog_is_out_of_memory_and_the_host_is_not),
        Guest::HttpBothWorlds => name(serve::http_both_worlds_serves_as_0_3),
        Guest::HttpFail => name(serve::http_fail_ends_one_request_and_no_other),
        Guest::HttpHello => name(serve::http_hello_is_served_by_a_fresh_instance_each_time),
        Guest::HttpHello03 => name(serve::http_hello_03_is_served),
        Guest::HttpHold => name(services::http_hold_shares_the_memory_of_its_service),
        Guest::Keep => name(grants::keyvalue::keep_keeps_values_of_its_own_buckets),
        Guest::Lookup => name(grants::sockets::lookup_asks_for_granted_names_only),
        Guest::Mark => name(grants::mark_leaves_a_mark_each_time),
        Guest::Panic => name(program::panic_shows_its_functions),
        Guest::Peek => name(host::peek_sees_nothing),
        Guest::PrintLines => name(program::print_lines_goes_where_it_says),
        Guest::Reach03 => name(grants::reach_03_reaches_what_was_granted),
        Guest::Sleep => name(host::sleep_ends_at_its_deadline_and_on_cancel),
        Guest::Spin => name(host::spin_ends_at_its_deadline_and_on_cancel),
        Guest::TaskContext => name(host::task_context_is_the_invocations),
        Guest::Trap => name(host::trap_shows_its_functions),
    }
}

/// A function's path below this crate, which is how the test runner calls it.
fn name<Test: FnOnce() -> Result<()>>(_: Test) -> &'static str {
    let path = type_name::<Test>();
    path.split_once("::").map_or(path, |(_crate, name)| name)
}

/// The compiler sees that there is a function. Only the runner knows whether it runs it.
#[test]
fn every_guest_has_a_test_that_runs() -> Result<()> {
    let listed = Command::new(std::env::current_exe()?)
        .args(["--list", "--format", "terse"])
        .output()?;
    let listed = String::from_utf8(listed.stdout)?;
    for guest in Guest::ALL {
        let test = test_of(guest);
        ensure!(
            listed.lines().any(|line| line.strip_suffix(": test") == Some(test)),
            "{guest:?}: {test} isn't a test"
        );
    }
    Ok(())
}
