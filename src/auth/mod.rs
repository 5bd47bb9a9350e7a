//! Who a request is from, and what proves it: secrets, passwords, signed tokens. Pure: the time is an argument, and what takes long is
//! called by a thread that may.

mod basic;
mod claims;
mod memory;
mod secret;
mod tokens;

pub use basic::{Hash, Users, credentials};
pub use claims::{Claims, Verified};
pub use memory::Memory;
pub use secret::{Hashed, Seed};
pub use tokens::{List, Token, Tokens};
