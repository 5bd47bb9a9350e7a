//! Nanoseconds for a look into a shard of a million stored responses, asked for in no order, and for writing a hit's head and body;
//! beside it what memory alone takes for as much.

use std::hint::black_box;

use ringway::balancer::mix;
use ringway::cache::{Answer, Ask, Cache, Lookup, Policy, RouteSettings, Settings, Verdict};
use ringway::clock::{Clock, Instant};
use ringway::http::{Changes, Edits, RequestHead, ResponseHead};
use ringway::http1::{Limits, parse_request, parse_response};

/// Prints a line for each way of asking, with a thousand and with a million responses.
pub fn run() {
    println!("{:<24}{:>12}{:>12}   ns", "cache, stored", "1,000", "1,000,000");
    let stores = [1_000, 1_000_000].map(Stored::new);
    for (name, popular, answers) in
        [("lookup, as popular", true, false), ("lookup, all alike", false, false), ("and head and body", true, true)]
    {
        let nanos = stores.each_ref().map(|stored| format!("{:>12.1}", stored.measure(popular, answers)));
        println!("{name:<24}{}", nanos.concat());
    }
    let reads = [1_000, 1_000_000].map(|count| format!("{:>12.1}", reads(count)));
    println!(
        "{:<24}{}   two reads of such memory, one after the other: the least that a lookup among so many costs",
        "memory",
        reads.concat()
    );
}

/// Nanoseconds for two reads that depend on each other, of as many places in no order as there are responses: memory's own part.
fn reads(count: usize) -> f64 {
    let mut places = vec![[0u64; RESPONSE_BYTES / 8]; count];
    places.iter_mut().enumerate().for_each(|(number, place)| place[0] = mix(number as u64));
    let clock = Clock::start();
    let mut at = 0;
    let mut round = |round: u64| {
        let begun = clock.now();
        for step in 0..2 * REQUESTS {
            at = places[at][0].wrapping_add(round * REQUESTS + step) as usize % count;
        }
        clock.now().since(begun).as_nanos() as f64 / REQUESTS as f64
    };
    let fastest = (0..ROUNDS).map(&mut round).fold(f64::MAX, f64::min);
    black_box(at);
    fastest
}

/// A client's head; the path's number is written over for each request.
const REQUEST: &[u8] =
    b"GET /assets/img/0000000000.png HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n\
    Accept: text/html,application/xhtml+xml\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\n\
    Connection: keep-alive\r\nCookie: session=0123456789abcdef\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 64\r\nCache-Control: public, max-age=3600\r\n\
    ETag: \"5f3a-1c\"\r\nServer: origin\r\n\r\n";

/// A shard with so many responses.
struct Stored {
    cache: Cache,
    policy: Policy,
    count: u64,
    head: RequestHead,
}

impl Stored {
    fn new(count: u64) -> Stored {
        let cache = Cache::new(&Settings { bytes: "2GiB".parse().expect("a size"), ..Settings::default() }, 7);
        let policy = Policy::new("route", &RouteSettings::default(), None);
        let (mut head, mut answer, mut bytes) = (RequestHead::default(), ResponseHead::default(), REQUEST.to_vec());
        parse_request(REQUEST, &Limits::default(), &mut head).expect("a request");
        parse_response(RESPONSE, head.method, &Limits::default(), &mut answer).expect("a response");
        let unchanged = Changes::default();
        for number in 0..count {
            write(&mut bytes, number);
            let ask = Ask {
                policy: &policy,
                head: &head,
                bytes: &bytes,
                path: head.path.of(&bytes),
                secure: false,
                arm: 0,
                changes: &unchanged,
                identified: false,
            };
            let Lookup::Forward(fetch) = cache.lookup(&ask, true, Instant::ZERO) else { panic!("nothing is stored yet") };
            let answer = Answer { head: &answer, bytes: RESPONSE, sent: Instant::ZERO, wall: 0, date: DATE };
            let Verdict::Store(_, mut filling) = cache.answered(&ask, fetch, &answer, Instant::ZERO) else { panic!("it is stored") };
            filling.push(&[b'x'; 64]);
            filling.finish(Instant::ZERO);
        }
        assert_eq!(cache.count() as u64, count);
        Stored { cache, policy, count, head }
    }

    /// The fastest of several rounds. What is `popular` is asked for as often as one over its rank (Zipf's law), as pages of the web are.
    fn measure(&self, popular: bool, answers: bool) -> f64 {
        let (edits, changes) = (Edits::default(), Changes::default());
        let (mut out, mut bytes) = (Vec::with_capacity(4096), REQUEST.to_vec());
        let clock = Clock::start();
        let mut round = |round: u64| {
            let draws = (0..REQUESTS).map(|request| mix(round * REQUESTS + request));
            let numbers: Vec<u64> = draws.map(|draw| if popular { self.popular(draw) } else { draw % self.count }).collect();
            let begun = clock.now();
            for &number in &numbers {
                write(&mut bytes, number);
                let ask = Ask {
                    policy: &self.policy,
                    head: &self.head,
                    bytes: &bytes,
                    path: self.head.path.of(&bytes),
                    secure: false,
                    arm: 0,
                    changes: &changes,
                    identified: false,
                };
                let Lookup::Hit(hit) = black_box(self.cache.lookup(&ask, false, Instant::ZERO)) else { panic!("all is stored") };
                if answers {
                    out.clear();
                    hit.write_head(&mut out, &edits, &changes, Instant::ZERO);
                    out.extend_from_slice(edits.tail());
                    black_box(hit.copy(0, 4096, &mut out));
                }
            }
            clock.now().since(begun).as_nanos() as f64 / REQUESTS as f64
        };
        (0..ROUNDS).map(&mut round).fold(f64::MAX, f64::min)
    }

    fn popular(&self, draw: u64) -> u64 {
        let part = (draw >> 11) as f64 / (1u64 << 53) as f64;
        let rank = (self.count as f64).powf(part) as u64;
        // Neighbours in rank aren't neighbours in the order of storing.
        rank.wrapping_mul(0x9e37_79b9_7f4a_7c15) % self.count
    }
}

/// Writes a path's number.
fn write(bytes: &mut [u8], mut number: u64) {
    for digit in bytes[16..26].iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

const DATE: &[u8] = b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
/// What one of the responses takes in memory, roughly.
const RESPONSE_BYTES: usize = 512;
const REQUESTS: u64 = 200_000;
const ROUNDS: u64 = 10;
