//! Purges and invalidations, on every worker.

use serde_json::json;

use super::{cached, caching, counting};
use crate::harness::{Gateway, Message, Wire, until};

/// Asks until each worker has its copy.
fn fill_both(gateway: &Gateway, targets: &[&str]) {
    until("a copy on each worker", || {
        targets.iter().for_each(|target| _ = gateway.get(target));
        (gateway.metric("gateway_cache_stored_total") >= 2.0 * targets.len() as f64).then_some(())
    });
}

#[test]
fn operators_purge_by_url_prefix_and_tag_on_every_worker() {
    let endpoint = counting(&["Cache-Control: max-age=60", "Cache-Tag: news, sport"]);
    let gateway = caching(&endpoint.address, 2, "auto");
    let order = |body: &str| {
        let request = format!("POST /purge HTTP/1.1\r\nHost: admin\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        Wire::connect(&gateway.admin).ask(request)
    };
    let gone = |answer: &Message| {
        let told = answer.json();
        assert_eq!((answer.status(), &told["workers"], &told["complete"]), (200, &json!(2), &json!(true)), "{told}");
        told["responses"].as_u64().unwrap()
    };
    for (body, count) in [
        (r#"{"url": "http://A.example:80/img/a"}"#, 2),
        (r#"{"prefix": "http://a.example/img/"}"#, 4),
        (r#"{"tag": ["sport", "none"]}"#, 6),
        (r#"{"all": true}"#, 6),
        (r#"{"url": "http://b.example/img/a", "prefix": "http://a.example/none", "tag": "new"}"#, 0),
    ] {
        let before = gateway.metric("gateway_cache_stored_total");
        let targets = ["/img/a", "/img/b", "/c"];
        until("a copy of each on each worker", || {
            targets.iter().for_each(|target| _ = gateway.get(target));
            (gateway.metric("gateway_cache_objects") == 6.0).then_some(())
        });
        assert_eq!(gone(&order(body)), count, "{body} after {before}");
        gateway.wait("gateway_cache_objects", 6.0 - count as f64);
    }
    for body in ["", "{", r#"{"urls": []}"#, r#"{"url": "/a"}"#] {
        assert_eq!(order(body).status(), 400, "{body}");
    }
    let in_query = Wire::connect(&gateway.admin).ask("POST /purge?tag=news HTTP/1.1\r\nHost: admin\r\n\r\n");
    assert_eq!(gone(&in_query), 6);
    let wrong = gateway.page("GET", "/purge");
    assert_eq!((wrong.status(), wrong.field("allow")), (405, Some("POST")));
}

#[test]
fn what_an_unsafe_request_changes_is_forgotten_by_every_worker() {
    let endpoint = counting(&["Cache-Control: max-age=60"]);
    let mut routes = cached(&endpoint.address, json!({}), 2, "auto");
    routes["routes"] = json!([
        { "path": "/", "upstream": "up", "cache_enabled": true },
        { "path": "/", "methods": ["POST"], "upstream": "up" },
        { "path": "/both", "upstream": "up", "cache_enabled": true, "cache_ttl": "1m" },
    ]);
    let gateway = Gateway::start(&routes);
    for target in ["/a", "/both"] {
        fill_both(&gateway, &[target]);
        let old: Vec<String> = (0..8).map(|_| gateway.get(target).text().to_owned()).collect();
        let post = gateway.connect().ask(format!("POST {target} HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(post.status(), 200);
        // Sixteen connections in a row come to both workers.
        until("the other worker to hear of it", || (0..16).all(|_| !old.contains(&gateway.get(target).text().to_owned())).then_some(()));
        gateway.connect().ask(format!("DELETE {target} HTTP/1.1\r\nHost: a.example\r\n\r\n"));
        gateway.page("POST", "/purge?all");
    }
}
