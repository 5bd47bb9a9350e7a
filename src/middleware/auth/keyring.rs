//! The fetched key sets as one core has them, and those that it wants fetched anew.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::auth::{KeySet, KeySets};

/// Key sets of one core.
#[derive(Debug, Default)]
pub struct Keyring {
    sets: RefCell<Arc<KeySets>>,
    wanted: RefCell<BTreeSet<Arc<str>>>,
}

impl Keyring {
    /// Replaces all that is known.
    pub fn replace(&self, sets: Arc<KeySets>) {
        self.sets.replace(sets);
    }

    /// The version of a key set; 0 if it isn't known.
    pub(super) fn version(&self, url: &str) -> u64 {
        self.sets.borrow().find(url).map_or(0, |set| set.version)
    }

    /// A key set.
    pub(super) fn find(&self, url: &str) -> Option<KeySet> {
        self.sets.borrow().find(url).cloned()
    }

    /// Has one fetched early.
    pub(super) fn want(&self, url: &Arc<str>) {
        self.wanted.borrow_mut().insert(url.clone());
    }

    /// Those wanted since this was last asked.
    pub fn take_wanted(&self) -> Vec<Arc<str>> {
        std::mem::take(&mut *self.wanted.borrow_mut()).into_iter().collect()
    }
}
