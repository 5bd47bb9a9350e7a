//! Tests of the cache: a scripted client and endpoint around one shard.

mod conditions;
mod filling;
mod freshness;
mod laws;
mod model;
mod purging;
mod revalidating;
mod store;
mod storing;

use std::time::Duration;

use super::*;
use crate::http::{Changes, Edits, Method};
use crate::http1::{Limits, parse_request, parse_response};

/// Sun, 06 Nov 1994 08:49:37 GMT.
const WALL: u64 = 784_111_777;
const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// A parsed request.
struct Sent {
    head: RequestHead,
    bytes: Vec<u8>,
}

/// A parsed answer's head, and its body.
struct Got {
    head: ResponseHead,
    bytes: Vec<u8>,
    body: Vec<u8>,
}

/// A request of these header lines.
fn request(line: &str, fields: &[&str]) -> Sent {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    let bytes = format!("{line} HTTP/1.1\r\nHost: example.com\r\n{fields}\r\n").into_bytes();
    let mut head = RequestHead::default();
    assert_eq!(parse_request(&bytes, &Limits::default(), &mut head), Ok(true), "{}", String::from_utf8_lossy(&bytes));
    Sent { head, bytes }
}

fn get(fields: &[&str]) -> Sent {
    request("GET /a", fields)
}

/// An answer with a body of known length.
fn answer(status: u16, fields: &[&str], body: &str) -> Got {
    let length = if matches!(status, 204 | 304) { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    raw(&format!("HTTP/1.1 {status} Fine\r\n{}{length}\r\n", lines(fields)), Method::Get, body)
}

fn chunked(fields: &[&str], body: &str) -> Got {
    raw(&format!("HTTP/1.1 200 Fine\r\n{}Transfer-Encoding: chunked\r\n\r\n", lines(fields)), Method::Get, body)
}

fn lines(fields: &[&str]) -> String {
    fields.iter().map(|field| format!("{field}\r\n")).collect()
}

fn raw(text: &str, method: Method, body: &str) -> Got {
    let mut head = ResponseHead::default();
    assert_eq!(parse_response(text.as_bytes(), method, &Limits::default(), &mut head), Ok(true), "{text}");
    Got { head, bytes: text.as_bytes().to_vec(), body: body.as_bytes().to_vec() }
}

/// The `Date` line of a moment.
fn date_line(wall: u64) -> Vec<u8> {
    let moment = std::time::UNIX_EPOCH + Duration::from_secs(wall.min(253_402_300_799));
    format!("Date: {}\r\n", httpdate::fmt_http_date(moment)).into_bytes()
}

/// A cache with a route, and the time.
struct World {
    cache: Cache,
    policy: Policy,
    /// What a chain changes of requests.
    changes: Changes,
    identified: bool,
    now: Instant,
    wall: u64,
}

/// How a request went that was sent through the cache.
#[derive(Debug)]
struct Went {
    /// What the client got: status, header lines, body.
    status: u16,
    head: String,
    body: String,
    /// The conditions that went to the endpoint, if it was asked.
    asked: Option<String>,
    outcome: Outcome,
}

impl World {
    fn new() -> World {
        World::with(&RouteSettings::default(), &Settings::default())
    }

    fn route(settings: RouteSettings) -> World {
        World::with(&settings, &Settings::default())
    }

    fn with(route: &RouteSettings, settings: &Settings) -> World {
        World {
            cache: Cache::new(settings, 7),
            policy: Policy::new("r", route, None),
            changes: Changes::default(),
            identified: false,
            now: Instant::from_nanos(5_000_000_000),
            wall: WALL,
        }
    }

    fn ask<'a>(&'a self, sent: &'a Sent) -> Ask<'a> {
        Ask {
            policy: &self.policy,
            head: &sent.head,
            bytes: &sent.bytes,
            path: sent.head.path.of(&sent.bytes),
            secure: false,
            arm: 0,
            changes: &self.changes,
            identified: self.identified,
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
        self.wall += seconds;
    }

    fn lookup(&self, sent: &Sent) -> Lookup {
        self.cache.lookup(&self.ask(sent), false, self.now)
    }

    fn answered(&self, sent: &Sent, fetch: Fetch, got: &Got) -> Verdict {
        let answer = Answer { head: &got.head, bytes: &got.bytes, sent: self.now, wall: self.wall, date: &date_line(self.wall) };
        self.cache.answered(&self.ask(sent), fetch, &answer, self.now)
    }

    fn fetch(&self, sent: &Sent) -> Fetch {
        match self.lookup(sent) {
            Lookup::Forward(fetch) => fetch,
            Lookup::Hit(_) => panic!("a hit"),
            Lookup::Stale(..) => panic!("a stale hit"),
            Lookup::Wait(_) => panic!("a wait"),
            Lookup::OnlyIfCached => panic!("a 504"),
        }
    }

    fn hit(&self, sent: &Sent) -> Hit {
        match self.lookup(sent) {
            Lookup::Hit(hit) => hit,
            Lookup::Forward(fetch) => panic!("forwarded: {:?}", fetch.why()),
            _ => panic!("neither hit nor forwarded"),
        }
    }

    /// Sends a request; the endpoint gives this answer, if it is asked.
    fn send(&self, sent: &Sent, got: &Got) -> Went {
        match self.lookup(sent) {
            Lookup::Hit(hit) | Lookup::Stale(hit, None) => self.served(&hit, None),
            Lookup::Stale(hit, Some(fetch)) => {
                let went = self.served(&hit, None);
                let asked = conditions(&fetch, &self.ask(sent));
                self.take(sent, *fetch, got);
                Went { asked: Some(asked), ..went }
            }
            Lookup::Wait(_) => panic!("nobody else is there to be waited for"),
            Lookup::OnlyIfCached => Went { status: 504, head: String::new(), body: String::new(), asked: None, outcome: Outcome::Miss },
            Lookup::Forward(fetch) => self.take(sent, fetch, got),
        }
    }

    fn take(&self, sent: &Sent, fetch: Fetch, got: &Got) -> Went {
        let asked = conditions(&fetch, &self.ask(sent));
        let relayed = |status: Status| {
            let mut head = Vec::new();
            status.write(&mut head, &self.ask(sent));
            Went {
                status: got.head.status,
                head: format!("{}{}", text(&got.bytes), text(&head)),
                body: text(&got.body),
                asked: Some(asked.clone()),
                outcome: status.outcome(),
            }
        };
        match self.answered(sent, fetch, got) {
            Verdict::Pass(status, _) => relayed(status),
            Verdict::Store(status, mut filling) => {
                for piece in got.body.chunks(1000) {
                    filling.push(piece);
                }
                filling.finish(self.now);
                relayed(status)
            }
            Verdict::Serve(hit) => self.served(&hit, Some(asked)),
            Verdict::Again(_) => panic!("the 304 is about nothing stored"),
        }
    }

    fn served(&self, hit: &Hit, asked: Option<String>) -> Went {
        let (head, body) = written(hit, self.now);
        Went { status: hit.status(), head, body, asked, outcome: hit.outcome() }
    }

    /// Sends a plain request, and stores this answer.
    fn store(&self, fields: &[&str], body: &str) {
        let went = self.send(&get(&[]), &answer(200, fields, body));
        assert!(went.asked.is_some(), "{fields:?} didn't reach the endpoint");
    }

    /// Whether a plain request is answered from the store.
    fn is_hit(&self) -> bool {
        matches!(self.lookup(&get(&[])), Lookup::Hit(_))
    }
}

impl Went {
    /// The values of all headers of this name, joined.
    fn header(&self, name: &str) -> Option<String> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": ")).filter(|(own, _)| own.eq_ignore_ascii_case(name));
        let values: Vec<&str> = lines.map(|(_, value)| value).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    fn cache_status(&self) -> String {
        self.header("cache-status").unwrap_or_default()
    }
}

fn conditions(fetch: &Fetch, ask: &Ask<'_>) -> String {
    let mut out = Vec::new();
    assert_eq!(fetch.conditions(ask, &mut out), !out.is_empty());
    text(&out)
}

/// Head and body as the client gets them.
fn written(hit: &Hit, now: Instant) -> (String, String) {
    let mut out = Vec::new();
    hit.write_head(&mut out, &Edits::default(), &Changes::default(), now);
    (text(&out), text(&body(hit)))
}

fn body(hit: &Hit) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        match hit.copy(out.len() as u64, 700, &mut out) {
            Copied::More(copied) => assert!(copied > 0),
            Copied::All(_) => break,
            other => panic!("{other:?} after {}", out.len()),
        }
    }
    out
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
