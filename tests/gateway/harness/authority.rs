//! Certificates for tests, made with openssl.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::{directory, run};

/// Somebody who signs certificates.
pub struct Authority {
    directory: PathBuf,
    count: AtomicUsize,
    /// Its own certificate (PEM), and the file that holds it.
    pub pem: String,
    pub file: String,
}

/// A certificate and its key (PEM), and the files that hold them.
#[derive(Clone)]
pub struct Pair {
    pub cert: String,
    pub key: String,
    pub cert_file: String,
    pub key_file: String,
}

const CURVE: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

impl Authority {
    /// The one that all tests of this process trust.
    pub fn ours() -> &'static Authority {
        static OURS: OnceLock<Authority> = OnceLock::new();
        OURS.get_or_init(|| Authority::new("ours"))
    }

    pub fn new(name: &str) -> Authority {
        let directory = directory();
        let path = |name: &str| directory.join(name).to_str().unwrap().to_owned();
        let (file, key, subject) = (path("ca.pem"), path("ca.key"), format!("/CN={name}"));
        let arguments = ["req", "-x509", "-days", "30", "-subj", &subject, "-keyout", &key, "-out", &file];
        run("openssl", &[&arguments[..], &CURVE].concat());
        let pem = std::fs::read_to_string(&file).unwrap();
        Authority { directory, count: AtomicUsize::new(0), pem, file }
    }

    /// A certificate for these host names or addresses, the first of which is its subject; none is a client's.
    pub fn issue(&self, names: &[&str]) -> Pair {
        let number = self.count.fetch_add(1, SeqCst);
        let serial = (number + 1).to_string();
        let path = |ending: &str| self.directory.join(format!("{number}.{ending}")).to_str().unwrap().to_owned();
        let (cert_file, key_file, request, extensions) = (path("pem"), path("key"), path("csr"), path("ext"));
        let kind = |name: &&str| if name.parse::<std::net::IpAddr>().is_ok() { format!("IP:{name}") } else { format!("DNS:{name}") };
        let names_of: Vec<String> = names.iter().map(kind).collect();
        std::fs::write(&extensions, format!("basicConstraints=CA:FALSE\nsubjectAltName={}\n", names_of.join(","))).unwrap();
        let subject = format!("/O=Example, Inc./CN={}", names[0]);
        run("openssl", &[&["req", "-new", "-subj", &subject, "-keyout", &key_file, "-out", &request][..], &CURVE].concat());
        let key = self.directory.join("ca.key").to_str().unwrap().to_owned();
        let sign = ["x509", "-req", "-days", "20", "-CA", &self.file, "-CAkey", &key, "-set_serial", &serial];
        run("openssl", &[&sign[..], &["-in", &request, "-extfile", &extensions, "-out", &cert_file]].concat());
        let read = |file: &str| std::fs::read_to_string(file).unwrap();
        Pair { cert: read(&cert_file), key: read(&key_file), cert_file, key_file }
    }
}

impl Pair {
    /// As the settings have it, by its files.
    pub fn setting(&self) -> serde_json::Value {
        serde_json::json!({ "cert": format!("${{file:{}}}", self.cert_file), "key": format!("${{file:{}}}", self.key_file) })
    }
}
