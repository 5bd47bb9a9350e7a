//! demo.
#![allow(missing_docs)]

use std::process::ExitCode;

pub struct Options {
    pub port: Option<u16>,
}

pub fn run(options: Options) -> ExitCode {
    let _ = options.port;
    super::ended(Err(ringway::run::StartError::Process { what: "show", error: std::io::ErrorKind::Unsupported.into() }))
}
