//! A WASI that is made when the guest first asks for something of it. Most short calls never do, though their components import a dozen
//! interfaces, and making it takes about as long as such a call.

use super::Wasi;
use crate::engine::{Granted, Sandbox, Stdio, memory::Account, traffic::Traffic};

/// What a [`Wasi`] is made of.
pub(in crate::engine) struct Plan {
    pub(super) granted: Granted,
    pub(super) stdio: Stdio,
    pub(super) argv: Vec<String>,
}

/// A [`Wasi`], or the plan of it.
pub(in crate::engine) struct Later {
    plan: Plan,
    made: Option<Box<Wasi>>,
}

impl Later {
    pub(in crate::engine) fn new(sandbox: &Sandbox, argv: &[String]) -> Self {
        Self {
            plan: Plan {
                granted: sandbox.grants.clone(),
                stdio: sandbox.stdio.clone(),
                argv: argv.to_vec(),
            },
            made: None,
        }
    }

    pub(in crate::engine) fn get(&mut self, memory: &Account, traffic: &Traffic) -> &mut Wasi {
        let make = || Box::new(Wasi::new(&self.plan, memory, traffic));
        self.made.get_or_insert_with(make)
    }

    pub(in crate::engine) fn granted(&self) -> &Granted {
        &self.plan.granted
    }
}
