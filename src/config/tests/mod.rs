//! What is read from a file in each format, and what is said about a bad one.

mod cache;
mod examples;
mod formats;
mod grpc;
mod observing;
mod problems;
mod protection;
mod routing;
mod tls;

use std::ffi::OsString;
use std::path::Path;

use super::load::load_with;
use super::{Loaded, Problems};

/// The environment that tests read from.
fn environment(name: &str) -> Option<OsString> {
    match name {
        "PORT" => Some("8081".into()),
        "WORD" => Some("s3cret".into()),
        "PATTERN" => Some("/s3cret/{id".into()),
        _ => None,
    }
}

fn load(name: &str, text: &str) -> Result<Loaded, Problems> {
    load_with(text.to_owned(), Path::new(name), &environment).map_err(crate::run::with_routes)
}

/// What is said about a bad configuration, a line each, without the file's name.
fn said(name: &str, text: &str) -> Vec<String> {
    let problems = match load(name, text) {
        Ok(loaded) => crate::run::build(&loaded, 1).err().expect("a problem"),
        Err(problems) => problems,
    };
    let lines: Vec<String> = problems.to_string().lines().map(|line| line.replacen(&format!("{name}:"), "", 1)).collect();
    assert_eq!(lines.len(), problems.list().len(), "each problem is one line");
    lines
}
