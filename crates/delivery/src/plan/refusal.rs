//! Refusals: a proplet that refused a task isn't asked again for a while, and the others are.
//!
//! They are in the status, so that people see them, and a control plane that restarts asks nobody twice. Accepting the task forgets them.

use jiff::SignedDuration;
use propeller_api::PropletRefusal;
use propeller_protocol::{Refusal, Rejection};

use super::{Draft, View, after};

/// How many are remembered. In a larger fleet that refuses, the earliest may be asked again too soon, which is slow enough by the rest.
const MAX_REFUSALS: usize = 32;
/// Longer messages are cut: there may be many, and each is in the status.
const MAX_MESSAGE_CHARS: usize = 256;

/// Notes that the proplet of the newest attempt refused it.
pub(super) fn note(draft: &mut Draft<'_>, rejection: &Rejection) {
    let now = draft.now();
    let Some(proplet) = draft.status.proplet.clone() else {
        return;
    };
    let refusals = &mut draft.status.refusals;
    let known = refusals.iter().position(|refusal| refusal.proplet == proplet);
    let count = known.map_or(0, |known| refusals.remove(known).count).saturating_add(1);
    if refusals.len() >= MAX_REFUSALS {
        refusals.remove(0);
    }
    refusals.push(PropletRefusal {
        proplet,
        reason: format!("{:?}", rejection.reason),
        message: rejection.message.chars().take(MAX_MESSAGE_CHARS).collect(),
        count,
        until: after(now, pause(draft.view, rejection.reason, count)),
    });
}

fn pause(view: View<'_>, reason: Refusal, count: u32) -> SignedDuration {
    let (pace, uid) = (view.pace, &view.task.metadata.uid);
    match reason {
        Refusal::NotGranted | Refusal::TooLarge | Refusal::Unsupported | Refusal::Malformed => pace.after_policy,
        Refusal::Busy
        | Refusal::Draining
        | Refusal::Expired
        | Refusal::Superseded
        | Refusal::WrongJournal
        | Refusal::JournalFailed => pace.backoff(uid, count),
    }
}
