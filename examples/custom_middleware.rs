//! A gateway with a middleware of its own: requests must carry the right `X-API-Key`.
//!
//! ```text
//! cargo run --example custom_middleware -- config.json
//! ```
//! where the configuration has `"middlewares": [{ "custom": { "name": "api_key_check", "settings": { "secret": "${API_KEY}" } } }]`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;

use ringway::clock::Instant;
use ringway::log;
use ringway::middleware::{Answer, Flow, Middleware, Registry, Request};
use ringway::run::{self, Options, StartError};

/// Lets those pass who know the secret, and tells the endpoint that they did.
struct ApiKeyCheck {
    secret: String,
}

impl Middleware for ApiKeyCheck {
    fn on_request(&self, request: &mut Request<'_>, _: Instant) -> Flow {
        let incoming = request.incoming;
        match incoming.head.header(incoming.bytes, "X-API-Key") {
            None => unauthorized("Missing API Key\n"),
            Some(key) if !same(key, self.secret.as_bytes()) => unauthorized("Invalid API Key\n"),
            Some(_) => {
                request.notes.request.remove("X-API-Key");
                request.notes.request.set("X-Authenticated", b"api-key");
                Flow::Next
            }
        }
    }
}

fn unauthorized(text: &str) -> Flow {
    let lines = b"Content-Type: text/plain; charset=utf-8\r\nWWW-Authenticate: ApiKey header=\"X-API-Key\"\r\n";
    Flow::Answer(Box::new(Answer { status: 401, lines: lines.to_vec(), body: text.into() }))
}

/// Compares every byte, wherever the first difference is: the time it takes tells nothing about the secret.
fn same(given: &[u8], secret: &[u8]) -> bool {
    given.len() == secret.len() && given.iter().zip(secret).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// The middlewares this gateway brings along.
pub fn registry() -> Registry {
    Registry::default().with("api_key_check", |settings| match settings.get("secret") {
        Some(secret) if !secret.is_empty() => Ok(Rc::new(ApiKeyCheck { secret: secret.clone() })),
        _ => Err("settings.secret is missing or empty".into()),
    })
}

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: custom_middleware CONFIG");
        return ExitCode::from(2);
    };
    if let Err(error) = log::install() {
        eprintln!("nothing can be logged: {error}");
    }
    let options = Options { path: Some(path.clone()), middlewares: registry(), ..Options::default() };
    let ended = run::load(&path).map_err(StartError::Config).and_then(|loaded| run::run(loaded, options));
    ended.unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::FAILURE
    })
}
