//! What may become of a task that is there. The custom resource has the same as CEL rules over the old and the new object.

use super::{Invalid, invalid};
use crate::Task;

impl Task {
    /// Checks that `self` may take the place of `old`.
    pub fn validate_edit(&self, old: &Self) -> Result<(), Invalid> {
        if old.spec.cancel && !self.spec.cancel {
            return invalid(
                "spec",
                "what is cancelled stays cancelled: delete the task and apply another",
            );
        }
        let status = old.status.as_ref();
        let is_fixed = status.is_some_and(|status| status.dispatch.is_some() || status.completion_time.is_some());
        if is_fixed && !self.runs_the_same(old) {
            return invalid(
                "spec",
                "of a task that was dispatched or has ended, what runs can't be edited (image, call, command, service, grants, resources, \
                 onDisconnect): delete it and apply another",
            );
        }
        Ok(())
    }

    fn runs_the_same(&self, old: &Self) -> bool {
        let (new, old) = (&self.spec, &old.spec);
        new.image == old.image
            && new.call == old.call
            && new.command == old.command
            && new.service == old.service
            && new.grants == old.grants
            && new.resources == old.resources
            && new.on_disconnect == old.on_disconnect
    }
}
