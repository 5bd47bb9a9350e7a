//! Who a request is from, and what proves it: secrets, passwords, signed tokens. Pure: the time is an argument, and what takes long is
//! called by a thread that may.

mod basic;
mod claims;
mod jwks;
mod jwt;
mod keys;
mod keysets;
mod memory;
mod secret;
#[cfg(test)]
mod tests;
mod tokens;

pub use basic::{Hash, Users, credentials};
pub use claims::{Claims, Verified};
pub use jwks::key_set;
pub use jwt::{Demands, Fault, Valid, is_token, verify};
pub use keys::{Algorithm, Key};
pub use keysets::{KeySet, KeySets, Source, certificates};
pub use memory::Memory;
pub use secret::{Hashed, Seed};
pub use tokens::{List, Token, Tokens};
