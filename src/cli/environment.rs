//! What the program takes out of its environment, so that no child takes it for its own.
#![allow(unsafe_code)]

use std::{env, io};

use ringway::service::{Service, VARIABLES};

/// What this process knows of those around it. To be called first of all.
///
/// # Errors
/// When the environment says what isn't so.
pub fn take_service() -> io::Result<Service> {
    let service = Service::from_environment();
    for name in VARIABLES {
        // SAFETY: the program has no other thread yet.
        unsafe { env::remove_var(name) };
    }
    service
}
