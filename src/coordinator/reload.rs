//! What a reload may change: everything but what was settled when threads and listeners were made.

use crate::config::{Config, Problems};

/// Problems that are kept and logged of a bad configuration; the rest is counted.
const PROBLEMS_SHOWN: usize = 20;

/// The settings that differ from those the process started with and so wait for a restart, by their path.
pub(super) fn restart_needed(started: &Config, new: &Config) -> Vec<String> {
    let (a, b) = (started, new);
    let settings = [
        ("listener.address", a.listener.address != b.listener.address),
        ("listener.port", a.listener.port != b.listener.port),
        ("listener.backlog", a.listener.backlog != b.listener.backlog),
        ("admin.enabled", a.admin.enabled != b.admin.enabled),
        ("admin.address", a.admin.address != b.admin.address),
        ("admin.port", a.admin.port != b.admin.port),
        ("runtime.driver", a.runtime.driver != b.runtime.driver),
        ("runtime.workers", a.runtime.workers != b.runtime.workers),
        ("runtime.pin", a.runtime.pin != b.runtime.pin),
        ("runtime.ring_entries", a.runtime.ring_entries != b.runtime.ring_entries),
        ("runtime.buffer", a.runtime.buffer != b.runtime.buffer),
    ];
    settings.into_iter().filter(|(_, differs)| *differs).map(|(path, _)| path.to_owned()).collect()
}

/// The problems, a line each, at most so many that a log stays readable.
pub(super) fn problem_lines(problems: &Problems) -> Vec<String> {
    let text = problems.to_string();
    let mut lines: Vec<String> = text.lines().filter(|line| !line.is_empty()).take(PROBLEMS_SHOWN).map(str::to_owned).collect();
    let more = text.lines().filter(|line| !line.is_empty()).count() - lines.len();
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Driver;

    #[test]
    fn names_what_needs_a_restart_and_nothing_else() {
        let started = Config::default();
        let mut new = started.clone();
        new.limits.max_concurrent_requests += 1;
        new.listener.trusted_proxies.push("10.0.0.0/8".into());
        assert!(restart_needed(&started, &new).is_empty());
        new.listener.port += 1;
        new.admin.enabled = !new.admin.enabled;
        new.runtime.driver = Driver::Epoll;
        assert_eq!(restart_needed(&started, &new), ["listener.port", "admin.enabled", "runtime.driver"]);
    }
}
