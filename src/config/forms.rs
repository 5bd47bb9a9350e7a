//! How settings of upstreams that are texts of a form of their own are written and read.

use std::fmt;
use std::str::FromStr;

use super::written::{Written, written};
use super::{HashKey, HostHeader, StatusRange, Target};
use crate::http::is_token;

impl fmt::Display for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HashKey::Path => f.write_str("path"),
            HashKey::Ip => f.write_str("ip"),
            HashKey::Header(name) => write!(f, "header:{name}"),
            HashKey::Cookie(name) => write!(f, "cookie:{name}"),
        }
    }
}

impl FromStr for HashKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = |name: &str, what: &str| match is_token(name) {
            true => Ok(name.to_owned()),
            false => Err(format!("needs the name of a {what} after \":\"")),
        };
        match text.split_once(':') {
            None if text == "path" => Ok(HashKey::Path),
            None if text == "ip" => Ok(HashKey::Ip),
            Some(("header", rest)) => name(rest, "header").map(HashKey::Header),
            Some(("cookie", rest)) => name(rest, "cookie").map(HashKey::Cookie),
            _ => Err(format!("must be {}", Self::EXPECTED)),
        }
    }
}

impl Written for HashKey {
    const NAME: &'static str = "HashKey";
    const EXPECTED: &'static str = "\"path\", \"ip\", \"header:NAME\" or \"cookie:NAME\"";
    const PATTERN: &'static str = "^(path|ip|(header|cookie):[!#$%&'*+.^_`|~0-9A-Za-z-]+)$";
    const NUMBERS: Option<(u16, u16)> = None;
}

written!(HashKey);

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StatusRange { low, high } = self;
        if low == high { write!(f, "{low}") } else { write!(f, "{low}-{high}") }
    }
}

impl FromStr for StatusRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let status = |digits: &str| match digits.len() {
            3 if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok().filter(|status| (100..=599).contains(status)),
            _ => None,
        };
        let (low, high) = text.split_once('-').unwrap_or((text, text));
        match (status(low), status(high)) {
            (Some(low), Some(high)) if low <= high => Ok(StatusRange { low, high }),
            (Some(_), Some(_)) => Err("begins with the higher status".into()),
            _ => Err(format!("must be {}", Self::EXPECTED)),
        }
    }
}

impl Written for StatusRange {
    const NAME: &'static str = "StatusRange";
    const EXPECTED: &'static str = "a status such as 200, or a range such as \"200-299\", from 100 to 599";
    const PATTERN: &'static str = "^[1-5][0-9][0-9](-[1-5][0-9][0-9])?$";
    const NUMBERS: Option<(u16, u16)> = Some((100, 599));
}

written!(StatusRange);

impl fmt::Display for HostHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostHeader::Keep => f.write_str("keep"),
            HostHeader::Endpoint => f.write_str("endpoint"),
            HostHeader::Set(host) => write!(f, "set:{host}"),
        }
    }
}

impl FromStr for HostHeader {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("set:")) {
            ("keep", _) => Ok(HostHeader::Keep),
            ("endpoint", _) => Ok(HostHeader::Endpoint),
            (_, Some(host)) if format!("http://{host}").parse::<Target>().is_ok() && !host.ends_with('/') => {
                Ok(HostHeader::Set(host.to_owned()))
            }
            (_, Some(_)) => Err("needs a host name, with or without a port, after \"set:\"".into()),
            _ => Err(format!("must be {}", Self::EXPECTED)),
        }
    }
}

impl Written for HostHeader {
    const NAME: &'static str = "HostHeader";
    const EXPECTED: &'static str = "\"keep\", \"endpoint\" or \"set:HOST\"";
    const PATTERN: &'static str = "^(keep|endpoint|set:[^/?#@ ]+)$";
    const NUMBERS: Option<(u16, u16)> = None;
}

written!(HostHeader);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;
    use crate::config::{LoadBound, json};

    #[test]
    fn each_form_is_read() {
        assert_eq!("200".parse(), Ok(StatusRange { low: 200, high: 200 }));
        assert_eq!("100-599".parse(), Ok(StatusRange { low: 100, high: 599 }));
        assert_eq!("path".parse(), Ok(HashKey::Path));
        assert_eq!("cookie:session".parse(), Ok(HashKey::Cookie("session".into())));
        assert_eq!("endpoint".parse(), Ok(HostHeader::Endpoint));
        assert_eq!("set:[::1]:80".parse(), Ok(HostHeader::Set("[::1]:80".into())));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "20", "2000", "099", "600", "200-", "-200", "200-299-300", "+20", "2xx"] {
            assert_eq!(text.parse::<StatusRange>(), Err(format!("must be {}", StatusRange::EXPECTED)), "{text}");
        }
        for text in ["", "Path", "header", "query:a", "path:", "cookie"] {
            assert_eq!(text.parse::<HashKey>(), Err(format!("must be {}", HashKey::EXPECTED)), "{text}");
        }
        assert_eq!("cookie:a b".parse::<HashKey>(), Err("needs the name of a cookie after \":\"".into()));
        for text in ["set:", "set:a b", "set:a\r\nb", "set:http://a", "set:a/", "set:a:0", "set:ä"] {
            assert_eq!(text.parse::<HostHeader>(), Err("needs a host name, with or without a port, after \"set:\"".into()), "{text}");
        }
        assert_eq!("example.com".parse::<HostHeader>(), Err(format!("must be {}", HostHeader::EXPECTED)));
    }

    /// Written and read as text, and by way of serde.
    fn there_and_back<T>(value: &T) -> Result<(), TestCaseError>
    where
        T: Written + serde::Serialize + serde::de::DeserializeOwned + PartialEq + fmt::Debug,
    {
        let read = value.to_string().parse::<T>();
        prop_assert_eq!(read.as_ref(), Ok(value));
        let json = serde_json::to_value(value).unwrap();
        prop_assert_eq!(&serde_json::from_value::<T>(json).unwrap(), value);
        Ok(())
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            (low, high) in (100u16..=599).prop_flat_map(|low| (Just(low), low..=599)),
            name in "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}",
            host in "[a-z0-9]{1,9}(\\.[a-z0-9-]{1,9}){0,3}(:[1-9][0-9]{0,3})?",
            bound in 1.0f64..=100.0,
        ) {
            there_and_back(&StatusRange { low, high })?;
            there_and_back(&HashKey::Header(name.clone()))?;
            there_and_back(&HashKey::Cookie(name))?;
            there_and_back(&HostHeader::Set(host))?;
            let written = serde_json::to_string(&LoadBound(bound)).unwrap();
            prop_assert_eq!(LoadBound::deserialize(&json::parse(&written).unwrap()).unwrap(), LoadBound(bound));
        }

        #[test]
        fn a_number_is_a_status_too(status in any::<u16>()) {
            let read = serde_json::from_value::<StatusRange>(status.into()).ok();
            prop_assert_eq!(read, (100..=599).contains(&status).then_some(StatusRange { low: status, high: status }));
        }
    }
}
