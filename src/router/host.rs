//! Hosts: from a request's Host to the groups of routes that serve it, best first.

use super::table::Table;

/// A host pattern, in lower case. The order is that of precedence.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Host {
    Exact(String),
    /// What follows the `*.` of a pattern that takes one or more labels.
    Suffix(String),
    Any,
}

impl Host {
    /// Takes a pattern apart.
    pub fn new(text: &str) -> Result<Host, String> {
        if text == "*" {
            return Ok(Host::Any);
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let (wild, bare) = name.strip_prefix("*.").map_or((false, name.as_str()), |bare| (true, bare));
        let address = bare.starts_with('[') && bare.ends_with(']') && bare[1..bare.len() - 1].parse::<std::net::Ipv6Addr>().is_ok();
        let label =
            |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if bare.contains('*') {
            return Err(format!("{text:?}: \"*\" can only stand for the first labels, as in \"*.example.com\""));
        }
        if bare.len() > HOST_BYTES_MAX {
            return Err(format!("{text:?} is longer than {HOST_BYTES_MAX} bytes"));
        }
        if !bare.is_ascii() {
            return Err(format!("{text:?} must be written in ASCII (punycode: \"xn--...\"), as browsers send it"));
        }
        if !address && bare.contains(':') {
            return Err(format!("{text:?} must be without port and scheme: routes serve every port (IPv6 is written \"[::1]\")"));
        }
        if (wild || !address) && !bare.split('.').all(label) {
            return Err(format!("{text:?} is not a host name"));
        }
        Ok(if wild { Host::Suffix(bare.to_string()) } else { Host::Exact(bare.to_string()) })
    }

    /// What hosts are sorted by, best first.
    pub fn order(&self) -> (u8, std::cmp::Reverse<usize>, &str) {
        match self {
            Host::Exact(name) => (0, std::cmp::Reverse(0), name),
            Host::Suffix(suffix) => (1, std::cmp::Reverse(suffix.len()), suffix),
            Host::Any => (2, std::cmp::Reverse(0), ""),
        }
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Host::Exact(name) => f.write_str(name),
            Host::Suffix(suffix) => write!(f, "*.{suffix}"),
            Host::Any => f.write_str("*"),
        }
    }
}

/// The groups of all hosts.
#[derive(Debug)]
pub(super) struct Hosts {
    names: Table,
    exact: usize,
    suffixes: usize,
    suffix_bytes_max: usize,
    /// The group that serves any host.
    pub any: Option<u32>,
}

impl Hosts {
    /// Each host's group is its place in `hosts`.
    pub fn new(hosts: &[Host]) -> Hosts {
        let mut all = Hosts { names: Table::with_room(hosts.len()), exact: 0, suffixes: 0, suffix_bytes_max: 0, any: None };
        for (group, host) in (0..).zip(hosts) {
            match host {
                Host::Exact(name) => {
                    all.names.insert(EXACT, name.as_bytes(), group);
                    all.exact += 1;
                }
                Host::Suffix(suffix) => {
                    all.names.insert(SUFFIX, suffix.as_bytes(), group);
                    all.suffixes += 1;
                    all.suffix_bytes_max = all.suffix_bytes_max.max(suffix.len());
                }
                Host::Any => all.any = Some(group),
            }
        }
        all
    }

    /// Whether any route asks for a host.
    #[inline]
    pub fn named(&self) -> bool {
        self.exact + self.suffixes > 0
    }

    /// Calls `visit` with each group that asks for this host, best first.
    #[inline]
    pub fn each(&self, host: &[u8], mut visit: impl FnMut(u32)) {
        let host = name(host);
        if host.is_empty() || host.len() > HOST_BYTES_MAX {
            return;
        }
        let mut lower = [0; HOST_BYTES_MAX];
        let host = match host.iter().any(u8::is_ascii_uppercase) {
            false => host,
            true => {
                let lower = &mut lower[..host.len()];
                lower.copy_from_slice(host);
                lower.make_ascii_lowercase();
                lower
            }
        };
        if self.exact > 0
            && let Some(group) = self.names.find(EXACT, host)
        {
            visit(group);
        }
        if self.suffixes > 0 {
            for dot in (1..host.len()).filter(|&at| host[at] == b'.' && host.len() - at - 1 <= self.suffix_bytes_max) {
                if let Some(group) = self.names.find(SUFFIX, &host[dot + 1..]) {
                    visit(group);
                }
            }
        }
    }
}

/// A host without its port and without the dot that ends a fully qualified name.
#[inline]
fn name(host: &[u8]) -> &[u8] {
    let digits = host.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let host = match host.len() - digits {
        0 => host,
        start if host[start - 1] == b':' => &host[..start - 1],
        _ => host,
    };
    host.strip_suffix(b".").unwrap_or(host)
}

/// Bytes of a host name, at most (RFC 1035 section 2.3.4).
const HOST_BYTES_MAX: usize = 255;

const EXACT: u32 = 0;
const SUFFIX: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(patterns: &[&str], host: &str) -> Vec<u32> {
        let hosts: Vec<Host> = patterns.iter().map(|text| Host::new(text).expect("valid")).collect();
        let mut found = Vec::new();
        Hosts::new(&hosts).each(host.as_bytes(), |group| found.push(group));
        found
    }

    #[test]
    fn ports_case_and_the_last_dot_do_not_matter() {
        for host in
            ["api.example.com", "API.Example.com", "api.example.com.", "api.example.com:8080", "api.example.com.:80", "api.example.com:"]
        {
            assert_eq!(groups(&["API.example.com"], host), [0], "{host}");
        }
        for host in ["", ".", "example.com", "x.api.example.com", "api.example.com.evil", "api.example.com..", "80", ":80"] {
            assert_eq!(groups(&["api.example.com"], host), [0; 0], "{host}");
        }
    }

    #[test]
    fn addresses_are_hosts() {
        assert_eq!(groups(&["[::1]"], "[::1]:8080"), [0]);
        assert_eq!(groups(&["[::1]"], "[::1]"), [0]);
        assert_eq!(groups(&["10.0.0.1"], "10.0.0.1:80"), [0]);
        assert_eq!(groups(&["10.0.0.1"], "10.0.0.1"), [0]);
    }

    #[test]
    fn suffixes_take_one_or_more_labels_longest_first() {
        let patterns = ["a.b.c", "*.b.c", "*.c"];
        assert_eq!(groups(&patterns, "a.b.c"), [0, 1, 2]);
        assert_eq!(groups(&patterns, "x.y.b.c"), [1, 2]);
        assert_eq!(groups(&patterns, "b.c"), [2]);
        assert_eq!(groups(&patterns, "c"), [0; 0]);
        assert_eq!(groups(&patterns, ".c"), [0; 0]);
        assert_eq!(groups(&patterns, &format!("{}.c", "a".repeat(300))), [0; 0]);
    }

    #[test]
    fn bad_patterns_are_told() {
        for (text, part) in [
            ("api.*.com", "first labels"),
            ("*", ""),
            ("*foo.com", "first labels"),
            ("a.com:80", "without port"),
            ("https://a.com", "without port"),
            ("", "not a host name"),
            ("a..b", "not a host name"),
            ("münchen.de", "punycode"),
            ("a b", "not a host name"),
            ("*.[::1]", "not a host name"),
        ] {
            match Host::new(text) {
                Ok(host) => assert_eq!((host, part), (Host::Any, ""), "{text}"),
                Err(message) => assert!(!part.is_empty() && message.contains(part), "{text}: {message}"),
            }
        }
    }
}
