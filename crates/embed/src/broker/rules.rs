//! Who may publish and hear what.

use super::Role;

/// Topics that a proplet publishes on, as patterns: `+` is any one level, `%u` the proplet. The form is that of Mosquitto's access control.
pub const PROPLET_PUBLISHES: [&str; 2] = ["m/+/c/+/control/proplet/+/%u", "m/+/c/+/registry/proplet/%u"];

/// Topics that a proplet hears.
pub const PROPLET_HEARS: [&str; 2] = ["m/+/c/+/control/manager/+/%u", "m/+/c/+/registry/server/%u"];

/// Below this, a control plane publishes and hears everything.
const ROOT: &str = "m/";

/// Whether `user` may publish on the topic, by itself or as its last will.
pub(super) fn may_publish(role: Role, user: &str, topic: &str) -> bool {
    // Brokers refuse wildcards in topics. The rules don't rely on that.
    let plain = !topic.contains(['+', '#']);
    plain
        && match role {
            Role::Control => topic.starts_with(ROOT),
            Role::Proplet => any_covers(&PROPLET_PUBLISHES, user, topic),
        }
}

/// Whether `user` may subscribe: only if it may hear every topic that the filter stands for.
pub(super) fn may_hear(role: Role, user: &str, filter: &str) -> bool {
    match role {
        Role::Control => unshared(filter).starts_with(ROOT),
        // A share of messages that nobody else may hear has no use, so a proplet's filters are taken as they are.
        Role::Proplet => any_covers(&PROPLET_HEARS, user, filter),
    }
}

fn any_covers(patterns: &[&str], user: &str, filter: &str) -> bool {
    patterns.iter().any(|pattern| covers(pattern, user, filter))
}

/// Level by level, so that `+` in a filter needs `+` in the pattern; `#` stands for more than any pattern does.
fn covers(pattern: &str, user: &str, filter: &str) -> bool {
    let (mut wanted, mut levels) = (pattern.split('/'), filter.split('/'));
    loop {
        let fits = match (wanted.next(), levels.next()) {
            (None, None) => return true,
            (Some("+"), Some(level)) => !level.contains('#'),
            (Some("%u"), Some(level)) => level == user,
            (Some(fixed), Some(level)) => level == fixed,
            (None, Some(_)) | (Some(_), None) => false,
        };
        if !fits {
            return false;
        }
    }
}

/// The filter behind `$share/{group}/`.
fn unshared(filter: &str) -> &str {
    let shared = filter.strip_prefix("$share/").and_then(|rest| rest.split_once('/'));
    shared.map_or(filter, |(_, filter)| filter)
}

#[cfg(test)]
mod tests {
    use propeller_protocol::{Base, Channel};

    use super::*;

    #[test]
    fn every_channel_of_the_protocol_is_open_to_its_proplet_in_one_direction_only() {
        let base = Base::new("lab", "floor.1").unwrap();
        let (edge, other) = ("edge-1".parse().unwrap(), "edge-2".parse().unwrap());
        for channel in Channel::ALL {
            let own = base.topic(channel, &edge);
            let foreign = base.topic(channel, &other);
            let from_proplet = matches!(
                channel,
                Channel::Alive | Channel::Results | Channel::Logs | Channel::Metrics | Channel::ChunkRequest
            );
            assert_eq!(may_publish(Role::Proplet, "edge-1", &own), from_proplet, "{own}");
            assert_eq!(may_hear(Role::Proplet, "edge-1", &own), !from_proplet, "{own}");
            assert!(!may_publish(Role::Proplet, "edge-1", &foreign), "{foreign}");
            assert!(!may_hear(Role::Proplet, "edge-1", &foreign), "{foreign}");
            assert!(may_publish(Role::Control, "control", &own), "{own}");
            assert!(may_hear(Role::Control, "control", &base.filter(channel)), "{own}");
        }
    }

    #[test]
    fn a_filter_must_not_stand_for_more_than_the_own_topics() {
        let hears = |filter| may_hear(Role::Proplet, "edge-1", filter);
        assert!(hears("m/d/c/x/control/manager/start/edge-1"));
        assert!(hears("m/d/c/x/control/manager/+/edge-1"));
        assert!(hears("m/+/c/+/control/manager/+/edge-1"));
        for wider in [
            "#",
            "+",
            "m/#",
            "$share/a/m/d/c/x/control/manager/start/edge-1",
            "m/d/c/x/control/manager/start/+",
            "m/d/c/x/control/manager/start/#",
            "m/d/c/x/control/manager/#",
            "m/d/c/x/control/manager/start/edge-1/#",
            "m/d/c/x/control/manager/start/edge-11",
            "m/d/c/x/control/manager/start/%u",
            "m/d/c/x/control/+/start/edge-1",
            "m/d/+/x/control/manager/start/edge-1",
            "+/d/c/x/control/manager/start/edge-1",
            "m/d/c/x/more/control/manager/start/edge-1",
            "m/d/c/x/control/manager/edge-1",
            "$SYS/#",
            "",
        ] {
            assert!(!hears(wider), "{wider}");
        }
    }

    #[test]
    fn a_control_plane_has_all_below_m_and_nothing_beside() {
        let hears = |filter| may_hear(Role::Control, "control", filter);
        assert!(hears("m/#") && hears("m/+/c/+/control/proplet/+/+") && hears("$share/all/m/#"));
        assert!(!hears("#") && !hears("+/#") && !hears("mm/#") && !hears("$SYS/#") && !hears("$share/all/#"));
        let publishes = |topic| may_publish(Role::Control, "control", topic);
        assert!(publishes("m/d/c/x/control/manager/start/edge-1"));
        assert!(!publishes("n/d") && !publishes("$SYS/broker") && !publishes("m/+/c/x") && !publishes("m/#"));
    }
}
