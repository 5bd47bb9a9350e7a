//! Secrets that the configuration lists: bearer tokens and API keys.

use std::borrow::Cow;
use std::rc::Rc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Verified;
use super::secret::{Hashed, Seed, same, sha256};

/// A secret that is let in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Token {
    /// Who has it, as logs show.
    pub name: String,
    /// What proves that: as it is, or `sha256:` and 64 hexadecimal digits.
    pub secret: Hashed,
    /// What it may be used for, for `require_scopes`.
    pub scopes: Vec<String>,
}

impl Token {
    /// Reads a list: a token a line, as `NAME SECRET [SCOPE ...]`; what begins with `#` is a comment.
    ///
    /// # Errors
    /// The first line that is none, and what is wrong with it; nothing of the line is shown.
    pub fn list(text: &str) -> Result<Vec<Token>, (usize, &'static str)> {
        let mut tokens = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let mut words = line.split_ascii_whitespace();
            let Some(name) = words.next().filter(|name| !name.starts_with('#')) else { continue };
            let fault = |message| (index + 1, message);
            let secret = Hashed::read(words.next().ok_or(fault("has no secret after its name"))?);
            if let Some(problem) = secret.problem() {
                return Err(fault(problem));
            }
            tokens.push(Token { name: name.into(), secret, scopes: words.map(str::to_owned).collect() });
        }
        Ok(tokens)
    }
}

/// A list of tokens as a text, of which only digests are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List(pub Result<Vec<Token>, (usize, &'static str)>);

impl Default for List {
    fn default() -> Self {
        List(Ok(Vec::new()))
    }
}

impl Serialize for List {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().flatten())
    }
}

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| List(Token::list(&text)))
    }
}

impl JsonSchema for List {
    fn schema_name() -> Cow<'static, str> {
        "List".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "Lines of `NAME SECRET [SCOPE ...]`." })
    }
}

/// The tokens that are let in, found by a keyed hash of their digest.
pub struct Tokens {
    seed: Seed,
    /// In order of the hash.
    list: Vec<(u128, [u8; 32], Rc<Verified>)>,
}

impl Tokens {
    /// Those of a list; of two with the same secret, the first counts.
    pub fn new(tokens: &[Token], seed: Seed) -> Self {
        let entry = |token: &Token| {
            let digest = *token.secret.digest()?;
            Some((seed.hash(0, &digest), digest, Rc::new(Verified::named(&token.name, &token.scopes))))
        };
        let mut list: Vec<_> = tokens.iter().filter_map(entry).collect();
        list.sort_by_key(|(hash, ..)| *hash);
        list.dedup_by_key(|(hash, ..)| *hash);
        Tokens { seed, list }
    }

    /// Whose token this is.
    pub fn find(&self, token: &[u8]) -> Option<&Rc<Verified>> {
        let digest = sha256(token);
        let hash = self.seed.hash(0, &digest);
        let at = self.list.binary_search_by_key(&hash, |(hash, ..)| *hash).ok()?;
        let (_, known, verified) = &self.list[at];
        same(known, &digest).then_some(verified)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_list_is_read_line_by_line() {
        let text = "# who\n\nci  s3cret read write\r\napp sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n";
        let tokens = Tokens::new(&Token::list(text).unwrap(), Seed([1; 16]));
        let ci = tokens.find(b"s3cret").unwrap();
        assert_eq!((ci.identity.as_str(), ci.text("scope").unwrap().as_ref()), ("ci", "read write"));
        assert_eq!(tokens.find(b"abc").unwrap().identity, "app");
        assert!(tokens.find(b"ci").is_none() && tokens.find(b"").is_none());
        let digest = b"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert!(tokens.find(digest).is_none(), "the digest is no token");
    }

    #[test]
    fn a_bad_line_is_named_and_not_shown() {
        assert_eq!(Token::list("a b\nlonely\n"), Err((2, "has no secret after its name")));
        assert_eq!(Token::list("a sha256:12\n"), Err((1, "has no 64 hexadecimal digits after \"sha256:\"")));
    }

    proptest! {
        #[test]
        fn exactly_the_listed_are_found(secrets in prop::collection::btree_set("[a-c]{1,3}", 0..8), asked in "[a-c]{1,3}") {
            let token = |secret: &String| Token { name: secret.clone(), secret: Hashed::read(secret), scopes: Vec::new() };
            let list: Vec<Token> = secrets.iter().map(token).collect();
            let found = Tokens::new(&list, Seed([7; 16])).find(asked.as_bytes()).map(|verified| verified.identity.clone());
            prop_assert_eq!(found, secrets.contains(&asked).then_some(asked));
        }
    }
}
