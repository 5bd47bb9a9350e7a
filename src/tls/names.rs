//! Which certificate a client is shown, by the name it asks for.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::facts;

/// Certificates by the names they are for.
#[derive(Debug)]
pub(super) struct Certificates {
    /// All, in the order of the configuration.
    all: Vec<Arc<CertifiedKey>>,
    /// Their numbers by name; a wildcard's name is what follows its dot.
    exact: HashMap<String, Vec<usize>>,
    wildcards: HashMap<String, Vec<usize>>,
}

impl Certificates {
    pub(super) fn new(all: Vec<Arc<CertifiedKey>>) -> Self {
        let (mut exact, mut wildcards) = (HashMap::<String, Vec<usize>>::new(), HashMap::<String, Vec<usize>>::new());
        for (index, certified) in all.iter().enumerate() {
            for name in certified.cert.first().and_then(|der| facts(der)).unwrap_or_default().names {
                let name = name.to_ascii_lowercase();
                match name.strip_prefix("*.") {
                    Some(rest) => wildcards.entry(rest.to_owned()).or_default().push(index),
                    None => exact.entry(name).or_default().push(index),
                }
            }
        }
        Certificates { all, exact, wildcards }
    }

    /// Those that have this name, better ones first; a wildcard stands for one label (RFC 9525 section 6.3).
    fn of<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Arc<CertifiedKey>> {
        let name = name.to_ascii_lowercase();
        let behind = name.split_once('.').map_or("", |(_, behind)| behind);
        let numbers = self.exact.get(&name).into_iter().chain(self.wildcards.get(behind)).flatten();
        numbers.map(|&index| &self.all[index])
    }

    fn pick(&self, name: Option<&str>, usable: impl Fn(&CertifiedKey) -> bool) -> Option<Arc<CertifiedKey>> {
        let named = name.into_iter().flat_map(|name| self.of(name));
        named.chain(&self.all).find(|certified| usable(certified)).or(self.all.first()).cloned()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        self.pick(hello.server_name(), |certified| certified.key.choose_scheme(schemes).is_some())
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};

    use super::*;
    use crate::tls::provider;

    #[test]
    fn a_name_goes_before_a_wildcard_and_that_before_the_first() {
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("../../tests/gateway/auth/tls/own.key")).unwrap();
        let key = provider().key_provider.load_private_key(key).unwrap();
        let certified = |pem: &[u8]| Arc::new(CertifiedKey::new(vec![CertificateDer::from_pem_slice(pem).unwrap()], key.clone()));
        let nameless = certified(include_bytes!("../../tests/gateway/auth/tls/own.pem"));
        // For a.example and *.b.example.
        let (named, twin) = (certified(include_bytes!("tests/all.pem")), certified(include_bytes!("tests/all.pem")));
        let all = Certificates::new(vec![nameless.clone(), named.clone(), twin.clone()]);
        let is = |picked: Option<Arc<CertifiedKey>>, expected: &Arc<CertifiedKey>| Arc::ptr_eq(&picked.unwrap(), expected);
        for (name, expected) in [
            (None, &nameless),
            (Some("a.example"), &named),
            (Some("A.Example"), &named),
            (Some("x.b.example"), &named),
            (Some("b.example"), &nameless),
            (Some("x.y.b.example"), &nameless),
            (Some("x.a.example"), &nameless),
            (Some(""), &nameless),
        ] {
            assert!(is(all.pick(name, |_| true), expected), "{name:?}");
        }
        // The client can't check the first one's key.
        assert!(is(all.pick(Some("a.example"), |certified| !std::ptr::eq(certified, &*named)), &twin));
        assert!(is(all.pick(Some("a.example"), |_| false), &nameless));
    }
}
