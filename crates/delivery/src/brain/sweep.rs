//! What has no event of its own is looked over once a second.

use super::Brain;

impl Brain {
    pub(super) fn sweep(&mut self) {
        for id in self.roster.judge(self.now()) {
            tracing::info!(proplet = %id, liveliness = ?self.roster.presence(&id).0, "judged anew");
            self.fleet_changed(&id);
        }
        self.lose_patience();
        self.retry_proplets();
        for uid in std::mem::take(&mut self.postponed) {
            self.touch(&uid);
        }
        if self.is_in_sync() {
            for namespace in std::mem::take(&mut self.outdated) {
                self.tell_waiting(&namespace);
            }
        }
    }

    /// From now on tasks that fit no proplet are told so, whether or not every proplet was judged.
    fn lose_patience(&mut self) {
        if self.patience.is_some_and(|until| until <= self.now.elapsed) {
            self.patience = None;
            self.outdated.extend(self.tasks.waiting_namespaces());
        }
    }

    fn retry_proplets(&mut self) {
        let now = self.now.elapsed;
        for uid in self.roster.uids() {
            let due = |resource: &super::roster::Resource| resource.not_before.is_some_and(|at| at <= now);
            if self.roster.resource(&uid).is_some_and(due) {
                self.dirty_proplets.insert(uid);
            }
        }
    }
}
