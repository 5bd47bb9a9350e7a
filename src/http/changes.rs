//! Changes to one message's headers, decided while it passes; those that are the same for every message are [`super::Edits`].

use super::alike::are_alike;
use super::write_line;

/// Headers taken away and lines added. Reused from message to message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Names taken away, each followed by a line end.
    dropped: Vec<u8>,
    lines: Vec<u8>,
}

impl Changes {
    /// Takes every received header of this name away.
    pub fn remove(&mut self, name: &str) {
        self.dropped.extend_from_slice(name.as_bytes());
        self.dropped.push(b'\n');
    }

    /// Adds a header beside those of the same name. A value that can't stand in a header (RFC 9110 section 5.5) is not added: `false`.
    pub fn add(&mut self, name: &str, value: &[u8]) -> bool {
        let fits = !value.iter().any(|&byte| (byte < 0x20 && byte != b'\t') || byte == 0x7f);
        if fits {
            write_line(&mut self.lines, name.as_bytes(), value);
        }
        fits
    }

    /// Replaces every header of this name by one.
    pub fn set(&mut self, name: &str, value: &[u8]) -> bool {
        self.remove(name);
        self.add(name, value)
    }

    /// Adds whole lines, each with its line end, that are known to be valid.
    pub fn add_lines(&mut self, lines: &[u8]) {
        self.lines.extend_from_slice(lines);
    }

    /// Where whole lines go that are known to be valid, each with its line end: to be appended to.
    #[inline]
    pub fn lines_mut(&mut self) -> &mut Vec<u8> {
        &mut self.lines
    }

    /// How much it holds so far, for [`Changes::rewind`].
    pub fn mark(&self) -> Mark {
        Mark { dropped: self.dropped.len(), lines: self.lines.len() }
    }

    /// Forgets what came after the mark.
    pub fn rewind(&mut self, mark: Mark) {
        self.dropped.truncate(mark.dropped);
        self.lines.truncate(mark.lines);
    }

    /// Forgets all.
    #[inline]
    pub fn clear(&mut self) {
        self.dropped.clear();
        self.lines.clear();
    }

    /// Whether any received header is taken away.
    #[inline]
    pub fn drop_any(&self) -> bool {
        !self.dropped.is_empty()
    }

    /// Whether a received header of this name is taken away.
    pub fn drops(&self, name: &[u8]) -> bool {
        self.dropped.split(|&byte| byte == b'\n').any(|dropped| dropped.eq_ignore_ascii_case(name))
    }

    /// Whether a request header of this name is taken away, or of one that an endpoint may take for it.
    pub fn drops_alike(&self, name: &[u8]) -> bool {
        self.dropped.split(|&byte| byte == b'\n').any(|dropped| are_alike(dropped, name))
    }

    /// The names taken away, for comparing.
    #[inline]
    pub(super) fn dropped(&self) -> &[u8] {
        &self.dropped
    }

    /// The lines to add, each with its line end.
    #[inline]
    pub fn lines(&self) -> &[u8] {
        &self.lines
    }
}

/// A point in the making of [`Changes`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    dropped: usize,
    lines: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_header_takes_the_received_ones_away_and_no_line_can_be_smuggled_in() {
        let mut changes = Changes::default();
        assert!(!changes.drop_any() && changes.set("X-User", b"ada") && changes.drop_any());
        assert!(changes.drops(b"x-user") && !changes.drops(b"x-use") && !changes.drops(b"x"));
        assert!(!changes.add("X-Role", b"a\r\nX-Admin: yes") && !changes.add("X-Role", b"\0"));
        assert_eq!(changes.lines(), b"X-User: ada\r\n");
        let mark = changes.mark();
        changes.set("X-More", b"1");
        changes.rewind(mark);
        assert!(!changes.drops(b"x-more") && changes.lines() == b"X-User: ada\r\n");
        changes.clear();
        assert_eq!(changes, Changes::default());
    }
}
