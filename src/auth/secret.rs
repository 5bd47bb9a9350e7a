//! Secrets that clients prove to know. Only their SHA-256 is kept; they are found by a keyed hash and compared in constant time.

use std::fmt;
use std::hash::Hasher;

use ring::digest::{SHA256, digest};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use siphasher::sip128::{Hasher128, SipHasher13};
use subtle::ConstantTimeEq;

/// A secret, of which only the SHA-256 is kept. It is given as it is, or as `sha256:` and 64 hexadecimal digits.
#[derive(Clone, PartialEq, Eq)]
pub struct Hashed(Result<[u8; 32], &'static str>);

impl Hashed {
    /// Reads one from a configuration. What is wrong with it, [`Hashed::problem`] tells.
    pub fn read(text: &str) -> Hashed {
        let Some(hex) = text.strip_prefix(PREFIX) else {
            return Hashed(match text {
                "" => Err("is empty: anyone would know it"),
                _ if text.len() > SECRET_MAX => Err("is longer than 4096 bytes"),
                _ if !text.bytes().all(|byte| byte.is_ascii_graphic()) => {
                    Err("holds spaces, control characters or characters outside of ASCII, which no client could send")
                }
                _ => Ok(sha256(text.as_bytes())),
            });
        };
        Hashed(from_hex(hex).ok_or("has no 64 hexadecimal digits after \"sha256:\""))
    }

    /// What is wrong with it, without showing it.
    pub fn problem(&self) -> Option<&'static str> {
        self.0.err()
    }

    /// Its SHA-256, if nothing is wrong with it.
    pub fn digest(&self) -> Option<&[u8; 32]> {
        self.0.as_ref().ok()
    }

    fn hex(&self) -> String {
        let digits = self.0.iter().flatten().map(|byte| format!("{byte:02x}"));
        [PREFIX.to_owned()].into_iter().chain(digits).collect()
    }
}

/// The SHA-256 of bytes.
pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().expect("32 bytes")
}

/// Whether two digests are the same; takes the same time wherever they differ.
pub(super) fn same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.ct_eq(other).into()
}

fn from_hex(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

impl fmt::Debug for Hashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hashed")
    }
}

impl Default for Hashed {
    fn default() -> Self {
        Hashed::read("")
    }
}

impl Serialize for Hashed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.hex())
    }
}

impl<'de> Deserialize<'de> for Hashed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Hashed::read(&text))
    }
}

impl JsonSchema for Hashed {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Hashed".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "A secret, or \"sha256:\" and the 64 hexadecimal digits of its SHA-256." })
    }
}

/// What hashes are keyed with; by chance for each process, so that nobody can find two credentials whose hashes collide.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seed(pub [u8; 16]);

impl Seed {
    /// The keyed hash of a credential, for looking it up; `kind` tells apart what several kinds know.
    #[inline]
    pub fn hash(&self, kind: u64, credential: &[u8]) -> u128 {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        hasher.write_u64(kind);
        hasher.write(credential);
        hasher.finish128().as_u128()
    }
}

const PREFIX: &str = "sha256:";
/// Bytes of a secret.
const SECRET_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_the_same_in_the_clear_and_hashed() {
        // The example of FIPS 180-4.
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let (clear, hashed) = (Hashed::read("abc"), Hashed::read(&format!("sha256:{hex}")));
        assert_eq!(clear.digest(), hashed.digest());
        assert_eq!(Hashed::read(&format!("sha256:{}", hex.to_uppercase())), clear);
        assert!(same(clear.digest().unwrap(), hashed.digest().unwrap()));
        assert!(!same(clear.digest().unwrap(), Hashed::read("abd").digest().unwrap()));
    }

    #[test]
    fn what_is_no_secret_is_refused_without_showing_it() {
        let long = "x".repeat(SECRET_MAX + 1);
        let short_hex = format!("sha256:{}", "a".repeat(63));
        let no_hex = format!("sha256:+{}", "a".repeat(63));
        for text in ["", "two words", "caf\u{e9}", "line\n", &long, "sha256:", &short_hex, &no_hex] {
            let problem = Hashed::read(text).problem().unwrap_or_else(|| panic!("{text}"));
            assert!(text.len() < 8 || !problem.contains(text), "{problem}");
        }
    }

    #[test]
    fn a_secret_is_neither_shown_nor_written() {
        let secret = Hashed::read("opensesame");
        assert_eq!(format!("{secret:?}"), "Hashed");
        let written = serde_json::to_string(&secret).unwrap();
        assert!(!written.contains("opensesame"));
        assert_eq!(serde_json::from_str::<Hashed>(&written).unwrap(), secret);
    }

    #[test]
    fn keyed_hashes_differ_by_key_kind_and_credential() {
        let (one, other) = (Seed([1; 16]), Seed([2; 16]));
        let all = [one.hash(1, b"a"), one.hash(2, b"a"), one.hash(1, b"b"), other.hash(1, b"a")];
        let distinct: std::collections::HashSet<_> = all.into_iter().collect();
        assert_eq!(distinct.len(), all.len());
    }
}
