//! Ages in as few characters as kubectl needs: `3s`, `2m5s`, `3h12m`, `5d`, `2y40d`.

use jiff::Timestamp;
use serde_json::Value;

use super::kind::text;

/// How long ago the time of that field was, or `<unknown>`.
pub fn since(object: &Value, pointer: &str, now: Timestamp) -> String {
    match text(object, pointer).parse::<Timestamp>() {
        Ok(time) => short(now.duration_since(time).as_secs()),
        Err(_) => "<unknown>".to_owned(),
    }
}

/// A number of seconds, as Kubernetes' `duration.HumanDuration` has it.
pub fn short(seconds: i64) -> String {
    // Clocks differ a little between machines.
    if seconds < -1 {
        return "<invalid>".to_owned();
    }
    let seconds = seconds.max(0);
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let (days, years) = (hours / 24, hours / 24 / 365);
    let two = |first: i64, unit: &str, second: i64, next: &str| match second {
        0 => format!("{first}{unit}"),
        second => format!("{first}{unit}{second}{next}"),
    };
    match () {
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        () if minutes < 180 => format!("{minutes}m"),
        () if hours < 8 => two(hours, "h", minutes % 60, "m"),
        () if hours < 48 => format!("{hours}h"),
        () if days < 8 => two(days, "d", hours % 24, "h"),
        () if years < 2 => format!("{days}d"),
        () if years < 8 => two(years, "y", days % 365, "d"),
        () => format!("{years}y"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cases of Kubernetes' own test.
    #[test]
    fn ages_are_those_of_kubectl() {
        let (minute, hour, day, year) = (60, 3600, 86_400, 365 * 86_400);
        for (seconds, expected) in [
            (-2, "<invalid>"),
            (-1, "0s"),
            (1, "1s"),
            (70, "70s"),
            (119, "119s"),
            (2 * minute, "2m"),
            (2 * minute + 5, "2m5s"),
            (190, "3m10s"),
            (70 * minute, "70m"),
            (47 * hour, "47h"),
            (49 * hour, "2d1h"),
            (8 * day + 2 * hour, "8d"),
            (367 * day, "367d"),
            (2 * year, "2y"),
            (4 * year + 2 * day, "4y2d"),
            (8 * year + 3 * day, "8y"),
            (4 * hour + 2 * minute, "4h2m"),
        ] {
            assert_eq!(short(seconds), expected, "{seconds}");
        }
    }
}
