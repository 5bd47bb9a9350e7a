//! Drives an exchange: does what each of its steps asks for, and moves the bodies.

mod answer;
mod ask;
mod attempt;
mod chunks;
mod collect;
mod connect;
mod core;
mod encode;
mod encoder;
mod fetch;
mod fill;
mod hedge;
mod hit;
mod measure;
mod merge;
mod mirror;
mod note;
mod receive;
mod relay;
mod serve;
mod service;
mod source;
mod trace;
mod tunnel;
mod upload;
mod waiters;

pub use self::ask::Checks;
pub use self::core::{Core, PageAnswer, Parts, Scribe, Session, after};
pub use trace::Traced;
pub use waiters::Waiters;
