//! The reasons of conditions that the machines themselves give. What resolving and running give is theirs, and passed through.

/// `Resolved`: the reference is a digest, and the call fits.
pub const RESOLVED: &str = "Resolved";
/// `Scheduled`: a proplet was chosen and the attempt written.
pub const PLACED: &str = "Placed";
/// `Scheduled` is false: no proplet fits now.
pub const UNSCHEDULABLE: &str = "Unschedulable";
/// `Scheduled` is false: the proplet never accepted the start while it was valid.
pub const START_EXPIRED: &str = "StartExpired";
/// `Started`: the proplet accepted the attempt.
pub const ACCEPTED: &str = "Accepted";
/// `Ready`: the service listens.
pub const LISTENING: &str = "Listening";
/// `Ready` is false: a proplet accepted the service, and it doesn't listen yet.
pub const STARTING: &str = "Starting";
/// `Ready` is false: the service waits on its proplet for room.
pub const QUEUED: &str = "Queued";
/// `Ready` is false: the service ended, and its proplet starts it again.
pub const RESTARTING: &str = "Restarting";
/// `Ready` is false: no heartbeats arrive from the proplet that has the service.
pub const PROPLET_OFFLINE: &str = "PropletOffline";
/// `Finished`: the call returned, or the program exited with 0.
pub const COMPLETED: &str = "Completed";
/// `Finished`: the task took longer than `activeDeadlineSeconds`.
pub const DEADLINE_EXCEEDED: &str = "DeadlineExceeded";
/// `Finished`: the proplet doesn't hold the attempt that it had accepted: its journal is gone. Of a service, also that its proplet is away.
pub const LOST: &str = "Lost";
/// `Finished`: the arguments and grants don't fit into a message.
pub const START_TOO_LARGE: &str = "StartTooLarge";
/// `Finished`: the resource breaks a rule of its kind.
pub const INVALID_SPEC: &str = "InvalidSpec";
/// `Finished`: the proplet was restarted while the attempt ran.
pub const INTERRUPTED: &str = "Interrupted";
/// `Finished`: the control plane couldn't be heard for a lease, and `onDisconnect: Stop` was asked for.
pub const LEASE_EXPIRED: &str = "LeaseExpired";
/// `Finished`: no proplet accepted the task within `startDeadlineSeconds`.
pub const START_DEADLINE_EXCEEDED: &str = "StartDeadlineExceeded";
/// `Suspended`, and `Scheduled` is false: `spec.suspend` holds the task up.
pub const SUSPENDED: &str = "Suspended";
/// `Suspended` is false: `spec.suspend` is false again.
pub const RESUMED: &str = "Resumed";
/// `Finished`: somebody ended the attempt.
pub const CANCELLED: &str = "Cancelled";
/// `Ready` of a proplet: it is there, and `spec.unschedulable` keeps new tasks away.
pub const CORDONED: &str = "Cordoned";
/// `Scheduled` is false: an attempt that a restored store has forgotten still runs, and `onDisconnect: Stop` means one at a time.
pub const STILL_RUNNING: &str = "StillRunning";
/// `Scheduled` is true, and the broker doesn't take the start: access control, or a quota.
pub const BROKER_REFUSES: &str = "BrokerRefuses";
