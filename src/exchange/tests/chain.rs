//! How links of a chain are put together: order in, reverse order out, entries replaced, and links that don't just let pass.

use std::cell::RefCell;

use super::*;
use crate::middleware::{Answer, Custom, Entry, Flow, Middleware, Registry, Response};

thread_local! {
    /// What links of this test saw, in order.
    static SEEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// A link that tells what it sees, and does what its settings say.
struct Spy {
    name: String,
    does: String,
}

impl Middleware for Spy {
    fn on_request(&self, request: &mut crate::middleware::Request<'_>, _: Instant) -> Flow {
        SEEN.with_borrow_mut(|seen| seen.push(format!(">{}{}", self.name, if request.again { " again" } else { "" })));
        match self.does.as_str() {
            "refuse" => Flow::refuse(Reason::IpDenied),
            "answer" => Flow::Answer(Box::new(Answer { status: 204, ..Answer::default() })),
            "pause" if !request.again => Flow::Pause(Duration::from_millis(5)),
            "collect" if !request.again => Flow::Collect(7),
            _ => Flow::Next,
        }
    }

    fn on_response(&self, response: &mut Response<'_>, _: Instant) {
        SEEN.with_borrow_mut(|seen| seen.push(format!("<{} {}", self.name, response.status)));
        response.notes.response.add("X-By", self.name.as_bytes());
    }
}

fn entry(id: &str, name: &str, does: &str) -> Entry {
    let settings = [("name".to_owned(), name.to_owned()), ("does".to_owned(), does.to_owned())].into();
    Entry { id: Some(id.into()), custom: Some(Custom { name: "spy".into(), settings }), ..Entry::default() }
}

/// One route's core, with these entries of the gateway and of the route.
fn core(gateway: Vec<Entry>, own: Vec<Entry>) -> Core {
    let mut config = config(&["/*"], 1);
    (config.middlewares, config.routes[0].middlewares) = (gateway, own);
    config.limits.body = config::Size::from_bytes(10);
    let spy = |settings: &std::collections::BTreeMap<String, String>| {
        let link: Rc<dyn Middleware> = Rc::new(Spy { name: settings["name"].clone(), does: settings["does"].clone() });
        Ok(link)
    };
    let plan = Plan::build_with(config, 1, 1, &Registry::default().with("spy", spy)).expect("a plan");
    Core { view: Rc::new(View::new(Arc::new(plan), Seat { core: 0, cores: 1 }, 1, at(0))) }
}

fn respond(request: &mut Request, status: u16) {
    let incoming = Incoming { head: &request.head, bytes: &request.bytes, peer: [192, 0, 2, 1].into(), secure: false, wall: 0 };
    request.exchange.respond(&incoming, status, None, &mut request.scratch.notes, at(0));
}

fn seen() -> String {
    SEEN.take().join(", ")
}

#[test]
fn requests_pass_in_order_and_answers_in_reverse() {
    let core = core(vec![entry("a", "a", ""), entry("b", "b", "")], vec![entry("c", "c", "")]);
    let mut request = core.request("GET /");
    request.attempt(at(0));
    respond(&mut request, 200);
    assert_eq!(seen(), ">a, >b, >c, <c 200, <b 200, <a 200");
    assert_eq!(request.scratch.notes.response.lines(), b"X-By: c\r\nX-By: b\r\nX-By: a\r\n");
    respond(&mut request, 200);
    assert_eq!(seen(), "", "an answer passes once");
}

#[test]
fn a_routes_entry_stands_where_the_gateways_of_its_id_stood() {
    let off = Entry { enabled: false, ..entry("b", "b", "") };
    for (own, expected) in [
        (vec![entry("a", "mine", ""), entry("z", "z", "")], ">mine, >b, >z"),
        (vec![entry("z", "z", ""), off.clone()], ">a, >z"),
        (vec![entry("b", "last", "")], ">a, >last"),
    ] {
        core(vec![entry("a", "a", ""), entry("b", "b", "")], own).request("GET /").attempt(at(0));
        assert_eq!(seen(), expected);
    }
    core(vec![off, entry("c", "c", "")], Vec::new()).request("GET /").attempt(at(0));
    assert_eq!(seen(), ">c", "one that is switched off for all");
}

#[test]
fn a_refusal_in_the_middle_is_seen_by_those_before_it() {
    let core = core(vec![entry("a", "a", ""), entry("b", "b", "refuse"), entry("c", "c", "")], Vec::new());
    let mut request = core.request("GET /");
    assert_eq!(request.refused(at(0)).reason, Reason::IpDenied);
    respond(&mut request, 403);
    assert_eq!(seen(), ">a, >b, <a 403");
    core.assert_idle("refused");
}

#[test]
fn an_answer_of_a_link_goes_back_the_way_the_request_came() {
    let core = core(vec![entry("a", "a", ""), entry("b", "b", "answer")], Vec::new());
    let mut request = core.request("GET /");
    assert!(matches!(request.step(at(0)), Step::Answer(answer) if answer.status == 204));
    respond(&mut request, 204);
    assert_eq!(seen(), ">a, >b, <a 204");
    core.assert_idle("answered");
}

#[test]
fn a_link_that_pauses_is_asked_again_and_no_other() {
    let core = core(vec![entry("a", "a", ""), entry("b", "b", "pause"), entry("c", "c", "")], Vec::new());
    let mut request = core.request("GET /");
    assert_eq!(request.pause(at(0)), at(5));
    assert_eq!(request.pause(at(4)), at(5), "not before its time");
    core.assert_idle("paused: no place is held meanwhile");
    request.attempt(at(5));
    assert_eq!(seen(), ">a, >b, >b again, >c");
}

#[test]
fn a_link_that_wants_the_body_gets_it_and_the_endpoint_hears_its_length() {
    let core = core(vec![entry("a", "a", "collect"), entry("b", "b", "")], Vec::new());
    let text = "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut request = core.raw(text, at(0));
    assert!(matches!(request.step(at(0)), Step::Collect(7)));
    request.scratch.notes.body = Some(b"whole".to_vec());
    let before = request.exchange.deadline();
    request.exchange.collected(at(7));
    assert_eq!(request.exchange.deadline().since(before), at(7).since(at(0)), "the answer has all of its time");
    request.attempt(at(7));
    assert_eq!(seen(), ">a, >a again, >b");
    assert_eq!(request.scratch.notes.request.lines(), b"Content-Length: 5\r\n");
    drop(request);
    // What can't be gathered is refused, and so is what is too large behind the chain.
    let mut request = core.raw(text, at(0));
    assert!(matches!(request.step(at(0)), Step::Collect(7)));
    assert!(matches!(request.exchange.uncollected(Reason::BodyTimeout), Step::Refuse(refusal) if refusal.reason == Reason::BodyTimeout));
    let mut request = core.raw(text, at(0));
    assert!(matches!(request.step(at(0)), Step::Collect(7)));
    request.scratch.notes.body = Some(vec![b'x'; 11]);
    assert_eq!(request.refused(at(0)).reason, Reason::BodyTooLarge);
    core.assert_idle("refused");
    seen();
}
