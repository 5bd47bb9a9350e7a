//! The `Connection` header's options, and the fields they make hop-by-hop (RFC 9110 section 7.6.1).

use super::grammar::elements;
use crate::error::Reason;
use crate::http::{Field, Known};

/// What all `Connection` fields of a message say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Options {
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
    /// How many options name a field.
    named: usize,
}

impl Options {
    /// Takes the value of one `Connection` field.
    #[inline]
    pub(super) fn on_value(&mut self, value: &[u8]) {
        if value.eq_ignore_ascii_case(b"keep-alive") {
            self.keep_alive = true;
        } else if value.eq_ignore_ascii_case(b"close") {
            self.close = true;
        } else {
            self.on_list(value);
        }
    }

    fn on_list(&mut self, value: &[u8]) {
        for option in elements(value) {
            match Meaning::of(option) {
                Meaning::Nothing => {}
                Meaning::Close => self.close = true,
                Meaning::KeepAlive => self.keep_alive = true,
                Meaning::Upgrade => self.upgrade = true,
                Meaning::Field => self.named += 1,
            }
        }
    }

    /// Marks the fields that options name. More options than `NAMED_MAX` are refused, because each is compared with each
    /// field.
    #[inline]
    pub(super) fn mark(&self, bytes: &[u8], fields: &mut [Field]) -> Result<(), Reason> {
        match self.named {
            0 => Ok(()),
            1..=NAMED_MAX => {
                mark_named(bytes, fields);
                Ok(())
            }
            _ => Err(Reason::BadHeaderValue),
        }
    }
}

#[cold]
fn mark_named(bytes: &[u8], fields: &mut [Field]) {
    for at in 0..fields.len() {
        if fields[at].known != Known::Connection {
            continue;
        }
        for option in elements(fields[at].value.of(bytes)).filter(|option| matches!(Meaning::of(option), Meaning::Field)) {
            for field in fields.iter_mut().filter(|field| !field.known.is_kept()) {
                field.hop |= field.name.of(bytes).eq_ignore_ascii_case(option);
            }
        }
    }
}

enum Meaning {
    Nothing,
    Close,
    KeepAlive,
    Upgrade,
    Field,
}

impl Meaning {
    fn of(option: &[u8]) -> Meaning {
        match option.len() {
            0 => Meaning::Nothing,
            5 if option.eq_ignore_ascii_case(b"close") => Meaning::Close,
            10 if option.eq_ignore_ascii_case(b"keep-alive") => Meaning::KeepAlive,
            7 if option.eq_ignore_ascii_case(b"upgrade") => Meaning::Upgrade,
            2 if option.eq_ignore_ascii_case(b"te") => Meaning::Nothing,
            _ => Meaning::Field,
        }
    }
}

/// Options that may name fields, in all `Connection` fields of a message.
const NAMED_MAX: usize = 32;
