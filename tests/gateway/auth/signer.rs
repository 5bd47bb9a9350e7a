//! An issuer of tokens: signs them by each algorithm, with keys made for the test.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
use ring::{hmac, rsa};
use serde_json::{Value, json};

/// Its keys.
pub struct Signer {
    p256: EcdsaKeyPair,
    p384: EcdsaKeyPair,
    ed25519: Ed25519KeyPair,
    rsa: RsaKeyPair,
}

/// The secret of the HS algorithms.
pub const SECRET: &str = "a secret of more than 32 bytes, for tests only";

/// Made with `openssl genpkey`, for tests only.
const RSA: &str = include_str!("rsa.b64");

pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Signer {
    pub fn new() -> Signer {
        let random = SystemRandom::new();
        let curve = |algorithm| {
            let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
            EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).unwrap()
        };
        let rsa: String = RSA.split_ascii_whitespace().collect();
        Signer {
            p256: curve(&signature::ECDSA_P256_SHA256_FIXED_SIGNING),
            p384: curve(&signature::ECDSA_P384_SHA384_FIXED_SIGNING),
            ed25519: Ed25519KeyPair::from_pkcs8(Ed25519KeyPair::generate_pkcs8(&random).unwrap().as_ref()).unwrap(),
            rsa: RsaKeyPair::from_pkcs8(&STANDARD.decode(rsa).unwrap()).unwrap(),
        }
    }

    /// Its public keys as a set, each named after its algorithm; only the RSA key doesn't say which that is.
    pub fn set(&self) -> Value {
        let point = |key: &EcdsaKeyPair| {
            let point = &key.public_key().as_ref()[1..];
            let (x, y) = point.split_at(point.len() / 2);
            (encode(x), encode(y))
        };
        let ((x, y), (x384, y384)) = (point(&self.p256), point(&self.p384));
        let public = rsa::PublicKeyComponents::<Vec<u8>>::from(self.rsa.public());
        json!({ "keys": [
            { "kty": "EC", "crv": "P-256", "kid": "ES256", "alg": "ES256", "use": "sig", "x": x, "y": y },
            { "kty": "EC", "crv": "P-384", "kid": "ES384", "alg": "ES384", "x": x384, "y": y384 },
            { "kty": "OKP", "crv": "Ed25519", "kid": "EdDSA", "key_ops": ["verify"], "x": encode(self.ed25519.public_key()) },
            { "kty": "RSA", "kid": "RS256", "n": encode(public.n), "e": encode(public.e) },
        ] })
    }

    /// A token by this algorithm that names the key so.
    pub fn sign(&self, algorithm: &str, id: &str, claims: &Value) -> String {
        self.sign_head(algorithm, &json!({ "alg": algorithm, "typ": "JWT", "kid": id }).to_string(), &claims.to_string())
    }

    /// A token with this head and these claims, whatever they say.
    pub fn sign_head(&self, algorithm: &str, head: &str, claims: &str) -> String {
        let message = format!("{}.{}", encode(head), encode(claims));
        let (bytes, random) = (message.as_bytes(), SystemRandom::new());
        let rsa = |padding: &'static dyn signature::RsaEncoding| {
            let mut out = vec![0; self.rsa.public().modulus_len()];
            self.rsa.sign(padding, &random, bytes, &mut out).unwrap();
            out
        };
        let mac = |algorithm| hmac::sign(&hmac::Key::new(algorithm, SECRET.as_bytes()), bytes).as_ref().to_vec();
        let signature = match algorithm {
            "HS256" => mac(hmac::HMAC_SHA256),
            "HS384" => mac(hmac::HMAC_SHA384),
            "HS512" => mac(hmac::HMAC_SHA512),
            "RS256" => rsa(&signature::RSA_PKCS1_SHA256),
            "RS384" => rsa(&signature::RSA_PKCS1_SHA384),
            "RS512" => rsa(&signature::RSA_PKCS1_SHA512),
            "PS256" => rsa(&signature::RSA_PSS_SHA256),
            "PS384" => rsa(&signature::RSA_PSS_SHA384),
            "PS512" => rsa(&signature::RSA_PSS_SHA512),
            "ES256" => self.p256.sign(&random, bytes).unwrap().as_ref().to_vec(),
            "ES384" => self.p384.sign(&random, bytes).unwrap().as_ref().to_vec(),
            "EdDSA" => self.ed25519.sign(bytes).as_ref().to_vec(),
            _ => Vec::new(),
        };
        format!("{message}.{}", encode(signature))
    }
}
