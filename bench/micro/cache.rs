//! A look into a shard of a million stored responses, asked for in no order, and writing a hit's head and body; beside it what memory alone takes for as much.

use std::hint::black_box;

use ringway::balancer::mix;
use ringway::cache::{Answer, Ask, Cache, Lookup, Policy, RouteSettings, Settings, Verdict};
use ringway::clock::Instant;
use ringway::http::{Changes, Edits, RequestHead, ResponseHead};
use ringway::http1::{Limits, parse_request, parse_response};

use super::cost::{Cost, cost};

/// Prints a line for each way of asking, with a thousand and with a million responses.
pub fn run() {
    println!("{:<24}{:>15}{:>15}", "cache, stored", "1,000", "1,000,000");
    let stores = [1_000, 1_000_000].map(Stored::new);
    for (name, popular, answers) in
        [("lookup, as popular", true, false), ("lookup, all alike", false, false), ("and head and body", true, true)]
    {
        let costs = stores.each_ref().map(|stored| stored.measure(popular, answers).to_string());
        println!("{name:<24}{}", costs.concat());
    }
    let reads = [1_000, 1_000_000].map(|count| reads(count).to_string());
    println!(
        "{:<24}{}   two reads of such memory, one after the other: the least that a lookup among so many costs",
        "memory",
        reads.concat()
    );
}

/// Two reads that depend on each other, of as many places in no order as there are responses: memory's own part.
fn reads(count: usize) -> Cost {
    let mut places = vec![[0u64; RESPONSE_BYTES / 8]; count];
    places.iter_mut().enumerate().for_each(|(number, place)| place[0] = mix(number as u64));
    let mut at = 0;
    cost(
        REQUESTS,
        |round| round,
        |&mut round, step| {
            for read in [2 * step, 2 * step + 1] {
                at = black_box(places[at][0].wrapping_add(round * REQUESTS + read) as usize % count);
            }
        },
    )
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

    /// What is `popular` is asked for as often as one over its rank (Zipf's law), as pages of the web are.
    fn measure(&self, popular: bool, answers: bool) -> Cost {
        let (edits, changes) = (Edits::default(), Changes::default());
        let (mut out, mut bytes) = (Vec::with_capacity(4096), REQUEST.to_vec());
        let prepare = |round: u64| {
            let draws = (0..REQUESTS).map(|request| mix(round * REQUESTS + request));
            draws.map(|draw| if popular { self.popular(draw) } else { draw % self.count }).collect::<Vec<u64>>()
        };
        cost(REQUESTS, prepare, |numbers, request| {
            write(&mut bytes, numbers[request as usize]);
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
        })
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
