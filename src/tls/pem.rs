//! Certificates and keys out of PEM (RFC 7468).

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::provider;
use crate::config::Wrong;

/// The certificates of a text, one at least.
fn certificates(setting: &str, text: &str) -> Result<Vec<CertificateDer<'static>>, Wrong> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        _ => Err(no_pem(setting, text, "holds no certificate in PEM")),
    }
}

/// What is wrong with a text that isn't what it should be, with the most likely reason.
fn no_pem(setting: &str, text: &str, message: &str) -> Wrong {
    let is_path = text.starts_with(['/', '.']) || [".pem", ".crt", ".cer", ".key"].iter().any(|ending| text.ends_with(ending));
    if text.is_empty() {
        return Wrong::new(setting, "is empty", "most often it is the text of a file: \"${file:/etc/ringway/NAME.pem}\"");
    }
    if is_path && !text.contains('\n') {
        return Wrong::new(setting, message, &format!("to have the file's text put in, write \"${{file:{text}}}\""));
    }
    let hint = if text.contains("ENCRYPTED") {
        "it has a password, without which it can't be read: \"openssl pkey -in FILE -out NEW_FILE\" takes it off"
    } else if text.contains("PRIVATE KEY-----") {
        "it holds a private key: the two may be the wrong way round"
    } else if text.contains("-----BEGIN CERTIFICATE-----") {
        "it holds a certificate: the two may be the wrong way round"
    } else {
        "PEM is the text that begins with \"-----BEGIN\""
    };
    Wrong::new(setting, message, hint)
}

/// The authorities of a text.
pub(super) fn roots(setting: &str, text: &str) -> Result<RootCertStore, Wrong> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(setting, text)? {
        roots.add(certificate).map_err(|error| Wrong::new(setting, &format!("holds a certificate that can't be read: {error}"), ""))?;
    }
    Ok(roots)
}

/// A certificate with what vouches for it, and its key.
pub(super) fn certified(settings: [&str; 2], cert: &str, key: &str) -> Result<CertifiedKey, Wrong> {
    let chain = certificates(settings[0], cert)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| no_pem(settings[1], key, "holds no private key in PEM"))?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => Wrong::new(
            settings[1],
            "is not the key of the certificate",
            "both must be of one pair, and in \"cert\" the certificate itself stands before those that vouch for it",
        ),
        rustls::Error::InvalidCertificate(why) => Wrong::new(
            settings[0],
            &format!("can't be read as a certificate: {why:?}"),
            "most often it isn't of X.509 version 3; \"openssl x509 -req\" makes version 1 unless it is given extensions (-extfile)",
        ),
        error => Wrong::new(settings[1], &format!("can't be used: {error}"), ""),
    })
}
