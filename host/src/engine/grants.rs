//! What a run may reach beyond its own memory.

use propeller_api::Grants;

/// Grants that were held against a policy and passed. Nothing is granted by default.
#[derive(Debug, Clone, Default)]
pub struct Granted(Grants);

impl Granted {
    /// What was asked for.
    pub fn grants(&self) -> &Grants {
        &self.0
    }
}
