//! References that can't be resolved, and calls that don't fit.

use propeller_api::{Phase, types};

use super::{fixtures::task, world::World};
use crate::brain::{Severity, Trouble};

fn trouble(reason: &str, is_transient: bool) -> Trouble {
    Trouble {
        reason: reason.to_owned(),
        message: "change something".to_owned(),
        is_transient,
    }
}

#[test]
fn a_call_that_does_not_fit_ends_the_task_before_any_proplet_is_bothered() {
    let mut world = World::new();
    world.join("edge-1", &[]);
    world.resolver.troubles.push_back(trouble("WrongArgumentType", false));
    world.apply(task("a"));
    let message = world.reason("a", types::FINISHED, "WrongArgumentType");
    assert_eq!(message, "change something");
    assert_eq!((world.status("a").phase, world.store.task_writes), (Phase::Failed, 1));
    world.quiet();
    let notices = world.store.notices.clone();
    let told: Vec<_> = notices.iter().filter(|notice| notice.about.kind == "Task").collect();
    assert_eq!((told.len(), told[0].severity), (1, Severity::Warning));
}

#[test]
fn a_registry_that_comes_back_is_asked_again() {
    let mut world = World::new();
    world.join("edge-1", &[]);
    for _ in 0..3 {
        let trouble = trouble("RegistryUnreachable", true);
        world.resolver.troubles.push_back(trouble);
    }
    let before = world.now();
    world.apply(task("a"));
    world.reason("a", types::RESOLVED, "RegistryUnreachable");
    assert_eq!(world.status("a").phase, Phase::Pending);
    world.reason("a", types::RESOLVED, "Resolved");
    let took = world.now().duration_since(before).as_secs();
    assert!(
        (70..=90).contains(&took),
        "10, 20 and 40 seconds and some jitter, not {took}"
    );
    assert_eq!(world.resolver.calls, 4);
    // The same trouble again is no news, so the three failures were one write; the proplet is offline by now.
    assert_eq!(world.store.task_writes, 2);
}

#[test]
fn a_new_reference_is_resolved_anew() {
    let mut world = World::new();
    world.join("edge-1", &[]);
    world.resolver.troubles.push_back(trouble("NotFound", true));
    world.apply(task("a"));
    world.reason("a", types::RESOLVED, "NotFound");
    let mut changed = world.store.tasks.values().next().unwrap().clone();
    changed.spec.image = "registry.lab/add:2".into();
    let before = world.now();
    world.apply(changed);
    world.start();
    assert!(world.now().duration_since(before).as_secs() < 2);
}
