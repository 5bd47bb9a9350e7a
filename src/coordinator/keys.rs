//! Key sets of issuers, fetched from their URLs on a thread of its own. While one can't be fetched, the keys known before stay in use.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::Coordinator;
use crate::auth::{KeySet, KeySets, Source, key_set};
use crate::clock::Instant;
use crate::config::Config;
use crate::metrics::{BAD, GOOD};
use crate::middleware;

/// A key set as it is looked after.
#[derive(Default)]
struct Set {
    refresh: Duration,
    roots: Arc<Vec<Vec<u8>>>,
    text: Option<Arc<str>>,
    version: u64,
    /// When it was last fetched, else first wanted.
    since: Instant,
    due: Instant,
    asked: Option<Instant>,
    /// Fetches that failed in a row.
    failures: u32,
}

/// A URL that is to be fetched, and the authorities that are trusted there.
type Ask = (Arc<str>, Arc<Vec<Vec<u8>>>);

/// The key sets of a configuration.
pub(super) struct Keys {
    sets: BTreeMap<Arc<str>, Set>,
    asks: Sender<Ask>,
    answers: Receiver<(Arc<str>, Result<String, String>)>,
    versions: u64,
}

/// What came of a fetch.
pub(super) struct News {
    pub url: Arc<str>,
    /// Whether there are other keys; else why there is nothing new.
    pub result: Result<bool, String>,
    /// Since when nothing could be fetched, in fetches.
    pub failures: u32,
}

impl Keys {
    /// Starts the thread; it ends when this is dropped.
    pub fn start(get: impl Fn(&str, &[Vec<u8>]) -> Result<String, String> + Send + 'static) -> io::Result<Self> {
        let (asks, todo) = bounded::<Ask>(QUEUE);
        let (done, answers) = bounded(QUEUE);
        std::thread::Builder::new().name("keys".into()).spawn(move || {
            for (url, roots) in todo {
                let text = get(&url, &roots);
                if done.send((url, text)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Keys { sets: BTreeMap::new(), asks, answers, versions: 0 })
    }

    /// Looks after these from here on. Those known already keep their keys.
    pub fn reconfigure(&mut self, sources: &[Source], now: Instant) {
        let mut before = std::mem::take(&mut self.sets);
        for source in sources {
            let url = source.url.as_str();
            let twice = self.sets.remove(url);
            let refresh = twice.as_ref().map_or(source.refresh, |set| set.refresh.min(source.refresh));
            let roots = twice.as_ref().map_or_else(|| Arc::new(source.roots.clone()), |set| set.roots.clone());
            let set = twice.or_else(|| before.remove(url)).unwrap_or(Set { due: now, since: now, ..Set::default() });
            // Where others are trusted than before, what they vouch for is fetched at once.
            let due = if set.roots == roots { set.due.min(now + refresh) } else { now };
            self.sets.insert(url.into(), Set { refresh, roots, due, ..set });
        }
    }

    /// A core has met a key that it doesn't know: the set is fetched early, but not more often than once in ten seconds.
    pub fn want(&mut self, url: &str, now: Instant) {
        if let Some(set) = self.sets.get_mut(url) {
            let earliest = set.asked.map_or(now, |asked| asked + EARLY);
            set.due = set.due.min(earliest.max(now));
        }
    }

    /// Takes what has come and asks for what is due. `draw` is a number by chance.
    pub fn tick(&mut self, now: Instant, draw: u64) -> Vec<News> {
        let mut news = Vec::new();
        while let Ok((url, result)) = self.answers.try_recv() {
            let Some(set) = self.sets.get_mut(&url) else { continue };
            let result = result.and_then(|text| key_set(text.as_bytes(), &[]).map(|_| text).map_err(str::to_owned));
            let result = result.map(|text| {
                (set.since, set.failures) = (now, 0);
                let other = set.text.as_deref() != Some(text.as_str());
                if other {
                    self.versions += 1;
                    (set.text, set.version) = (Some(text.into()), self.versions);
                }
                // Up to a tenth earlier, so that gateways that began together don't ask together.
                let early = set.refresh.mul_f64((draw % 100) as f64 / 1000.0);
                set.due = now + (set.refresh - early);
                other
            });
            if result.is_err() {
                set.failures += 1;
                let wait = RETRY * 2u32.pow(set.failures.min(5) - 1);
                set.due = now + wait.min(set.refresh.max(RETRY));
            }
            news.push(News { failures: set.failures, url, result });
        }
        for (url, set) in self.sets.iter_mut().filter(|(_, set)| now >= set.due) {
            if self.asks.try_send((url.clone(), set.roots.clone())).is_ok() {
                set.asked = Some(now);
                // Until the answer comes.
                set.due = now + GIVEN_UP;
            }
        }
        news
    }

    /// All keys that are known.
    pub fn snapshot(&self) -> KeySets {
        let known = |(url, set): (&Arc<str>, &Set)| Some(KeySet { url: url.clone(), text: set.text.clone()?, version: set.version });
        KeySets(self.sets.iter().filter_map(known).collect())
    }

    /// How long ago each set was last fetched, or first wanted, in seconds.
    pub fn ages(&self, now: Instant) -> Vec<(Arc<str>, f64)> {
        self.sets.iter().map(|(url, set)| (url.clone(), now.since(set.since).as_secs_f64())).collect()
    }
}

impl Coordinator {
    /// Takes key sets that were fetched, tells the workers, and asks for what is due.
    pub(super) fn take_keys(&mut self, now: Instant) {
        let draw = self.chance.draw();
        let mut other = false;
        for News { url, result, failures } in self.keys.tick(now, draw) {
            self.shared.registry.process.key_fetches.add(if result.is_ok() { GOOD } else { BAD }, 1);
            match result {
                Ok(false) => {}
                Ok(true) => {
                    other = true;
                    tracing::info!(%url, "key set fetched");
                }
                Err(error) => tracing::warn!(%url, failures, %error, "key set not fetched, keys known before stay in use"),
            }
        }
        if other {
            let sets = Arc::new(self.keys.snapshot());
            self.workers.iter_mut().for_each(|(_, post, _)| post.keys(sets.clone()));
        }
    }
}

/// The key sets that a configuration needs fetched.
pub(super) fn configured(config: &Config) -> Vec<Source> {
    if !config.features.authentication {
        return Vec::new();
    }
    middleware::key_sets(config.middlewares.iter().chain(config.routes.iter().flat_map(|route| &route.middlewares)))
}

/// Fetches a text over HTTP or HTTPS. Trusts these authorities (DER), else those that browsers trust.
pub(super) fn get(url: &str, roots: &[Vec<u8>]) -> Result<String, String> {
    let trusted = match roots {
        [] => RootCerts::WebPki,
        roots => roots.iter().map(|root| Certificate::from_der(root).to_owned()).into(),
    };
    let tls = TlsConfig::builder().root_certs(trusted).build();
    let config = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).max_redirects(3).tls_config(tls).build();
    let answer = ureq::Agent::new_with_config(config).get(url).header("Accept", "application/json").call();
    let mut answer = answer.map_err(|error| error.to_string())?;
    let mut text = String::new();
    let mut body = answer.body_mut().as_reader().take(TEXT_MAX + 1);
    body.read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > TEXT_MAX { Err(format!("it is longer than {TEXT_MAX} bytes")) } else { Ok(text) }
}

/// Sets that wait for their fetch.
const QUEUE: usize = 1024;
/// Between two fetches of a set, whoever wants it.
const EARLY: Duration = Duration::from_secs(10);
/// Before the next try after a failure, doubled with each up to sixteen times as long.
const RETRY: Duration = Duration::from_secs(1);
/// For a whole fetch.
const TIMEOUT: Duration = Duration::from_secs(5);
/// After which a fetch without an answer is asked for again.
const GIVEN_UP: Duration = Duration::from_secs(60);
/// Bytes of a set.
const TEXT_MAX: u64 = 256 << 10;

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(secs)
    }

    fn source(url: &str, secs: u64) -> Source {
        Source { url: url.into(), refresh: Duration::from_secs(secs), roots: Vec::new() }
    }

    const KEY: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    /// Ticks until something came of a fetch.
    fn news(keys: &mut Keys, now: Instant) -> News {
        let limit = std::time::Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(news) = keys.tick(now, 0).pop() {
                return news;
            }
            assert!(std::time::Instant::now() < limit, "no answer");
            std::thread::yield_now();
        }
    }

    #[test]
    fn keys_are_kept_while_they_can_not_be_fetched() {
        let answer = Arc::new(Mutex::new(Err("down".to_owned())));
        let given = answer.clone();
        let mut keys = Keys::start(move |_, _| given.lock().unwrap().clone()).unwrap();
        keys.reconfigure(&[source("http://a/", 60)], at(0));
        assert_eq!(news(&mut keys, at(0)).result, Err("down".into()));
        assert_eq!((keys.snapshot(), keys.ages(at(7))[0].1), (KeySets::default(), 7.0));
        assert!(keys.tick(at(0), 0).is_empty());
        *answer.lock().unwrap() = Ok(KEY.to_owned());
        assert_eq!(news(&mut keys, at(1)).result, Ok(true));
        let known = keys.snapshot();
        assert_eq!(known.find("http://a/").unwrap().version, 1);
        for bad in ["", "{}", r#"{"keys":[]}"#] {
            *answer.lock().unwrap() = Ok(bad.to_owned());
            keys.sets.values_mut().for_each(|set| set.due = at(100));
            assert!(news(&mut keys, at(100)).result.is_err(), "{bad}");
            assert_eq!(keys.snapshot(), known);
        }
        assert_eq!(keys.ages(at(101))[0].1, 100.0);
        keys.reconfigure(&[source("http://b/", 60)], at(101));
        assert_eq!(keys.snapshot(), KeySets::default());
    }

    #[test]
    fn an_unknown_key_has_the_set_fetched_early_but_seldom() {
        let mut keys = Keys::start(|_, _| Ok(KEY.to_owned())).unwrap();
        keys.reconfigure(&[source("http://a/", 600)], at(0));
        assert_eq!(news(&mut keys, at(0)).result, Ok(true));
        keys.want("http://a/", at(3));
        keys.want("http://other/", at(3));
        let due = |keys: &Keys| keys.sets.values().next().unwrap().due;
        assert_eq!(due(&keys), at(10));
        assert_eq!(news(&mut keys, at(10)).result, Ok(false));
        assert_eq!(due(&keys), at(610));
    }
}
