//! The service manager's side of running: what it is told of the gateway's state.

mod notify;

pub use notify::Notifier;
