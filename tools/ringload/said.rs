//! What a run says to whom, made of its arguments.

use std::path::Path;

use crate::args::Arguments;
use crate::protocol::Speech;
use crate::run::Problem;
use crate::target::{Request, Url};
use crate::websocket::Message;

/// Bytes of a message that nobody said anything about.
const MESSAGE: usize = 64;
/// What messages of a certain size are made of, over and over.
const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ 012345678\n";

/// What is said.
pub struct Said {
    /// Where.
    pub url: Url,
    /// What is asked, in turn; for WebSockets the handshake.
    pub requests: Vec<Request>,
    /// How.
    pub speech: Speech,
    /// All of it, for people.
    pub target: String,
}

impl Said {
    /// What these arguments say; reads the files that they name.
    ///
    /// # Errors
    /// When a file can't be read, or they don't go together.
    pub fn new(arguments: &mut Arguments) -> Result<Said, Problem> {
        if let Some(path) = &arguments.body_file {
            arguments.message.body = read(path)?;
        }
        let message = &arguments.message;
        let (asked, file) = match (&arguments.url, &arguments.urls) {
            (_, Some(path)) => {
                let text = String::from_utf8_lossy(&read(path)?).into_owned();
                let asked = message.requests(&text).map_err(|problem| Problem::Usage(format!("{}: {problem}", path.display())))?;
                (asked, Some(path))
            }
            (url, None) => {
                let url = Url::read(url.as_deref().unwrap_or_default()).map_err(Problem::Usage)?;
                (vec![(message.method.clone(), url)], None)
            }
        };
        let url = asked[0].1.clone();
        let place = match file {
            Some(path) => format!("{} URLs of {} at {}://{}/", asked.len(), path.display(), url.scheme(), url.authority),
            None => format!("{}://{}{}", url.scheme(), url.authority, url.path),
        };
        if url.websocket && arguments.http2 {
            return Err(Problem::Usage("WebSockets are asked for by HTTP/1.1: leave out --http2 and --grpc".to_owned()));
        }
        if url.websocket {
            let message = message_of(arguments);
            let target = format!("{place}, messages of {} bytes", message.bytes.len());
            return Ok(Said { requests: vec![arguments.message.upgrade(&url)], speech: Speech::WebSocket(message), target, url });
        }
        if arguments.message_size.is_some() {
            return Err(Problem::Usage("--message-size is for ws:// and wss://; HTTP takes a --body".to_owned()));
        }
        if arguments.http2 {
            let body = &arguments.message.body;
            let body = if arguments.grpc { call(body) } else { body.clone() };
            let length = (!arguments.grpc).then_some(body.len());
            let requests = if arguments.grpc { call_fields(message).streams(&asked, length) } else { message.streams(&asked, length) };
            let target = match (arguments.grpc, file.is_some()) {
                (true, _) => format!("gRPC {place}"),
                (false, true) => format!("{place} by HTTP/2"),
                (false, false) => format!("{} {place} by HTTP/2", message.method),
            };
            return Ok(Said { requests, speech: Speech::Http2(arguments.grpc, body), target, url });
        }
        let requests = asked.iter().map(|(method, url)| message.request(method, url)).collect();
        let target = if file.is_some() { place } else { format!("{} {place}", message.method) };
        Ok(Said { requests, speech: Speech::Http1, target, url })
    }
}

/// A gRPC message: not compressed, its length in front.
fn call(message: &[u8]) -> Vec<u8> {
    [&[0], &(message.len() as u32).to_be_bytes()[..], message].concat()
}

/// What a call has beside the fields that were asked for.
fn call_fields(message: &crate::target::Message) -> crate::target::Message {
    let mut message = message.clone();
    if !message.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        message.fields.push(("content-type".to_owned(), "application/grpc".to_owned()));
    }
    message.fields.push(("te".to_owned(), "trailers".to_owned()));
    message
}

/// What is sent on WebSockets: a text as it was written, else binary.
fn message_of(arguments: &Arguments) -> Message {
    let body = &arguments.message.body;
    if !body.is_empty() || arguments.body_file.is_some() {
        return Message { bytes: body.clone(), is_text: arguments.body_file.is_none() };
    }
    let size = arguments.message_size.unwrap_or(MESSAGE);
    Message { bytes: LETTERS.iter().copied().cycle().take(size).collect(), is_text: false }
}

fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    std::fs::read(path).map_err(|error| Problem::Cannot(format!("cannot read {}: {error}", path.display())))
}
