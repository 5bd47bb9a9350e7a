//! Conditions beyond host and path: methods, headers, query parameters, cookies and the client's network.

use crate::config::{self, Cidr};
use crate::http::{Decode, Method, is_token, pair_of};

use super::expression::Expression;
use super::{Fault, Lookup};

/// What a request must have, or must not have.
#[derive(Debug)]
pub(super) enum Condition {
    Value(Value),
    /// Its client is in one of these networks.
    Client(Vec<Cidr>),
}

/// A header, query parameter or cookie that a request must have, or must not have.
#[derive(Debug)]
pub(super) struct Value {
    place: Place,
    name: String,
    test: Test,
    invert: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Header,
    Query,
    Cookie,
}

#[derive(Debug)]
enum Test {
    Present,
    Equals(String),
    /// The place of an expression in the router's list.
    Matches(usize),
}

impl Condition {
    /// A route's conditions on values, with the places they are about.
    pub fn settings(route: &config::Route) -> impl Iterator<Item = (Place, &config::Match)> {
        let headers = route.headers.iter().map(|settings| (Place::Header, settings));
        let query = route.query.iter().map(|settings| (Place::Query, settings));
        headers.chain(query).chain(route.cookies.iter().map(|settings| (Place::Cookie, settings)))
    }

    /// Compiles a setting; an expression is appended to `expressions`.
    pub fn new(place: Place, settings: &config::Match, expressions: &mut Vec<Expression>) -> Result<Condition, Fault> {
        let (field, kind) = match place {
            Place::Header => ("headers", "header"),
            Place::Query => ("query", "query parameter"),
            Place::Cookie => ("cookies", "cookie"),
        };
        let config::Match { name, value, regex, invert } = settings;
        if name.is_empty() {
            return Err((field, "has no name".to_string()));
        }
        if place != Place::Query && !is_token(name) {
            return Err((field, format!("{name:?} is not a {kind} name")));
        }
        let test = match (value, regex) {
            (Some(_), Some(_)) => return Err((field, format!("{name:?} has both a value and a regex: use one of them"))),
            (Some(value), None) => Test::Equals(value.clone()),
            (None, Some(regex)) => {
                expressions.push(Expression::new(regex).map_err(|message| (field, format!("the regex {regex:?} of {name:?} {message}")))?);
                Test::Matches(expressions.len() - 1)
            }
            (None, None) => Test::Present,
        };
        let name = if place == Place::Header { name.to_ascii_lowercase() } else { name.clone() };
        Ok(Condition::Value(Value { place, name, test, invert: *invert }))
    }

    /// Compiles a list of client networks; `None` for an empty one, which is any.
    pub fn clients(networks: &[String]) -> Result<Option<Condition>, Fault> {
        let read = |network: &String| network.parse::<Cidr>().map_err(|message| ("clients", format!("{network:?} {message}")));
        let networks = networks.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok((!networks.is_empty()).then_some(Condition::Client(networks)))
    }

    /// Whether a request meets it. Of repeated headers and cookies the first counts; of repeated query parameters any may match.
    pub fn holds(&self, request: &Lookup<'_>, expressions: &[Expression], decoded: &mut Vec<u8>) -> bool {
        match self {
            Condition::Value(value) => value.holds(request, expressions, decoded),
            Condition::Client(networks) => {
                let client = request.properties.client();
                networks.iter().any(|network| network.contains(client))
            }
        }
    }

    /// Texts that are the same for routes whose conditions hold for the same requests.
    pub fn identities(route: &config::Route) -> Vec<String> {
        let mut values: Vec<String> = Condition::settings(route).map(|(place, settings)| Value::identity(settings, place)).collect();
        values.sort_unstable();
        values.dedup();
        let mut clients = route.clients.clone();
        clients.sort_unstable();
        values.extend(clients);
        values
    }
}

impl Value {
    fn holds(&self, request: &Lookup<'_>, expressions: &[Expression], decoded: &mut Vec<u8>) -> bool {
        let found = |value: &[u8]| match &self.test {
            Test::Present => true,
            Test::Equals(wanted) => wanted.as_bytes() == value,
            Test::Matches(at) => expressions[*at].is_match(value),
        };
        let matches = match self.place {
            Place::Header => request.properties.header(&self.name).is_some_and(found),
            Place::Cookie => request.properties.cookie(&self.name).is_some_and(found),
            Place::Query => request.query.split(|&byte| byte == b'&').any(|pair| {
                let (name, value) = pair_of(pair);
                Decode(name).eq(self.name.bytes())
                    && match &self.test {
                        Test::Present => true,
                        Test::Equals(wanted) => Decode(value).eq(wanted.bytes()),
                        Test::Matches(at) => {
                            decoded.clear();
                            decoded.extend(Decode(value));
                            expressions[*at].is_match(decoded)
                        }
                    }
            }),
        };
        matches != self.invert
    }

    fn identity(settings: &config::Match, place: Place) -> String {
        let name = if place == Place::Header { settings.name.to_ascii_lowercase() } else { settings.name.clone() };
        format!("{place:?} {name:?} {:?} {:?} {}", settings.value, settings.regex, settings.invert)
    }
}

/// The methods a route serves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Methods {
    /// One bit a method of the enum.
    pub mask: u16,
    /// Names of unlisted methods; if empty and `Other` is in the mask, all.
    pub extensions: Vec<String>,
}

impl Methods {
    /// Compiles a route's list; an empty one is all methods.
    pub fn new(names: &[String]) -> Result<Methods, Vec<Fault>> {
        if names.is_empty() {
            return Ok(Methods { mask: u16::MAX, extensions: Vec::new() });
        }
        let (mut methods, mut faults) = (Methods::default(), Vec::new());
        for name in names {
            let upper = name.to_ascii_uppercase();
            if !is_token(name) {
                faults.push(("methods", format!("{name:?} is not a method")));
            } else if *name != upper && Method::from_bytes(upper.as_bytes()) != Method::Other {
                faults.push(("methods", format!("{name:?} is not a method: names are case-sensitive (did you mean {upper:?}?)")));
            } else {
                let method = Method::from_bytes(name.as_bytes());
                methods.mask |= bit(method);
                if method == Method::Other {
                    methods.extensions.push(name.clone());
                }
            }
        }
        methods.extensions.sort();
        methods.extensions.dedup();
        if faults.is_empty() { Ok(methods) } else { Err(faults) }
    }
}

/// A method's bit in a mask.
#[inline]
pub(super) fn bit(method: Method) -> u16 {
    1 << method as u16
}

/// The methods that are listed, in the order an `Allow` header shows them.
pub(super) const KNOWN_METHODS: [Method; 9] =
    [Method::Get, Method::Head, Method::Post, Method::Put, Method::Delete, Method::Options, Method::Patch, Method::Trace, Method::Connect];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded() {
        for (text, expected) in
            [("a+b", "a b"), ("a%20b", "a b"), ("%41%2b", "A+"), ("%4", "%4"), ("%zz", "%zz"), ("100%", "100%"), ("", ""), ("%%41", "%A")]
        {
            assert_eq!(Decode(text.as_bytes()).collect::<Vec<u8>>(), expected.as_bytes(), "{text}");
        }
    }
}
