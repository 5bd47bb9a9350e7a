//! Key sets that are fetched from elsewhere, as all cores have them.

use std::sync::Arc;

use super::keys::unwrapped;

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
    /// Certificates of the authorities that are trusted there, as DER; empty is those that browsers trust.
    pub roots: Vec<Vec<u8>>,
}

/// The certificates of a text, as DER (RFC 7468 section 5); what stands between them is no part of them.
///
/// # Errors
/// When there is none, or one that is broken.
pub fn certificates(pem: &str) -> Result<Vec<Vec<u8>>, &'static str> {
    let certificate = |rest: &str| {
        let (body, _) = rest.split_once("-----END CERTIFICATE-----").ok_or("has a PEM that breaks off")?;
        unwrapped(body).and_then(|der| if der.is_empty() { Err("has a PEM whose base64 is broken") } else { Ok(der) })
    };
    let found: Vec<_> = pem.split("-----BEGIN CERTIFICATE-----").skip(1).map(certificate).collect::<Result<_, _>>()?;
    if found.is_empty() { Err("is not a PEM of \"CERTIFICATE\"s") } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_found_among_other_text() {
        let one = "-----BEGIN CERTIFICATE-----\nAQID\nBA==\n-----END CERTIFICATE-----\n";
        assert_eq!(certificates(&format!("# ours\n{one}and\n{one}")), Ok(vec![vec![1, 2, 3, 4]; 2]));
        for bad in [
            "",
            "AQID",
            "-----BEGIN PUBLIC KEY-----\nAQID\n-----END PUBLIC KEY-----",
            &one[..40],
            &one.replace("BA==", "B"),
            &one.replace("AQID\nBA==", ""),
        ] {
            assert!(certificates(bad).is_err(), "{bad}");
        }
    }
}
