//! A stored response, ready to send: terms, URL, what it was chosen by, head and small body stand in one piece of memory, so that finding
//! and serving it goes to one place; a larger body in blocks beside it. What is handed out keeps its bytes, whatever becomes of the
//! stored response.

use std::rc::Rc;

use super::key::Key;
use super::meta::{Meta, Part};
use super::terms::{Facts, Terms};
use super::{Ask, head, vary};
use crate::http::{Field, Known, Span, name_hash, parse_date};

/// A stored response. Clones share its bytes.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// What is known of it ([`Meta`]), then the parts ([`Part`]), then the body if it is small.
    text: Rc<[u8]>,
    /// A body that isn't small: all blocks but the last are of [`BLOCK`] bytes.
    blocks: Option<Rc<Vec<Block>>>,
}

/// A block of a body.
pub(super) type Block = Rc<Vec<u8>>;

impl Item {
    /// An item without a body yet. `head` has its status line and all lines to be stored, `Date` among them. `None` if no later request
    /// could match its `Vary`.
    pub(super) fn new(ask: &Ask<'_>, key: &Key<'_>, extra: &[u8], head: &[u8], facts: &Facts, terms: Terms, length: u64) -> Option<Item> {
        let fields = head::fields(head);
        let mut text = Vec::with_capacity(256 + extra.len() + head.len());
        text.resize(Meta::SIZE, 0);
        let mut ends = [0; Part::COUNT];
        key.write(&mut text);
        ends[Part::Url as usize] = text.len() as u32;
        text.extend_from_slice(extra);
        ends[Part::Extra as usize] = text.len() as u32;
        if !vary::write(&mut text, &fields, head, ask) {
            return None;
        }
        ends[Part::Vary as usize] = text.len() as u32;
        write_tags(&mut text, &fields, head);
        ends[Part::Tags as usize] = text.len() as u32;
        text.extend(fields.iter().flat_map(|field| name_hash(field.name.of(head)).to_le_bytes()));
        let start = text.len() as u32;
        ends[Part::Names as usize] = start;
        text.extend_from_slice(head);
        ends[Part::Head as usize] = text.len() as u32;
        let value = |known: Known| {
            let span = fields.iter().find(|field| field.known == known).map_or(Span::default(), |field| field.value);
            Span { start: span.start + start, end: span.end + start }
        };
        let date = parse_date(value(Known::Date).of(&text));
        let meta = Meta {
            terms,
            status: facts.status,
            strong_date: facts.modified.zip(date).is_some_and(|(modified, date)| modified < date),
            zone: ask.zone(),
            length,
            since: facts.modified.or(date).unwrap_or(0),
            ends,
            etag: value(Known::Etag),
            last_modified: if facts.modified.is_some() { value(Known::LastModified) } else { Span::default() },
        };
        meta.write(&mut text);
        Some(Item { text: text.into(), blocks: None })
    }

    /// The same with its whole body; the head tells its length, if that has become known only with its end.
    pub(super) fn complete(&self, tell: bool, body: Vec<Block>, length: u64) -> Item {
        let mut meta = self.meta();
        let end = meta.ends[Part::Head as usize] as usize;
        let inline = length <= INLINE_MAX;
        let mut text = Vec::with_capacity(end + 32 + if inline { length as usize } else { 0 });
        text.extend_from_slice(&self.text[..end]);
        if tell {
            head::write_length(&mut text, length);
        }
        meta.ends[Part::Head as usize] = text.len() as u32;
        meta.length = length;
        meta.write(&mut text);
        let blocks = if inline {
            body.iter().for_each(|block| text.extend_from_slice(block));
            None
        } else {
            Some(Rc::new(body))
        };
        Item { text: text.into(), blocks }
    }

    /// The same body under another head; `head` as for [`Item::new`].
    pub(super) fn renewed(&self, ask: &Ask<'_>, key: &Key<'_>, head: &[u8], facts: &Facts, terms: Terms) -> Option<Item> {
        let new = Item::new(ask, key, self.extra(), head, facts, terms, self.meta().length)?;
        let text = match self.blocks {
            Some(_) => new.text,
            None => [&new.text, self.inline()].concat().into(),
        };
        Some(Item { text, blocks: self.blocks.clone() })
    }

    /// What is known of it.
    #[inline(always)]
    pub(super) fn meta(&self) -> Meta {
        Meta::read(&self.text)
    }

    #[inline]
    pub(super) fn terms(&self) -> Terms {
        self.meta().terms
    }

    #[inline]
    fn part(&self, part: Part) -> &[u8] {
        &self.text[self.meta().range(part)]
    }

    #[inline]
    pub(super) fn url(&self) -> &[u8] {
        self.part(Part::Url)
    }

    #[inline]
    pub(super) fn extra(&self) -> &[u8] {
        self.part(Part::Extra)
    }

    #[inline]
    pub(super) fn vary(&self) -> &[u8] {
        self.part(Part::Vary)
    }

    /// Status line and header lines.
    #[inline]
    pub(super) fn head(&self) -> &[u8] {
        self.part(Part::Head)
    }

    /// The hashes of the names of its header lines, two bytes each. `Content-Length` isn't among them where it became known with the body.
    pub(super) fn names(&self) -> &[u8] {
        self.part(Part::Names)
    }

    /// Whether it bears this tag.
    pub(super) fn has_tag(&self, tag: &[u8]) -> bool {
        self.part(Part::Tags).split(|&byte| byte == b'\n').any(|own| !own.is_empty() && own == tag)
    }

    /// `ETag`'s value; empty if there is none.
    pub(super) fn etag(&self) -> &[u8] {
        self.meta().etag.of(&self.text)
    }

    /// `Last-Modified`'s value, if it is a date; else empty.
    pub(super) fn last_modified(&self) -> &[u8] {
        self.meta().last_modified.of(&self.text)
    }

    fn inline(&self) -> &[u8] {
        &self.text[self.meta().ends[Part::Head as usize] as usize..]
    }

    /// Whether the whole body stands beside the head.
    pub(super) fn is_inline(&self) -> bool {
        self.blocks.is_none()
    }

    /// The body from byte `at` on, as far as it lies together.
    pub(super) fn body(&self, at: u64) -> &[u8] {
        match &self.blocks {
            None => self.inline().get(at as usize..).unwrap_or_default(),
            Some(blocks) => blocks.get(at as usize / BLOCK).map_or(&[], |block| &block[at as usize % BLOCK..]),
        }
    }

    /// The block that byte `at` of the body is in.
    pub(super) fn block(&self, at: u64) -> Option<&Block> {
        self.blocks.as_ref()?.get(at as usize / BLOCK)
    }

    /// Bytes of memory it takes, those included that it takes to find it.
    pub(super) fn cost(&self) -> usize {
        let blocks = self.blocks.as_ref().map_or(0, |blocks| blocks.iter().map(|block| block.capacity() + BLOCK_OVERHEAD).sum());
        self.text.len() + blocks + OVERHEAD
    }
}

/// Appends the tags of `Cache-Tag` (separated by commas) and `Surrogate-Key` (separated by spaces), a line end before each.
fn write_tags(out: &mut Vec<u8>, fields: &[Field], head: &[u8]) {
    for field in fields.iter().filter(|field| matches!(field.known, Known::CacheTag | Known::SurrogateKey)) {
        for tag in field.value.of(head).split(|&byte| matches!(byte, b',' | b' ' | b'\t')).filter(|tag| !tag.is_empty()) {
            out.push(b'\n');
            out.extend_from_slice(tag);
        }
    }
}

/// The largest body that stands beside its head: copying so much is quicker than a second send.
pub(super) const INLINE_MAX: u64 = 16 << 10;
/// Bytes of a block.
pub(super) const BLOCK: usize = 64 << 10;
/// What an item takes besides its text and its blocks: its entry, its places in the table, what the allocator adds.
pub(super) const OVERHEAD: usize = 192;
/// The same of a block.
pub(super) const BLOCK_OVERHEAD: usize = 64;
