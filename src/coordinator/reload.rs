//! What a reload may change: everything but what was settled when threads and listeners were made.

use std::sync::Arc;
use std::time::SystemTime;

use crossbeam_channel::{Sender, bounded};

use super::Coordinator;
use crate::admin::{Answers, ReloadResult, Response};
use crate::clock::{Instant, unix_seconds};
use crate::config::{Config, Loaded, Problems};
use crate::exchange::Plan;
use crate::log;
use crate::metrics::{BAD, GOOD};

/// Problems that are kept and logged of a bad configuration; the rest is counted.
const PROBLEMS_SHOWN: usize = 20;

impl Coordinator {
    /// Reads the configuration again; puts it in force if it is good, and changes nothing if it isn't. Each worker replies once it serves by it.
    pub(super) fn reload(&mut self, now: Instant, reply: Option<&Sender<()>>) -> ReloadResult {
        let at = SystemTime::now();
        let mut result = ReloadResult { at, problems: vec![], restart_needed: vec![] };
        let counts = self.shared.registry.process.clone();
        if self.drain.begun() {
            result.problems.push("the gateway is stopping".into());
            return result;
        }
        let Some(path) = self.path.clone() else {
            result.problems.push("the configuration did not come from a file, so there is nothing to reload".into());
            return result;
        };
        self.notifier.reloading();
        // The one that follows if the plan is put in force.
        let generation = self.shared.loading().generation + 1;
        let loaded = (self.load)(&path).and_then(|mut loaded| {
            let kept = keep_until_restart(&self.started, &self.config, Arc::make_mut(&mut loaded.config));
            (self.build)(&loaded, generation).map(|plan| (loaded, plan, kept))
        });
        let hash = match loaded {
            Err(problems) => {
                counts.reloads.add(BAD, 1);
                result.problems = problem_lines(&problems);
                tracing::error!(file = %path.display(), problems = result.problems.len(), "reload failed: nothing was changed");
                result.problems.iter().for_each(|problem| tracing::error!("{problem}"));
                None
            }
            Ok((loaded, plan, kept)) => {
                counts.reloads.add(GOOD, 1);
                result.restart_needed = kept;
                self.put_in_force(loaded, &plan, now, reply)
            }
        };
        for setting in &result.restart_needed {
            tracing::warn!("{setting} has changed, which needs a restart: it stays as it was");
        }
        self.shared.reloaded(result.clone(), hash);
        self.notifier.ready();
        result
    }

    /// Tells everybody about a new configuration; its hash, if it is another one than before.
    fn put_in_force(&mut self, loaded: Loaded, plan: &Arc<Plan>, now: Instant, reply: Option<&Sender<()>>) -> Option<u64> {
        if loaded.hash == self.hash {
            tracing::info!(hash = format_args!("{:016x}", self.hash), "reloaded: the configuration has not changed");
            return None;
        }
        let Loaded { config, hash, .. } = loaded;
        (self.config, self.hash) = (config, hash);
        log::configure(self.config.features.logging.then_some(self.config.logging.level));
        self.shared.set_certificates(plan.certificates());
        self.shared.switch_metrics_page(self.config.features.metrics);
        self.reconciler.reconfigure(&self.config, plan.generation, now);
        self.clients = super::probe::clients(&self.config);
        self.keys.reconfigure(&super::keys::configured(&self.config), now);
        self.rates.reconfigure(&self.config, plan.generation, now);
        self.workers.iter_mut().for_each(|(_, post, _)| post.plan(plan.clone(), reply.cloned()));
        let (upstreams, routes) = (self.config.upstreams.len(), self.config.routes.len());
        tracing::info!(hash = format_args!("{hash:016x}"), upstreams, routes, "reloaded: a new configuration is in force");
        super::show::warn_of_trials(&self.config);
        plan.ended_certificates(unix_seconds(SystemTime::now())).iter().for_each(|ended| tracing::warn!("{ended}"));
        Some(hash)
    }

    /// A reload on request of the private listener: the answer says how it went.
    pub(super) fn reload_for_operator(&mut self) -> (Response, Answers<()>) {
        let (reply, answers) = bounded(self.workers.len());
        let before = self.hash;
        let result = self.reload(self.clock.now(), Some(&reply));
        self.send_posts();
        let changed = self.hash != before;
        let asked = if changed { self.workers.iter().filter(|(seat, ..)| !(seat.ended)()).count() } else { 0 };
        (said(&result), Answers { asked, answers })
    }
}

fn said(result: &ReloadResult) -> Response {
    if result.problems.is_empty() {
        let waiting: String = result.restart_needed.iter().map(|setting| format!("{setting} waits for a restart\n")).collect();
        return Response::text(200, format!("reloaded\n{waiting}"));
    }
    let problems: String = result.problems.iter().map(|problem| format!("{problem}\n")).collect();
    Response::text(422, format!("nothing was changed:\n{problems}"))
}

/// Makes settings what they are until a restart, where one is needed to change them; the paths of those that were to be others.
fn keep_until_restart(started: &Config, in_force: &Config, new: &mut Config) -> Vec<String> {
    let mut kept = Vec::new();
    // Certificates change all the time, but there is a listener for them or there is none.
    if new.tls.listens() != started.tls.listens() {
        let setting = if new.tls.enabled == in_force.tls.enabled { "tls.certificates" } else { "tls.enabled" };
        kept.push(setting.to_owned());
        new.tls = in_force.tls.clone();
    }
    macro_rules! keep {
        ($($($part:ident).+),+ $(,)?) => {
            $(if new.$($part).+ != started.$($part).+ {
                kept.push([$(stringify!($part)),+].join("."));
                new.$($part).+.clone_from(&started.$($part).+);
            })+
        };
    }
    keep!(
        listener.address,
        listener.port,
        listener.backlog,
        tls.address,
        tls.port,
        admin.enabled,
        admin.address,
        admin.port,
        runtime.driver,
        runtime.workers,
        runtime.pin,
        runtime.ring_entries,
        runtime.password_threads,
        runtime.buffer,
        limits.password_queue,
        tracing.endpoint,
        tracing.service_name,
        latency,
    );
    kept
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
    use crate::config::{Certificate, Driver};

    #[test]
    fn names_what_needs_a_restart_and_nothing_else() {
        let started = Config::default();
        let mut new = started.clone();
        new.limits.max_concurrent_requests += 1;
        new.listener.trusted_proxies.push("10.0.0.0/8".into());
        let asked = new.clone();
        assert!(keep_until_restart(&started, &started, &mut new).is_empty() && new == asked);
        new.listener.port += 1;
        new.admin.enabled = !new.admin.enabled;
        new.runtime.driver = Driver::Epoll;
        assert_eq!(keep_until_restart(&started, &started, &mut new), ["listener.port", "admin.enabled", "runtime.driver"]);
        assert!(new == asked, "what was changed besides stays changed");
    }

    #[test]
    fn a_listener_for_tls_comes_and_goes_with_a_restart() {
        let without = Config::default();
        let mut with = without.clone();
        with.tls.certificates = vec![Certificate::default()];
        with.tls.redirect = true;
        let mut renewed = with.clone();
        renewed.tls.certificates.push(Certificate::default());
        let (mut off, mut none) = (renewed.clone(), renewed.clone());
        off.tls.enabled = false;
        (none.tls.certificates, none.tls.redirect) = (Vec::new(), false);
        for (mut new, setting) in [(off, "tls.enabled"), (none, "tls.certificates")] {
            assert_eq!(keep_until_restart(&with, &renewed, &mut new), [setting]);
            assert!(new.tls == renewed.tls, "the certificates in force stay, not those of the start");
        }
        let mut new = with.clone();
        assert_eq!(keep_until_restart(&without, &without, &mut new), ["tls.certificates"]);
        assert!(new.tls == without.tls, "nobody is sent to where nobody listens");
    }
}
