//! Tests of the link, driven by hand.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::super::{Flow, Found, Ground, Incoming, Notes, Registry, Reply, Request, States, Tallies};
use super::*;
use crate::clock::Instant;
use crate::error::Reason;
use crate::http::RequestHead;
use crate::http1::{Limits, parse_request};
use crate::middleware::{Entry, Secret};
use crate::router::{Captures, RouteIndex, Router};

/// A link, and what it has counted.
struct World {
    link: Rc<dyn Middleware>,
    failures: Rc<Tallies>,
    admitted: Rc<Tallies>,
    now: Instant,
}

/// What came of a request.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    In(String),
    Refused(Reason, String),
    Asked,
}

impl World {
    fn new(settings: serde_json::Value) -> World {
        let auth: Auth = serde_json::from_value(settings).unwrap();
        assert!(auth.problems().is_empty(), "{:?}", auth.problems());
        let entry = Entry { auth: Some(auth), ..Entry::default() };
        let (registry, before, failures, admitted) =
            (Registry::default(), States::default(), Rc::<Tallies>::default(), Rc::<Tallies>::default());
        let ground = Ground {
            registry: &registry,
            secret: Secret([3; 16]),
            generation: 1,
            limiters: Default::default(),
            before: &before,
            kept: Default::default(),
            failures: failures.clone(),
            keys: Default::default(),
            shadowed: Default::default(),
            admitted: admitted.clone(),
        };
        let link = entry.settings().unwrap().build(&Scope::new((0, 1), "auth", &entry, &ground)).unwrap();
        World { link, failures, admitted, now: Instant::ZERO }
    }

    fn ask(&self, target: &str, lines: &[&str]) -> Came {
        self.ask_with(target, lines, None).0
    }

    fn ask_with(&self, target: &str, lines: &[&str], reply: Option<Reply>) -> (Came, Notes) {
        let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let text = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        let mut head = RequestHead::default();
        assert_eq!(parse_request(text.as_bytes(), &Limits::default(), &mut head), Ok(true));
        let incoming = Incoming { head: &head, bytes: text.as_bytes(), peer: Ipv4Addr::LOCALHOST.into(), secure: false, wall: 1_000_000 };
        let mut notes = Notes::default();
        let again = reply.is_some();
        let reply = reply.map(Box::new);
        let (router, captures) = (Router::new(&[]).expect("no routes"), Captures::default());
        let found = Found { router: &router, route: RouteIndex(0), captures: &captures, path: b"/" };
        let mut request = Request {
            incoming: &incoming,
            path: b"/",
            route: "r",
            found,
            request_id: b"",
            trusted: &[],
            again,
            reply,
            draw: 0,
            admitted: &mut None,
            address_key: &mut None,
            notes: &mut notes,
        };
        let came = match self.link.on_request(&mut request, self.now) {
            Flow::Next => Came::In(String::from_utf8(notes.marks.identity.clone()).unwrap()),
            Flow::Refuse(denial) => Came::Refused(denial.reason, String::from_utf8(denial.lines).unwrap()),
            Flow::Ask(_) => Came::Asked,
            flow => panic!("{flow:?}"),
        };
        (came, notes)
    }

    fn reason(&self, target: &str, lines: &[&str]) -> Reason {
        match self.ask(target, lines) {
            Came::Refused(reason, _) => reason,
            came => panic!("{lines:?}: {came:?}"),
        }
    }
}

fn listed() -> World {
    World::new(serde_json::json!({
        "any": [
            { "bearer": { "tokens": [{ "name": "ci", "secret": "t0ken", "scopes": ["read"] }, { "name": "other", "secret": "weak" }] } },
            { "api_key": { "query": "key", "cookie": "key", "keys": [{ "name": "shop", "secret": "k3y", "scopes": ["read"] }] } },
        ],
        "claims_to_headers": { "X-User": "sub", "X-None": "none" },
        "require_scopes": ["read"],
    }))
}

fn in_as(name: &str) -> Came {
    Came::In(name.into())
}

#[test]
fn a_credential_is_found_in_each_of_its_places() {
    let world = listed();
    for _again in 0..2 {
        assert_eq!(world.ask("/", &["Authorization: Bearer t0ken"]), in_as("ci"));
        assert_eq!(world.ask("/", &["authorization: bearer   t0ken"]), in_as("ci"));
        assert_eq!(world.ask("/", &["x-api-key: k3y"]), in_as("shop"));
        assert_eq!(world.ask("/?a=b&key=k3y", &[]), in_as("shop"));
        assert_eq!(world.ask("/?key=k%33y", &[]), in_as("shop"));
        assert_eq!(world.ask("/", &["Cookie: a=b; key=k3y"]), in_as("shop"));
    }
}

#[test]
fn what_is_no_credential_or_in_a_wrong_place_is_refused() {
    let world = listed();
    for lines in [&["Authorization: Basic t0ken"][..], &["Authorization: t0ken"], &["Authorization: Bearert0ken"], &["Cookie: a=k3y"], &[]]
    {
        assert_eq!(world.reason("/?Key=k3y", lines), Reason::AuthMissing, "{lines:?}");
    }
    for lines in [
        &["Authorization: Bearer"][..],
        &["Authorization: Bearer t0ken, x"],
        &["Authorization: Bearer T0ken"],
        &["Authorization: Bearer k3y"],
        &["Authorization: Bearer sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"],
        &["X-API-Key: t0ken"],
        &["X-API-Key:"],
        &["Authorization: Bearer x", "X-API-Key: k3y"],
    ] {
        assert_eq!(world.reason("/", lines), Reason::AuthInvalid, "{lines:?}");
    }
    for (target, lines) in [
        ("/", &["Authorization: Bearer t0ken", "Authorization: Bearer t0ken"][..]),
        ("/", &["Authorization: Basic x", "Authorization: Bearer t0ken"]),
        ("/", &["X-API-Key: k3y", "x-api-key: k3y"]),
        ("/?key=k3y&key=x", &[]),
        ("/", &["Cookie: key=k3y", "Cookie: key=k3y"]),
    ] {
        assert_eq!(world.reason(target, lines), Reason::AuthRepeated, "{target} {lines:?}");
    }
    let counts = world.failures.counts();
    assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>(), 18);
    assert!(
        counts.contains(&(["none".into(), "auth_missing".into()], 5)) && counts.contains(&(["bearer".into(), "auth_repeated".into()], 2))
    );
}

#[test]
fn refusals_say_what_is_needed() {
    let world = listed();
    let missing = "WWW-Authenticate: Bearer realm=\"ringway\"\r\nWWW-Authenticate: ApiKey realm=\"ringway\"\r\n";
    assert_eq!(world.ask("/", &[]), Came::Refused(Reason::AuthMissing, missing.into()));
    let wrong = "WWW-Authenticate: Bearer realm=\"ringway\", error=\"invalid_token\"\r\n";
    assert_eq!(world.ask("/", &["Authorization: Bearer x"]), Came::Refused(Reason::AuthInvalid, wrong.into()));
    let forbidden = "WWW-Authenticate: Bearer realm=\"ringway\", error=\"insufficient_scope\", scope=\"read\"\r\n";
    for _again in 0..2 {
        assert_eq!(world.ask("/", &["Authorization: Bearer weak"]), Came::Refused(Reason::AuthForbidden, forbidden.into()));
    }
}

#[test]
fn claims_go_along_and_clients_can_not_send_them() {
    let world = listed();
    let (_, notes) = world.ask_with("/", &["X-API-Key: k3y"], None);
    assert_eq!(notes.request.lines(), b"X-User: shop\r\n");
    assert_eq!(notes.verified.unwrap().text("sub").unwrap(), "shop");
    let settings = Auth { claims_to_headers: [("X-User".to_owned(), "sub".to_owned())].into(), ..Auth::default() };
    let (mut request, mut response) = (Edits::default(), Edits::default());
    settings.edits(&mut request, &mut response);
    assert!(request.drops(b"x-user") && !request.drops(b"authorization"));
}

#[test]
fn a_stripped_credential_is_taken_away_wherever_it_stands() {
    let settings = serde_json::json!({
        "any": [{ "api_key": { "query": "key", "cookie": "key", "keys": [{ "name": "shop", "secret": "k3y" }] } }, { "bearer": { "tokens": [{ "name": "a", "secret": "b" }] } }],
        "strip_credential": true,
    });
    let auth: Auth = serde_json::from_value(settings.clone()).unwrap();
    let (mut request, mut response) = (Edits::default(), Edits::default());
    auth.edits(&mut request, &mut response);
    assert!(request.drops(b"x-api-key") && request.drops(b"authorization") && !request.drops(b"cookie"));
    let world = World::new(settings);
    let (came, notes) = world.ask_with("/?a=1&key=k3y&b=2", &["Cookie: x=1; key=old; y=2"], None);
    assert_eq!((came, notes.query.as_deref()), (in_as("shop"), Some(&b"a=1&b=2"[..])));
    assert!(notes.request.drops(b"cookie") && notes.request.lines() == b"Cookie: x=1; y=2\r\n");
    let (_, notes) = world.ask_with("/?key=k3y", &["Cookie: key=k3y"], None);
    assert_eq!((notes.query.as_deref(), notes.request.lines()), (Some(&b""[..]), &b""[..]));
}

fn basic(more: serde_json::Value) -> World {
    let mut basic = serde_json::json!({ "users": "ada:$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW" });
    basic.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    World::new(serde_json::json!({ "any": [{ "basic": basic }] }))
}

/// `ada:U*U`
const ADA: &str = "Authorization: Basic YWRhOlUqVQ==";
/// `eve:U*U`
const EVE: &str = "Authorization: Basic ZXZlOlUqVQ==";

#[test]
fn a_password_is_checked_once_and_remembered_for_a_time() {
    let mut world = basic(serde_json::json!({}));
    assert_eq!(world.ask("/", &[ADA]), Came::Asked);
    assert_eq!(world.ask_with("/", &[ADA], Some(Reply::Password(true))).0, in_as("ada"));
    assert_eq!(world.ask("/", &[ADA]), in_as("ada"));
    world.now = world.now + Duration::from_secs(300);
    assert_eq!(world.ask("/", &[ADA]), Came::Asked);
    let wrong = Came::Refused(Reason::AuthInvalid, "WWW-Authenticate: Basic realm=\"ringway\", charset=\"UTF-8\"\r\n".into());
    assert_eq!(world.ask_with("/", &[ADA], Some(Reply::Password(false))).0, wrong);
    assert_eq!(world.ask("/", &[ADA]), wrong, "remembered");
    world.now = world.now + Duration::from_secs(10);
    assert_eq!(world.ask("/", &[ADA]), Came::Asked);
    assert_eq!(world.ask_with("/", &[ADA], Some(Reply::Busy)).0, Came::Refused(Reason::AuthBusy, String::new()));
    assert_eq!(world.ask("/", &[ADA]), Came::Asked, "that it was busy says nothing about the password");
}

#[test]
fn an_unknown_user_is_never_let_in_and_takes_as_long() {
    let world = basic(serde_json::json!({ "remember_wrong": "0s" }));
    assert_eq!(world.ask("/", &[EVE]), Came::Asked);
    assert!(matches!(world.ask_with("/", &[EVE], Some(Reply::Password(true))).0, Came::Refused(Reason::AuthInvalid, _)));
    for token in ["", "YWRhOlUqVQ", "Y W R h", "!!!!", "YWRh"] {
        assert_eq!(world.reason("/", &[&format!("Authorization: Basic {token}")]), Reason::AuthInvalid, "{token}");
    }
}

#[test]
fn settings_that_let_nobody_in_or_break_a_line_are_told() {
    let problems = |settings: serde_json::Value| -> Vec<String> {
        let auth: Auth = serde_json::from_value(settings).unwrap();
        auth.problems().into_iter().map(|wrong| format!("{}: {}", wrong.setting, wrong.message)).collect()
    };
    let bearer = serde_json::json!([{ "bearer": { "tokens": [{ "name": "a", "secret": "b" }] } }]);
    assert_eq!(problems(serde_json::json!({ "any": bearer })), [""; 0]);
    assert_eq!(problems(serde_json::json!({})), ["any: is empty: nobody could come in"]);
    assert_eq!(problems(serde_json::json!({ "any": [{}] })), ["any[0]: says not what it is"]);
    let both = serde_json::json!([{ "bearer": {}, "basic": {} }]);
    assert_eq!(problems(serde_json::json!({ "any": both })), ["any[0]: is several at once"]);
    let empty = serde_json::json!([{ "bearer": {} }, { "basic": {} }, { "api_key": { "header": "", "list": "a" } }]);
    let told = [
        "any[0].bearer.tokens: is empty, as is list: nobody could come in",
        "any[1].basic.users: is empty: nobody could come in",
        "any[2].api_key.list: in line 1 has no secret after its name",
        "any[2].api_key.header: is empty, as are query and cookie: the key is looked for nowhere",
    ];
    assert_eq!(problems(serde_json::json!({ "any": empty })), told);
    let broken = serde_json::json!({
        "any": bearer, "realm": "a\"b", "replace_authorization": "a\r\nb", "remembered_max": 10_000_000,
        "claims_to_headers": { "a b": "sub", "Content-Length": "sub" }, "require_scopes": [""], "require_roles": ["a\""],
    });
    assert_eq!(problems(broken).len(), 7);
}

#[test]
fn on_trial_nobody_is_refused_and_only_what_is_proved_is_told() {
    let world = World::new(serde_json::json!({
        "mode": "shadow",
        "any": [
            { "bearer": { "tokens": [{ "name": "ci", "secret": "t0ken", "scopes": ["read"] }, { "name": "other", "secret": "weak" }] } },
            { "api_key": { "query": "key", "keys": [{ "name": "shop", "secret": "k3y", "scopes": ["read"] }] } },
            { "introspection": { "upstream": "iam" } },
        ],
        "strip_credential": true,
        "claims_to_headers": { "X-User": "sub" },
        "require_scopes": ["read"],
    }));
    let lines = |target: &str, lines: &[&str]| {
        let (came, notes) = world.ask_with(target, lines, None);
        (came, String::from_utf8(notes.request.lines().to_vec()).unwrap(), notes.verified.is_some(), notes.query)
    };
    assert_eq!(lines("/", &["Authorization: Bearer t0ken"]), (in_as("ci"), "X-User: ci\r\n".into(), true, None));
    assert_eq!(lines("/?key=k3y", &[]), (in_as("shop"), "X-User: shop\r\n".into(), true, None), "the key stays");
    assert_eq!(lines("/", &[]), (in_as(""), String::new(), false, None));
    assert_eq!(lines("/", &["Authorization: Bearer no"]), (in_as(""), String::new(), false, None));
    assert_eq!(lines("/", &["Authorization: Bearer weak"]), (in_as("other"), String::new(), false, None), "known, but not let in");
    let mut counts: Vec<_> =
        world.admitted.counts().iter().map(|(labels, count)| (labels[0].to_string(), labels[1].to_string(), *count)).collect();
    counts.sort();
    let count = |reason: &str| ("auth".to_owned(), reason.to_owned(), 1);
    assert_eq!(counts, ["auth_forbidden", "auth_invalid", "auth_missing"].map(count));
    assert!(world.failures.counts().is_empty(), "nobody was refused");
}
