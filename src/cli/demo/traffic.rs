//! The demo's own client: a request at a time, and what came of them.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// For each step of a request.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Requests that count as recent.
const RECENT: usize = 40;

/// What one endpoint answered.
pub struct Endpoint {
    /// Its name.
    pub name: &'static str,
    /// Requests it answered.
    pub requests: u64,
    /// Those since [`Tally::take_fresh`].
    fresh: u64,
    /// How long they took as the client saw it, opening the connection included, in microseconds.
    pub times: Histogram<u64>,
}

/// What came of all requests so far.
pub struct Tally {
    /// By endpoint.
    pub endpoints: Vec<Endpoint>,
    /// Requests.
    pub requests: u64,
    /// Those that were not answered, or with a status of 400 or more.
    pub failed: u64,
    /// The last such: its status, or what went wrong.
    pub failure: Option<String>,
    /// Who answered lately, by index.
    recent: VecDeque<Option<usize>>,
}

/// One answer.
pub struct Answer {
    status: u16,
    endpoint: String,
}

impl Tally {
    /// Nothing so far, of endpoints with these names.
    pub fn new(names: impl Iterator<Item = &'static str>) -> Self {
        let times = || Histogram::new_with_bounds(1, 60_000_000, 2).expect("the bounds are valid");
        let endpoint = |name| Endpoint { name, requests: 0, fresh: 0, times: times() };
        Tally { endpoints: names.map(endpoint).collect(), requests: 0, failed: 0, failure: None, recent: VecDeque::new() }
    }

    /// Counts a request.
    pub fn count(&mut self, result: io::Result<Answer>, took: Duration) {
        self.requests += 1;
        let mut by = None;
        match result {
            Ok(answer) => {
                if answer.status >= 400 {
                    self.failed += 1;
                    self.failure = Some(answer.status.to_string());
                }
                by = self.endpoints.iter().position(|endpoint| endpoint.name == answer.endpoint);
            }
            Err(error) => {
                self.failed += 1;
                self.failure = Some(error.to_string());
            }
        }
        if let Some(endpoint) = by.map(|index| &mut self.endpoints[index]) {
            endpoint.requests += 1;
            endpoint.fresh += 1;
            endpoint.times.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        }
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(by);
    }

    /// The part of the recent requests that the endpoint at `index` answered, in percent.
    pub fn share(&self, index: usize) -> usize {
        let answered = self.recent.iter().filter(|by| **by == Some(index)).count();
        (answered * 100 + self.recent.len() / 2) / self.recent.len().max(1)
    }

    /// Requests each endpoint answered since this was last asked.
    pub fn take_fresh(&mut self) -> Vec<u64> {
        self.endpoints.iter_mut().map(|endpoint| std::mem::take(&mut endpoint.fresh)).collect()
    }

    /// Times of all endpoints together.
    pub fn times(&self) -> Histogram<u64> {
        let mut endpoints = self.endpoints.iter();
        let mut all = endpoints.next().map_or_else(|| Histogram::new(2).expect("the digits are valid"), |first| first.times.clone());
        endpoints.for_each(|endpoint| all += &endpoint.times);
        all
    }
}

/// Asks the gateway for `path` on a connection of its own, so that all workers get their part. Tells how long it took.
pub fn ask(gateway: SocketAddr, path: &str) -> (io::Result<Answer>, Duration) {
    let began = Instant::now();
    let mut answer = Vec::new();
    let mut exchange = || {
        let mut stream = TcpStream::connect_timeout(&gateway, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {gateway}\r\nConnection: close\r\n\r\n").as_bytes())?;
        stream.read_to_end(&mut answer)
    };
    let result = exchange().and_then(|_| read(&answer));
    (result, began.elapsed())
}

/// Reads what the demo wants to know of an answer.
pub(super) fn read(answer: &[u8]) -> io::Result<Answer> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut fields);
    let parsed = head.parse(answer).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let Some(status) = head.code.filter(|_| parsed.is_complete()) else {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed without an answer"));
    };
    let endpoint = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case("x-endpoint"));
    Ok(Answer { status, endpoint: endpoint.map(|field| String::from_utf8_lossy(field.value).into_owned()).unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally() -> Tally {
        Tally::new(["one", "two"].into_iter())
    }

    fn answer(status: u16, endpoint: &str) -> io::Result<Answer> {
        read(format!("HTTP/1.1 {status} X\r\nX-Endpoint: {endpoint}\r\n\r\nbody").as_bytes())
    }

    #[test]
    fn each_request_is_counted_where_it_belongs() {
        let mut tally = tally();
        let took = Duration::from_millis(2);
        for _ in 0..3 {
            tally.count(answer(200, "one"), took);
        }
        tally.count(answer(503, "two"), took);
        assert_eq!((tally.requests, tally.failed, tally.failure.as_deref()), (4, 1, Some("503")));
        assert_eq!((tally.share(0), tally.share(1), tally.take_fresh()), (75, 25, vec![3, 1]));
        tally.count(answer(404, ""), took);
        tally.count(Err(io::ErrorKind::TimedOut.into()), took);
        tally.count(read(b"HTTP/1.1 200 OK\r\nX-End"), took);
        assert_eq!((tally.requests, tally.failed, tally.take_fresh()), (7, 4, vec![0, 0]));
        assert_eq!(tally.failure.as_deref(), Some("closed without an answer"));
        assert_eq!(tally.times().len(), 4);
    }

    #[test]
    fn shares_are_those_of_the_recent_past() {
        let mut tally = tally();
        assert_eq!(tally.share(0), 0);
        for _ in 0..RECENT {
            tally.count(answer(200, "one"), Duration::ZERO);
        }
        for _ in 0..RECENT {
            tally.count(answer(200, "two"), Duration::ZERO);
        }
        assert_eq!((tally.share(0), tally.share(1)), (0, 100));
    }
}
