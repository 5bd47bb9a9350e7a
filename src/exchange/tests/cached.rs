//! Requests of cached routes: what the cache answers, what it wants of an endpoint's answer, and that everything is given back.

use super::*;
use crate::cache::{Copied, Outcome, Purge};
use crate::http::ResponseHead;

const FRESH: &str = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 5\r\n\r\nhello";
const STALE: &str = "HTTP/1.1 200 OK\r\nCache-Control: max-age=0, stale-if-error=60\r\nETag: \"a\"\r\nContent-Length: 5\r\n\r\nhello";

fn cached(change: impl FnOnce(&mut Config)) -> Core {
    let mut config = config(&["/*"], 1);
    config.routes[0].cache_enabled = Some(true);
    config.routes[0].retry_count = Some(0);
    config.upstreams[0].outlier_detection.enabled = false;
    change(&mut config);
    Core::new(config)
}

impl Request {
    /// The head of an endpoint's answer comes, and is judged.
    fn judged(&mut self, answer: &str, now: Instant) -> Judged {
        let mut head = ResponseHead::default();
        assert_eq!(http1::parse_response(answer.as_bytes(), self.head.method, &http1::Limits::default(), &mut head), Ok(true));
        self.answered(head.status, now);
        assert!(matches!(self.step(now), Step::Relay));
        let incoming = Incoming { head: &self.head, bytes: &self.bytes, peer: [192, 0, 2, 1].into(), secure: false, wall: 1000 };
        assert!(self.exchange.is_judged(self.head.method));
        let date = b"Date: Thu, 01 Jan 1970 00:16:40 GMT\r\n";
        self.exchange.judge(&incoming, &mut self.scratch, (&head, answer.as_bytes()), date, now)
    }

    /// Goes to the endpoint, whose answer is stored.
    fn store(&mut self, answer: &str, now: Instant) {
        self.attempt(now);
        let Judged::Store(mut filling, status) = self.judged(answer, now) else { panic!("not stored") };
        assert_eq!(status.outcome(), Outcome::Miss);
        filling.push(b"hello");
        filling.finish(now);
        self.exchange.ended(None, now);
    }

    fn hit(&mut self, now: Instant) -> Box<crate::cache::Hit> {
        match self.step(now) {
            Step::Serve(hit, None) => hit,
            step => panic!("not a hit but {step:?}"),
        }
    }

    fn awaits(&mut self, now: Instant) -> bool {
        match self.step(now) {
            Step::AwaitFill(_) => true,
            Step::Attempt(_) => false,
            step => panic!("neither waits nor attempts but {step:?}"),
        }
    }

    fn instead(&mut self, reason: Reason, now: Instant) -> Option<u16> {
        let incoming = Incoming { head: &self.head, bytes: &self.bytes, peer: [192, 0, 2, 1].into(), secure: false, wall: 1000 };
        Some(self.exchange.instead(&incoming, &self.scratch, reason, now)?.status())
    }
}

#[test]
fn what_is_stored_needs_no_place() {
    let core = cached(|config| {
        config.limits.max_concurrent_requests = 1;
        config.limits.queue = 0;
    });
    core.request("GET /a").store(FRESH, at(0));
    let mut held = core.request("GET /b");
    held.attempt(at(1));
    let hit = core.request("GET /a").hit(at(1));
    let mut body = Vec::new();
    assert_eq!((hit.status(), hit.copy(0, 100, &mut body), body.as_slice()), (200, Copied::All(5), &b"hello"[..]));
    assert_eq!(core.request("GET /c").refused(at(1)).reason, Reason::QueueFull);
    let only = "GET /c HTTP/1.1\r\nHost: test\r\nCache-Control: only-if-cached\r\n\r\n";
    assert_eq!(core.raw(only, at(1)).refused(at(1)).reason, Reason::NotCached);
    drop(held);
    core.assert_idle("all is over");
}

#[test]
fn the_second_waits_for_the_first_but_not_for_ever() {
    let core = cached(|_| {});
    let (mut first, mut second) = (core.request("GET /a"), core.request("GET /a"));
    first.attempt(at(0));
    assert!(second.awaits(at(1)) && second.awaits(at(5000)));
    assert!(!second.awaits(at(5001)), "five seconds are enough");
    drop((first, second));
    let (mut first, mut second) = (core.request("GET /b"), core.request("GET /b"));
    first.attempt(at(0));
    assert!(second.awaits(at(1)));
    first.failed(Reason::ConnectFailed, Trace::default(), at(2));
    assert!(second.awaits(at(2)), "it isn't over before the request is");
    drop(first);
    assert!(!second.awaits(at(2)));
    drop(second);
    core.assert_idle("all is over");
}

#[test]
fn a_stale_answer_stands_in_for_a_refusal() {
    let core = cached(|config| {
        config.limits.max_concurrent_requests = 1;
        config.limits.queue = 0;
    });
    core.request("GET /a").store(STALE, at(0));
    for reason in [Reason::ConnectFailed, Reason::FirstByteTimeout, Reason::NoHealthyEndpoint, Reason::CircuitOpen, Reason::ClientLeft] {
        let mut request = core.request("GET /a");
        request.attempt(at(1));
        request.failed(reason, SENT, at(1));
        let expected = (reason != Reason::ClientLeft).then_some(200);
        assert_eq!(request.instead(reason, at(1)), expected, "{reason:?}");
        assert_eq!(request.instead(reason, at(1)), None, "once");
    }
    let mut held = core.request("GET /b");
    held.attempt(at(2));
    let mut request = core.request("GET /a");
    assert_eq!(request.refused(at(2)).reason, Reason::QueueFull);
    assert_eq!(request.instead(Reason::QueueFull, at(2)), Some(200), "before it came to an attempt too");
    let mut uncached = core.request("GET /c");
    assert_eq!(uncached.refused(at(2)).reason, Reason::QueueFull);
    assert_eq!(uncached.instead(Reason::QueueFull, at(2)), None);
    drop((held, request, uncached));
    core.assert_idle("all is over");
}

#[test]
fn what_is_stale_is_asked_for_with_conditions_and_if_that_fails_without() {
    let core = cached(|_| {});
    core.request("GET /a").store(STALE, at(0));
    let mut request = core.raw("GET /a HTTP/1.1\r\nHost: test\r\nIf-None-Match: \"b\"\r\n\r\n", at(1));
    request.attempt(at(1));
    let changes = &request.scratch.notes.request;
    assert_eq!(changes.lines(), b"If-None-Match: \"a\", \"b\"\r\n");
    assert!(changes.drops(b"if-none-match") && changes.drops(b"if-modified-since"));
    let Judged::Serve(hit) = request.judged("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n", at(2)) else { panic!("not served") };
    assert_eq!((hit.status(), hit.outcome()), (200, Outcome::Revalidated));
    drop(request);
    // Without a condition of the client's, a 304 about something else says nothing.
    let mut request = core.request("GET /a");
    request.attempt(at(3));
    let Judged::Again = request.judged("HTTP/1.1 304 Not Modified\r\nETag: \"c\"\r\n\r\n", at(4)) else { panic!("not asked again") };
    assert_eq!((request.scratch.notes.request.lines(), request.scratch.notes.request.drop_any()), (&b""[..], false));
    request.store(FRESH, at(4));
    assert_eq!(core.request("GET /a").hit(at(5)).outcome(), Outcome::Hit);
    drop(request);
    core.assert_idle("all is over");
}

#[test]
fn a_fetch_aside_has_an_exchange_of_its_own() {
    let core = cached(|_| {});
    core.request("GET /a")
        .store("HTTP/1.1 200 OK\r\nCache-Control: max-age=0, stale-while-revalidate=9\r\nContent-Length: 5\r\n\r\n", at(0));
    let mut request = core.request("GET /a");
    let Step::Serve(_, Some(fetch)) = request.step(at(1)) else { panic!("not served stale") };
    let incoming = Incoming { head: &request.head, bytes: &request.bytes, peer: [192, 0, 2, 1].into(), secure: false, wall: 1000 };
    let mut scratch = request.scratch.clone();
    let aside = request.exchange.aside(*fetch, &incoming, &mut scratch, at(1));
    let (bytes, head) = (request.bytes.clone(), request.head.clone());
    drop(request);
    let mut aside = Request { bytes, head, exchange: aside, scratch };
    aside.store(FRESH, at(2));
    assert_eq!(core.request("GET /a").hit(at(3)).outcome(), Outcome::Hit);
    drop(aside);
    core.assert_idle("all is over");
}

#[test]
fn unsafe_requests_make_invalid_on_any_route() {
    let core = cached(|config| {
        config.routes[0].methods = vec!["GET".into()];
        config.routes.push(config::Route { path: "/*".into(), upstream: "u".into(), ..config::Route::default() });
    });
    core.request("GET /a").store(FRESH, at(0));
    let mut post = core.request("POST /a");
    post.attempt(at(1));
    let Judged::Relay(None, purges) = post.judged("HTTP/1.1 204 No Content\r\n\r\n", at(1)) else { panic!("not relayed") };
    assert_eq!(purges, [Purge::Url(b"http://test/a"[..].into())]);
    drop(post);
    core.request("GET /a").attempt(at(2));
    assert!(!core.request("GET /a").exchange.is_judged(crate::http::Method::Get), "what isn't cached isn't judged");
}
