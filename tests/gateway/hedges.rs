//! Hedging: where one endpoint is slow now and then, another is asked as well, and the first answer wins.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use serde_json::json;

use crate::harness::{DRIVERS, Gateway, Hostile, get, until, up};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// An endpoint that answers at once, or not at all while `hangs` says so; then it waits for its connection to be closed.
fn endpoint(hangs: &Arc<AtomicBool>) -> Hostile {
    let hangs = hangs.clone();
    Hostile::start(move |peer| {
        while peer.request().is_some() {
            if hangs.load(SeqCst) {
                peer.rest();
                return;
            }
            if peer.try_send(OK).is_err() {
                return;
            }
        }
    })
}

fn gateway(endpoints: &[&str], driver: &str, budget: u32) -> Gateway {
    let mut upstream = up(endpoints);
    upstream["hedge"] = json!({ "after_percentile": 0.9, "min_delay": "1ms", "budget_percent": budget });
    let changes = json!({
        "upstreams": [upstream], "runtime": { "workers": 1, "driver": driver },
        "features": { "outlier_detection": false, "retries": false }, "timeouts": { "first_byte": "20s" },
    });
    Gateway::with("", changes)
}

#[test]
fn the_first_answer_wins_and_the_other_connection_is_closed() {
    for driver in DRIVERS {
        let hangs = Arc::new(AtomicBool::new(false));
        let (slow, well) = (endpoint(&hangs), endpoint(&Arc::default()));
        let gateway = gateway(&[&slow.address, &well.address], driver, 100);
        let mut client = gateway.connect();
        (0..40).for_each(|_| assert_eq!(client.ask(get("/")).status(), 200));
        slow.wait_open(1);
        hangs.store(true, SeqCst);
        let seen = slow.seen().len();
        (0..10).for_each(|_| assert_eq!(client.ask(get("/")).text(), "ok"));
        let hung = slow.seen().len() - seen;
        assert!(hung >= 4, "at least every other request meets the slow one: {hung}");
        slow.wait_open(0);
        until("the hedges to be told of", || (gateway.metric("gateway_upstream_hedges_won_total{upstream=\"up\"}") >= 4.0).then_some(()));
        assert!(gateway.metric("gateway_upstream_hedges_total{upstream=\"up\"}") >= 4.0);
        assert_eq!(gateway.metric("gateway_requests_failed_total"), 0.0);
        gateway.wait_idle();
        gateway.wait(&format!("gateway_upstream_endpoint_in_flight{{upstream=\"up\",endpoint=\"http://{}\"}}", slow.address), 0.0);
        // The connection is as good as before.
        hangs.store(false, SeqCst);
        (0..10).for_each(|_| assert_eq!(client.ask(get("/")).status(), 200));
    }
}

#[test]
fn what_must_not_be_sent_twice_is_not() {
    let hangs = Arc::new(AtomicBool::new(false));
    let (slow, well) = (endpoint(&hangs), endpoint(&Arc::default()));
    let gateway = gateway(&[&slow.address, &well.address], "auto", 100);
    let mut client = gateway.connect();
    (0..40).for_each(|_| assert_eq!(client.ask(get("/")).status(), 200));
    hangs.store(true, SeqCst);
    let (seen, other) = (slow.seen().len(), well.seen().len());
    let mut posts: Vec<_> = (0..4).map(|_| gateway.connect()).collect();
    posts.iter_mut().for_each(|post| _ = post.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"));
    until("all to arrive", || (slow.seen().len() + well.seen().len() == seen + other + 4).then_some(()));
    // Longer than a hedge would take: a request that comes later is answered.
    (0..4).for_each(|_| assert_eq!(client.ask(get("/")).status(), 200));
    let posted = |endpoint: &Hostile| endpoint.seen().iter().filter(|request| request.method() == "POST").count();
    assert_eq!(posted(&slow) + posted(&well), 4);
}

#[test]
fn the_budget_keeps_an_outage_from_being_doubled() {
    let hangs = Arc::new(AtomicBool::new(false));
    let (slow, slower) = (endpoint(&hangs), endpoint(&hangs));
    let gateway = gateway(&[&slow.address, &slower.address], "auto", 1);
    let mut client = gateway.connect();
    (0..40).for_each(|_| assert_eq!(client.ask(get("/")).status(), 200));
    hangs.store(true, SeqCst);
    let mut clients: Vec<_> = (0..20).map(|_| gateway.connect()).collect();
    clients.iter_mut().for_each(|client| _ = client.send(get("/")));
    until("all to have waited long enough", || {
        (gateway.metric("gateway_upstream_hedge_budget_exhausted_total{upstream=\"up\"}") >= 20.0).then_some(())
    });
    assert_eq!(gateway.metric("gateway_upstream_hedges_total{upstream=\"up\"}"), 0.0, "sixty requests save up less than one");
}
