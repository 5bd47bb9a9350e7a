//! Where an endpoint is, read from its `url`: an address, a host name to look up, or a Unix socket.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Where an endpoint is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// `http://ip:port` or `https://ip:port`; the port is 80 or 443 if left out.
    Address(SocketAddr),
    /// The same with a name, looked up off the data path.
    Name {
        /// The host name.
        host: String,
        /// The TCP port.
        port: u16,
    },
    /// `unix:/path`.
    Unix(PathBuf),
}

impl FromStr for Target {
    type Err = &'static str;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        if let Some(path) = url.strip_prefix("unix:") {
            return if path.starts_with('/') {
                Ok(Target::Unix(path.into()))
            } else {
                Err("a Unix socket needs an absolute path: \"unix:/path\"")
            };
        }
        let (rest, port) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
            (Some(rest), _) => (rest, 80),
            (_, Some(rest)) => (rest, 443),
            _ => return Err("must be \"http://host:port\", \"https://host:port\" or \"unix:/path\""),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#', '@']) {
            return Err("must have no path, query or user name: use a route's \"rewrite_path\" for paths");
        }
        if let Ok(address) = authority.parse::<SocketAddr>() {
            return Ok(Target::Address(address));
        }
        if let Ok(ip) = authority.trim_matches(['[', ']']).parse() {
            return Ok(Target::Address(SocketAddr::new(ip, port)));
        }
        let (host, port) = authority.rsplit_once(':').map_or((authority, Ok(port)), |(host, port)| (host, port.parse::<u16>()));
        let port = port.map_err(|_| "the port must be a number from 1 to 65535")?;
        let label = |label: &str| {
            !label.is_empty() && label.len() <= 63 && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if port == 0 || host.len() > 253 || !host.trim_end_matches('.').split('.').all(label) {
            return Err("must be \"http://host:port\" with a valid host name and a port from 1 to 65535");
        }
        Ok(Target::Name { host: host.to_owned(), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_form() {
        assert_eq!("http://127.0.0.1:9001".parse(), Ok(Target::Address("127.0.0.1:9001".parse().unwrap())));
        assert_eq!("http://[::1]".parse(), Ok(Target::Address("[::1]:80".parse().unwrap())));
        assert_eq!("https://[::1]".parse(), Ok(Target::Address("[::1]:443".parse().unwrap())));
        assert_eq!("https://a".parse(), Ok(Target::Name { host: "a".into(), port: 443 }));
        assert_eq!("http://users.local:81/".parse(), Ok(Target::Name { host: "users.local".into(), port: 81 }));
        assert_eq!("unix:/run/app.sock".parse(), Ok(Target::Unix("/run/app.sock".into())));
    }

    #[test]
    fn refuses_what_it_cannot_reach() {
        for url in
            ["", "ftp://a", "http://", "http://a/b", "http://a:0", "http://a:x", "http://u@a", "unix:rel", "https://a/b", "http://a..b"]
        {
            assert!(url.parse::<Target>().is_err(), "{url}");
        }
    }
}
