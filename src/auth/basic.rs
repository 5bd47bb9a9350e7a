//! User names and passwords (RFC 7617), and the file that Apache's htpasswd writes: bcrypt and argon2, no scheme that is quick to guess.

use std::collections::HashMap;
use std::sync::Arc;

use argon2::{Argon2, PasswordHash, PasswordVerifier};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A password's hash. Checking a password against it takes long on purpose: some ten milliseconds to a second.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Hash(Box<str>);

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hash")
    }
}

impl Hash {
    /// Reads one: `$2a$`, `$2b$` and `$2y$` (bcrypt), `$argon2id$`, `$argon2i$` and `$argon2d$`.
    fn read(text: &str) -> Result<Hash, &'static str> {
        if ["$2a$", "$2b$", "$2y$"].iter().any(|scheme| text.starts_with(scheme)) {
            let cost = text.get(4..7).and_then(|cost| cost.strip_suffix('$')).filter(|cost| cost.bytes().all(|byte| byte.is_ascii_digit()));
            let cost = cost.and_then(|cost| cost.parse().ok());
            let base64 = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'/';
            if text.len() != BCRYPT_LENGTH || !text.bytes().skip(7).all(base64) {
                return Err("has a bcrypt hash that is none");
            }
            if !cost.is_some_and(|cost: u32| (4..=BCRYPT_COST_MAX).contains(&cost)) {
                return Err("has a bcrypt hash whose cost isn't from 4 to 16");
            }
        } else if text.starts_with("$argon2") {
            let hash = PasswordHash::new(text).map_err(|_| "has an argon2 hash that is none")?;
            let params = argon2::Params::try_from(&hash).map_err(|_| "has an argon2 hash that is none")?;
            if argon2::Algorithm::try_from(hash.algorithm).is_err() || hash.hash.is_none() || hash.salt.is_none() {
                return Err("has an argon2 hash that is none");
            }
            if params.m_cost() > ARGON2_MEMORY_MAX || params.t_cost() > ARGON2_ROUNDS_MAX || params.p_cost() > ARGON2_LANES_MAX {
                return Err("has an argon2 hash that takes more than 256 MiB, 16 rounds or 16 lanes");
            }
        } else {
            return Err("has a password that isn't hashed with bcrypt or argon2; make one with `htpasswd -B`");
        }
        Ok(Hash(text.into()))
    }

    /// Whether it is this password's. Takes long: not for a core that serves.
    pub fn is_of(&self, password: &[u8]) -> bool {
        if self.0.starts_with("$argon2") {
            return PasswordHash::new(&self.0).is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok());
        }
        bcrypt::verify(password, &self.0).unwrap_or(false)
    }
}

/// Users and the hashes of their passwords.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    hashes: HashMap<Box<str>, Arc<Hash>>,
    /// What an unknown user's password is checked against, so that the time it takes doesn't tell who is known.
    decoy: Option<Arc<Hash>>,
}

impl Users {
    /// Reads a password file: `USER:HASH` a line; what begins with `#` is a comment.
    ///
    /// # Errors
    /// The first line that is none, and what is wrong with it; nothing of the line is shown.
    pub fn read(text: &str) -> Result<Users, (usize, &'static str)> {
        let mut users = Users::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let fault = |message| (index + 1, message);
            let (user, hash) = line.split_once(':').ok_or(fault("is not USER:HASH"))?;
            if user.is_empty() || user.len() > USER_MAX || user.chars().any(char::is_control) {
                return Err(fault("has a user name that is empty, longer than 256 bytes, or holds control characters"));
            }
            let hash = Arc::new(Hash::read(hash).map_err(fault)?);
            users.decoy.get_or_insert_with(|| hash.clone());
            if users.hashes.insert(user.into(), hash).is_some() {
                return Err(fault("names a user that was named before"));
            }
        }
        Ok(users)
    }

    /// The hash of a user's password, and whether the user is known: an unknown one's password is checked all the same.
    pub fn hash(&self, user: &str) -> Option<(&Arc<Hash>, bool)> {
        match self.hashes.get(user) {
            Some(hash) => Some((hash, true)),
            None => Some((self.decoy.as_ref()?, false)),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }
}

/// User name and password of what follows `Basic` in an `Authorization` header (RFC 7617 section 2).
pub fn credentials(token: &[u8]) -> Option<(String, Vec<u8>)> {
    if token.len() > CREDENTIALS_MAX {
        return None;
    }
    let mut decoded = STANDARD.decode(token).ok()?;
    let colon = decoded.iter().position(|&byte| byte == b':')?;
    let password = decoded.split_off(colon + 1);
    decoded.pop();
    let user = String::from_utf8(decoded).ok()?;
    let plain = !user.chars().any(char::is_control) && !password.iter().any(u8::is_ascii_control);
    plain.then_some((user, password))
}

/// Bytes of a user name.
const USER_MAX: usize = 256;
/// Bytes of a user name and password in base64.
const CREDENTIALS_MAX: usize = 2048;
const BCRYPT_LENGTH: usize = 60;
const BCRYPT_COST_MAX: u32 = 16;
/// KiB of memory that a password may take.
const ARGON2_MEMORY_MAX: u32 = 256 << 10;
const ARGON2_ROUNDS_MAX: u32 = 16;
const ARGON2_LANES_MAX: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    // Of crypt_blowfish's tests.
    const BCRYPT: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
    const ARGON2: &str = "$argon2id$v=19$m=16,t=2,p=1$YWJjZGVmZ2g$1MNu2gMN4Lq5PvRcvYVCXg";

    fn problem(hash: &str) -> &'static str {
        Users::read(&format!("# file\n\nada:{hash}\n")).expect_err(hash).1
    }

    #[test]
    fn passwords_are_checked_by_each_scheme() {
        let made = argon2::PasswordHasher::hash_password(
            &Argon2::new(Default::default(), Default::default(), argon2::Params::new(16, 1, 1, None).unwrap()),
            b"pass",
            argon2::password_hash::Salt::from_b64("YWJjZGVmZ2g").unwrap(),
        );
        let users = format!("ada:{BCRYPT}\nbob:{}\neve:{}\n", BCRYPT.replace("$2a$", "$2y$"), made.unwrap());
        let users = Users::read(&users).unwrap();
        let is = |user, password: &[u8]| users.hash(user).map(|(hash, known)| hash.is_of(password) && known);
        assert_eq!(users.len(), 3);
        assert_eq!((is("ada", b"U*U"), is("bob", b"U*U"), is("eve", b"pass")), (Some(true), Some(true), Some(true)));
        assert_eq!((is("ada", b"U*V"), is("ada", b""), is("eve", b"Pass")), (Some(false), Some(false), Some(false)));
        assert_eq!(is("nobody", b"U*U"), Some(false), "checked, for nothing");
        assert_eq!(Users::default().hash("ada"), None);
    }

    #[test]
    fn hashes_that_are_weak_broken_or_take_too_much_are_refused() {
        for hash in ["", "secret", "$apr1$abc$def", "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "$6$salt$hash", "$2x$05$x"] {
            assert!(problem(hash).contains("isn't hashed with bcrypt or argon2"), "{hash}");
        }
        assert_eq!(problem(&BCRYPT[..59]), "has a bcrypt hash that is none");
        assert_eq!(problem(&BCRYPT.replace('E', "!")), "has a bcrypt hash that is none");
        for cost in ["17", "03", "+5", "xx"] {
            assert_eq!(problem(&BCRYPT.replace("$05$", &format!("${cost}$"))), "has a bcrypt hash whose cost isn't from 4 to 16");
        }
        assert_eq!(problem("$argon2id$v=19$m=16"), "has an argon2 hash that is none");
        assert_eq!(problem("$argon2id$v=19$m=16,t=2,p=1$YWJjZGVmZ2g"), "has an argon2 hash that is none");
        for (from, to) in [("m=16", "m=262145"), ("t=2", "t=17"), ("p=1", "p=17")] {
            let hash = ARGON2.replace("m=16", "m=1024").replace(if from == "m=16" { "m=1024" } else { from }, to);
            assert!(problem(&hash).contains("takes more than"), "{hash}");
        }
    }

    #[test]
    fn bad_lines_are_named_and_not_shown() {
        assert_eq!(Users::read("ada"), Err((1, "is not USER:HASH")));
        assert_eq!(Users::read(&format!("a:{BCRYPT}\na:{BCRYPT}")), Err((2, "names a user that was named before")));
        assert!(Users::read(&format!(":{BCRYPT}")).is_err());
        assert_eq!(format!("{:?}", Hash::read(BCRYPT).unwrap()), "Hash");
    }

    #[test]
    fn credentials_are_base64_with_a_colon() {
        let read = |text: &str| credentials(STANDARD.encode(text).as_bytes());
        assert_eq!(read("ada:U*U"), Some(("ada".into(), b"U*U".to_vec())));
        assert_eq!(read("ada:a:b"), Some(("ada".into(), b"a:b".to_vec())), "a password may hold colons, a name may not");
        assert_eq!(read(":"), Some((String::new(), Vec::new())));
        for text in ["", "ada", "a\nb:c", "a:b\0", "a:b\r"] {
            assert_eq!(read(text), None, "{text:?}");
        }
        for token in ["YWRhOlUqVQ", "YWRhOlUqVQ=", "YWRhOlUqVR==", "YWRhOlUqVQ== ", "YWRhOlUq VQ==", "!", "gDphOg=="] {
            assert_eq!(credentials(token.as_bytes()), None, "{token}");
        }
        assert_eq!(read(&format!("ada:{}", "x".repeat(CREDENTIALS_MAX))), None);
    }
}
