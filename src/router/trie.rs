//! The tree of path segments that literal paths and patterns are matched in.
//!
//! Few literal children are scanned as numbers made of their first eight bytes; many are found through a table.

use super::pattern::Segment;
use super::table::{NONE, Table};

/// The tree. Each group of routes has a root of its own.
#[derive(Debug)]
pub(super) struct Trie {
    pub nodes: Vec<Node>,
    edges: Vec<Edge>,
    texts: Vec<u8>,
    crowded: Table,
}

/// A place in the tree: all patterns that begin alike.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    /// The best rank in and below this node.
    pub best: u32,
    /// First edge to a literal child.
    edges: u32,
    /// Literal children; more than `SCANNED_MAX` are in the table.
    children: u32,
    /// The child that takes any one segment, or `NONE`.
    pub one: u32,
    /// Routes whose pattern ends here.
    pub ends: Range,
    /// Routes whose pattern takes everything below.
    pub tails: Range,
}

/// A range of entries.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Range {
    pub start: u32,
    pub count: u32,
}

impl Range {
    #[inline]
    pub fn indices(self) -> std::ops::Range<usize> {
        self.start as usize..(self.start + self.count) as usize
    }
}

#[derive(Clone, Copy, Debug)]
struct Edge {
    key: u64,
    start: u32,
    length: u32,
    child: u32,
}

impl Trie {
    /// The child of `node` for the literal segment `path[start..end]` whose key is `key`.
    #[inline]
    pub fn child(&self, node: &Node, path: &[u8], start: usize, end: usize, key: u64) -> Option<u32> {
        if node.children > SCANNED_MAX {
            return self.crowded.find(node.edges, &path[start..end]);
        }
        let length = end - start;
        let edges = &self.edges[node.edges as usize..(node.edges + node.children) as usize];
        let same = |edge: &&Edge| {
            edge.key == key && edge.length as usize == length && (length <= 8 || self.text(edge)[8..] == path[start + 8..end])
        };
        edges.iter().find(same).map(|edge| edge.child)
    }

    fn text(&self, edge: &Edge) -> &[u8] {
        &self.texts[edge.start as usize..(edge.start + edge.length) as usize]
    }
}

/// The segment of `path` that begins at `start`: its end, and its first eight bytes as a number.
#[inline]
pub(super) fn segment(path: &[u8], start: usize) -> (usize, u64) {
    let first = word(path, start);
    let slashes = slashes(first);
    if slashes != 0 {
        let length = slashes.trailing_zeros() as usize / 8;
        return (start + length, first & !(u64::MAX << (length * 8)));
    }
    let mut end = (start + 8).min(path.len());
    while end < path.len() && path[end] != b'/' {
        end += 1;
    }
    (end, first)
}

/// The eight bytes of `path` from `at`, the first in the lowest place; past the end come zeros.
#[inline]
fn word(path: &[u8], at: usize) -> u64 {
    let rest = &path[at..];
    if let Some(bytes) = rest.first_chunk::<8>() {
        u64::from_le_bytes(*bytes)
    } else if rest.is_empty() {
        0
    } else if let Some(bytes) = path.last_chunk::<8>() {
        u64::from_le_bytes(*bytes) >> (8 * (8 - rest.len()))
    } else {
        rest.iter().rev().fold(0, |word, &byte| word << 8 | byte as u64)
    }
}

/// The lowest bit set is in the first byte that is a slash; zero if there is none.
#[inline]
fn slashes(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let differing = word ^ (ONES * b'/' as u64);
    differing.wrapping_sub(ONES) & !differing & (ONES << 7)
}

/// A tree being built.
#[derive(Debug)]
pub(super) struct Builder<T> {
    nodes: Vec<Draft<T>>,
    children: Table,
}

#[derive(Debug)]
struct Draft<T> {
    best: u32,
    literals: Vec<(Vec<u8>, u32)>,
    one: u32,
    ends: Vec<T>,
    tails: Vec<T>,
}

impl<T: Copy> Builder<T> {
    /// An empty tree, with memory for about `count` patterns.
    pub fn with_room(count: usize) -> Builder<T> {
        Builder { nodes: Vec::with_capacity(count), children: Table::with_room(count) }
    }

    /// Adds the root of a group.
    pub fn root(&mut self) -> u32 {
        self.nodes.push(Draft { best: NONE, literals: Vec::new(), one: NONE, ends: Vec::new(), tails: Vec::new() });
        self.nodes.len() as u32 - 1
    }

    /// Adds an entry; those of one place are added best first.
    pub fn add(&mut self, root: u32, segments: &[Segment], tail: bool, rank: u32, entry: T) {
        let mut node = root;
        self.touch(node, rank);
        for segment in segments {
            node = match segment {
                Segment::One => match self.nodes[node as usize].one {
                    NONE => {
                        let child = self.root();
                        self.nodes[node as usize].one = child;
                        child
                    }
                    child => child,
                },
                Segment::Literal(text) => self.children.find(node, text).unwrap_or_else(|| {
                    let child = self.root();
                    self.children.insert(node, text, child);
                    self.nodes[node as usize].literals.push((text.clone(), child));
                    child
                }),
            };
            self.touch(node, rank);
        }
        let draft = &mut self.nodes[node as usize];
        if tail { draft.tails.push(entry) } else { draft.ends.push(entry) }
    }

    fn touch(&mut self, node: u32, rank: u32) {
        let best = &mut self.nodes[node as usize].best;
        *best = rank.min(*best);
    }

    /// The finished tree; entries are appended to `entries`.
    pub fn finish(self, entries: &mut Vec<T>) -> Trie {
        let crowd = self.nodes.iter().map(|draft| draft.literals.len()).filter(|&count| count > SCANNED_MAX as usize).sum();
        let mut trie =
            Trie { nodes: Vec::with_capacity(self.nodes.len()), edges: Vec::new(), texts: Vec::new(), crowded: Table::with_room(crowd) };
        let mut list = |drafts: &[T]| {
            let start = entries.len() as u32;
            entries.extend_from_slice(drafts);
            Range { start, count: drafts.len() as u32 }
        };
        for (index, draft) in (0..).zip(&self.nodes) {
            let children = draft.literals.len() as u32;
            // A crowded node's first edge is what tells its texts apart in the table.
            let edges = if children > SCANNED_MAX { index } else { trie.edges.len() as u32 };
            for (text, child) in &draft.literals {
                if children > SCANNED_MAX {
                    trie.crowded.insert(edges, text, *child);
                } else {
                    let edge = Edge { key: word(text, 0), start: trie.texts.len() as u32, length: text.len() as u32, child: *child };
                    trie.texts.extend_from_slice(text);
                    trie.edges.push(edge);
                }
            }
            let (ends, tails) = (list(&draft.ends), list(&draft.tails));
            trie.nodes.push(Node { best: draft.best, edges, children, one: draft.one, ends, tails });
        }
        trie
    }
}

/// Literal children that are compared one by one; a look into the table costs about as much as four.
const SCANNED_MAX: u32 = 6;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn segments_end_where_slashes_are(path in "[a/\\x00\\x2e\\x30é]{0,30}", start in 0usize..30) {
            let path = path.as_bytes();
            let start = start.min(path.len());
            let expected = path[start..].iter().position(|&byte| byte == b'/').map_or(path.len(), |at| start + at);
            let mut first = [0; 8];
            let length = (expected - start).min(8);
            first[..length].copy_from_slice(&path[start..start + length]);
            prop_assert_eq!(segment(path, start), (expected, u64::from_le_bytes(first)));
        }
    }
}
