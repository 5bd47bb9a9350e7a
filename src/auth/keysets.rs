//! Key sets that are fetched from elsewhere, as all cores have them.

use std::sync::Arc;

/// The key sets that are known, by their URLs. A snapshot: the newest replaces all before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySets(pub Vec<KeySet>);

/// A key set that was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySet {
    /// From where.
    pub url: Arc<str>,
    /// What it says: a JSON Web Key Set.
    pub text: Arc<str>,
    /// Grows with each text that differs from the one before.
    pub version: u64,
}

impl KeySets {
    /// The key set of a URL.
    pub fn find(&self, url: &str) -> Option<&KeySet> {
        self.0.iter().find(|set| *set.url == *url)
    }
}

/// A key set that is to be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// From where: `http://` or `https://`.
    pub url: String,
    /// How often.
    pub refresh: std::time::Duration,
}
