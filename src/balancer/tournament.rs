//! The least of many keys that change one at a time: a winner tree (Knuth, TAOCP volume 3, section 5.4.1).

/// The slot with the least key. Changing a key costs a comparison for each doubling of the slots.
#[derive(Debug)]
pub(super) struct Tournament<K> {
    keys: Vec<K>,
    /// The winner below each node: node 1 is the root, nodes `2 n` and `2 n + 1` are below node `n`, the slots come last.
    winners: Vec<u32>,
}

impl<K: Copy + Ord> Tournament<K> {
    /// Of no slots.
    pub fn new() -> Self {
        Tournament { keys: Vec::new(), winners: vec![0; 2] }
    }

    /// Sets all keys; `last` is one that is never less than another.
    pub fn fill(&mut self, keys: impl Iterator<Item = K>, last: K) {
        self.keys.clear();
        self.keys.extend(keys);
        let leaves = self.keys.len().next_power_of_two();
        self.keys.resize(leaves, last);
        self.winners.clear();
        self.winners.resize(leaves, 0);
        self.winners.extend(0..leaves as u32);
        for node in (1..leaves).rev() {
            self.winners[node] = self.winner_below(node);
        }
    }

    /// Sets the key of one slot.
    #[inline]
    pub fn set(&mut self, slot: u32, key: K) {
        self.keys[slot as usize] = key;
        let (mut node, mut winner, mut least) = (self.keys.len() + slot as usize, slot, key);
        // Whom each round is against doesn't depend on the rounds before, so that the look-ups don't wait for each other.
        while node > 1 {
            let other = self.winners[node ^ 1];
            let theirs = self.keys[other as usize];
            // The left one wins where both are equal.
            let loses = if node.is_multiple_of(2) { theirs < least } else { theirs <= least };
            (winner, least) = if loses { (other, theirs) } else { (winner, least) };
            node /= 2;
            self.winners[node] = winner;
        }
    }

    /// The key of a slot.
    #[inline]
    pub fn key(&self, slot: u32) -> K {
        self.keys[slot as usize]
    }

    /// The slot with the least key, the first of several.
    #[inline]
    pub fn first(&self) -> u32 {
        self.winners[1]
    }

    #[inline]
    fn winner_below(&self, node: usize) -> u32 {
        let (left, right) = (self.winners[2 * node], self.winners[2 * node + 1]);
        if self.keys[right as usize] < self.keys[left as usize] { right } else { left }
    }
}
