//! What a schema can't say: names that must exist or be unique, settings that contradict each other, texts of other standards.

mod edits;
mod gateway;
mod middleware;
mod mirror;
mod protection;
mod route;
mod split;
mod upstream;

use foldhash::{HashMap, HashMapExt};

use super::load::Source;
use super::problem::there_are;
use super::{Config, Size, Time, Wrong};

/// A rule that is broken.
#[derive(Debug)]
pub(super) struct Broken {
    pub path: String,
    pub message: String,
    pub hint: Option<String>,
}

/// Every broken rule.
pub(super) fn check(config: &Config, source: &Source) -> Vec<Broken> {
    let mut rules = Rules { config, source, broken: Vec::new() };
    gateway::check(&mut rules);
    upstream::check_all(&mut rules);
    route::check_all(&mut rules);
    rules.broken
}

/// The configuration that is checked, and what was found.
struct Rules<'a> {
    config: &'a Config,
    source: &'a Source,
    broken: Vec<Broken>,
}

impl Rules<'_> {
    fn broken(&mut self, path: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) {
        let hint: String = hint.into();
        self.broken.push(Broken { path: path.into(), message: message.into(), hint: Some(hint).filter(|hint| !hint.is_empty()) });
    }

    /// What a part says of its own settings.
    fn wrong(&mut self, part: &str, wrong: Wrong) {
        let Wrong { setting, value, message, hint } = wrong;
        let path = if part.is_empty() { setting } else { format!("{part}.{setting}") };
        let message = value.map_or(message.clone(), |value| format!("{} {message}", self.source.shown(&path, &value)));
        self.broken(path, message, hint);
    }

    /// A name that logs and metrics show.
    fn name(&mut self, path: &dyn Fn() -> String, name: &str) {
        if name.is_empty() {
            self.broken(path(), "must not be empty", "");
        } else if name.len() > NAME_MAX || name.chars().any(char::is_control) {
            let shown = self.source.shown(&path(), name);
            self.broken(path(), format!("must be at most {NAME_MAX} bytes without control characters, is {shown}"), "");
        }
    }

    /// Names of which no two may be the same.
    fn unique<'b>(&mut self, names: impl Iterator<Item = (usize, &'b str)>, path: &dyn Fn(usize) -> String, hint: &str) {
        let mut first: HashMap<&str, usize> = HashMap::new();
        for (index, name) in names.filter(|(_, name)| !name.is_empty()) {
            let before = *first.entry(name).or_insert(index);
            if before != index {
                let shown = self.source.shown(&path(index), name);
                self.broken(path(index), format!("{shown} is taken by {}", path(before)), hint);
            }
        }
    }

    fn at_least(&mut self, path: &dyn Fn() -> String, time: Time, least: Time) {
        if time < least {
            self.broken(path(), format!("must be at least \"{least}\""), "");
        }
    }

    fn head(&mut self, path: &dyn Fn() -> String, size: Size) {
        self.size(path, size, 1 << 10, 1 << 20);
    }

    fn size(&mut self, path: &dyn Fn() -> String, size: Size, least: u64, most: u64) {
        if !(least..=most).contains(&size.get()) {
            let (least, most) = (Size::from_bytes(least), Size::from_bytes(most));
            self.broken(path(), format!("must be from \"{least}\" to \"{most}\""), "");
        }
    }

    /// The names of all upstreams, as they may be shown.
    fn upstream_names(&self) -> String {
        let shown = |(index, id): (usize, &str)| self.source.shown(&format!("upstreams[{index}].id"), id);
        let ids = self.config.upstreams.iter().map(|upstream| upstream.id.as_str()).take(NAMES_SHOWN).enumerate();
        let names: Vec<String> = ids.map(shown).collect();
        match self.config.upstreams.len().saturating_sub(NAMES_SHOWN) {
            _ if names.is_empty() => there_are(std::iter::empty()),
            0 => format!("there are: {}", names.join(", ")),
            more => format!("there are: {} and {more} more", names.join(", ")),
        }
    }
}

/// A path that can be asked for: what is wrong with it, if anything.
fn request_path(path: &str) -> Option<&'static str> {
    if !path.starts_with('/') {
        Some("must begin with \"/\"")
    } else if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        Some("must not hold spaces, control characters or characters outside of ASCII")
    } else if path.contains('#') {
        Some("must not hold a \"#\"")
    } else {
        None
    }
}

/// Bytes of a name that logs and metrics show, at most.
const NAME_MAX: usize = 200;

/// Names that a hint lists, at most.
const NAMES_SHOWN: usize = 20;
