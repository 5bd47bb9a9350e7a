//! Keys that signatures of tokens are checked with, each with the algorithms that it may be used for (RFC 7518): a token's header only
//! chooses among these, so it can't have a public key taken for a secret.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a token is signed (RFC 7518 section 3.1, RFC 8037 section 3.1). There is no `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum Algorithm {
    HS256,
    HS384,
    HS512,
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

use Algorithm::{ES256, ES384, EdDSA, HS256, HS384, HS512, PS256, PS384, PS512, RS256, RS384, RS512};

impl Algorithm {
    /// The algorithm of this name.
    pub fn named(name: &str) -> Option<Algorithm> {
        let all = [HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA];
        all.into_iter().find(|algorithm| format!("{algorithm:?}") == name)
    }
}

#[derive(Clone, PartialEq, Eq)]
enum Material {
    Secret(Vec<u8>),
    /// Modulus and exponent.
    Rsa(Vec<u8>, Vec<u8>),
    /// An uncompressed point.
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// A key.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// Its name; tokens that name a key mean this one. Without a name it is meant whatever they say.
    pub id: Option<String>,
    /// What it may be used for.
    pub algorithms: Vec<Algorithm>,
    material: Material,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).field("algorithms", &self.algorithms).finish_non_exhaustive()
    }
}

impl Key {
    /// A secret that signer and gateway share.
    ///
    /// # Errors
    /// When it is shorter than 32 bytes (RFC 7518 section 3.2).
    pub fn secret(bytes: &[u8]) -> Result<Key, &'static str> {
        match bytes.len() {
            SECRET_MIN.. => Ok(Key::new(Material::Secret(bytes.into()))),
            _ => Err("is shorter than the 32 bytes that HS256 needs"),
        }
    }

    /// An RSA key by modulus and exponent.
    pub(super) fn rsa(n: &[u8], e: &[u8]) -> Result<Key, &'static str> {
        let strip = |bytes: &[u8]| bytes.iter().copied().skip_while(|&byte| byte == 0).collect::<Vec<u8>>();
        let (n, e) = (strip(n), strip(e));
        if !(RSA_MIN..=RSA_MAX).contains(&n.len()) || e.is_empty() || e.len() > 4 {
            return Err("is no RSA key of 2048 to 8192 bits");
        }
        Ok(Key::new(Material::Rsa(n, e)))
    }

    /// An elliptic curve's point by its coordinates.
    pub(super) fn curve(x: &[u8], y: &[u8]) -> Result<Key, &'static str> {
        let point = [&[4], x, y].concat();
        match (x.len(), y.len()) {
            (32, 32) => Ok(Key::new(Material::P256(point))),
            (48, 48) => Ok(Key::new(Material::P384(point))),
            _ => Err("is no point of P-256 or P-384"),
        }
    }

    pub(super) fn ed25519(bytes: &[u8]) -> Result<Key, &'static str> {
        if bytes.len() == 32 { Ok(Key::new(Material::Ed25519(bytes.into()))) } else { Err("is no Ed25519 key") }
    }

    /// A public key as PEM: `-----BEGIN PUBLIC KEY-----` (RFC 7468 section 13).
    ///
    /// # Errors
    /// When it is none, or one that no algorithm here uses.
    pub fn pem(text: &str) -> Result<Key, &'static str> {
        let body = text.trim().strip_prefix("-----BEGIN PUBLIC KEY-----").and_then(|rest| rest.strip_suffix("-----END PUBLIC KEY-----"));
        let der = unwrapped(body.ok_or("is not a PEM of one \"PUBLIC KEY\"")?)?;
        spki(&der).unwrap_or(Err("has a PEM that holds no key of RSA, P-256, P-384 or Ed25519"))
    }

    fn new(material: Material) -> Key {
        let algorithm = match material {
            Material::Secret(_) => HS256,
            Material::Rsa(..) => RS256,
            Material::P256(_) => ES256,
            Material::P384(_) => ES384,
            Material::Ed25519(_) => EdDSA,
        };
        Key { id: None, algorithms: vec![algorithm], material }
    }

    /// The same for those of these algorithms that fit it; those that it has by itself if `only` is empty.
    #[must_use]
    pub fn only(mut self, only: &[Algorithm]) -> Key {
        if !only.is_empty() {
            self.algorithms = only.iter().copied().filter(|&algorithm| self.fits(algorithm)).collect();
        }
        self
    }

    /// Whether an algorithm is one for such keys.
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        match self.material {
            Material::Secret(_) => matches!(algorithm, HS256 | HS384 | HS512),
            Material::Rsa(..) => matches!(algorithm, RS256 | RS384 | RS512 | PS256 | PS384 | PS512),
            Material::P256(_) => algorithm == ES256,
            Material::P384(_) => algorithm == ES384,
            Material::Ed25519(_) => algorithm == EdDSA,
        }
    }

    /// Whether it made this signature by this algorithm, which must be one of its own.
    pub fn signed(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if !self.algorithms.contains(&algorithm) {
            return false;
        }
        match (&self.material, algorithm) {
            (Material::Secret(secret), HS256) => hmac_of(hmac::HMAC_SHA256, secret, message, signature),
            (Material::Secret(secret), HS384) => hmac_of(hmac::HMAC_SHA384, secret, message, signature),
            (Material::Secret(secret), HS512) => hmac_of(hmac::HMAC_SHA512, secret, message, signature),
            (Material::Rsa(n, e), _) => {
                let params = match algorithm {
                    RS256 => &signature::RSA_PKCS1_2048_8192_SHA256,
                    RS384 => &signature::RSA_PKCS1_2048_8192_SHA384,
                    RS512 => &signature::RSA_PKCS1_2048_8192_SHA512,
                    PS256 => &signature::RSA_PSS_2048_8192_SHA256,
                    PS384 => &signature::RSA_PSS_2048_8192_SHA384,
                    PS512 => &signature::RSA_PSS_2048_8192_SHA512,
                    _ => return false,
                };
                RsaPublicKeyComponents { n, e }.verify(params, message, signature).is_ok()
            }
            (Material::P256(point), ES256) => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
            }
            (Material::P384(point), ES384) => {
                UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point).verify(message, signature).is_ok()
            }
            (Material::Ed25519(key), EdDSA) => UnparsedPublicKey::new(&signature::ED25519, key).verify(message, signature).is_ok(),
            _ => false,
        }
    }
}

/// What stands between the lines that begin and end a PEM, as DER.
pub(super) fn unwrapped(body: &str) -> Result<Vec<u8>, &'static str> {
    let base64: String = body.split_ascii_whitespace().collect();
    STANDARD.decode(base64).map_err(|_| "has a PEM whose base64 is broken")
}

/// Compares in constant time.
fn hmac_of(algorithm: hmac::Algorithm, secret: &[u8], message: &[u8], signature: &[u8]) -> bool {
    hmac::verify(&hmac::Key::new(algorithm, secret), message, signature).is_ok()
}

/// A SubjectPublicKeyInfo (RFC 5280 section 4.1); `None` if it is none.
fn spki(der: &[u8]) -> Option<Result<Key, &'static str>> {
    let (info, rest) = element(0x30, der)?;
    let (algorithm, key) = element(0x30, info)?;
    let (bits, after) = element(0x03, key)?;
    // Bit strings begin with how many bits of the last byte are unused.
    let (0, bits) = (*bits.first()?, &bits[1..]) else { return None };
    if !rest.is_empty() || !after.is_empty() {
        return None;
    }
    Some(match algorithm {
        RSA => {
            let (numbers, after) = element(0x30, bits)?;
            let (n, numbers) = element(0x02, numbers)?;
            let (e, end) = element(0x02, numbers)?;
            if !after.is_empty() || !end.is_empty() {
                return None;
            }
            Key::rsa(n, e)
        }
        P256 | P384 if bits.first() == Some(&4) && bits.len() % 2 == 1 => {
            let (x, y) = bits[1..].split_at(bits.len() / 2);
            Key::curve(x, y)
        }
        ED25519 => Key::ed25519(bits),
        _ => return None,
    })
}

/// An element of DER of this tag, and what follows it.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => (usize::from(*rest.first()?), &rest[1..]),
        0x82 => (usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?])), &rest[2..]),
        _ => return None,
    };
    (found == tag).then(|| rest.split_at_checked(length))?
}

/// Algorithm identifiers: rsaEncryption; id-ecPublicKey with P-256, with P-384; Ed25519.
const RSA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
const P256: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];

/// Bytes of a shared secret, and of an RSA modulus.
const SECRET_MIN: usize = 32;
const RSA_MIN: usize = 256;
const RSA_MAX: usize = 1024;
