//! The files in `config/`: they load, they are current, and nothing is missing from them.

use super::super::json;
use super::super::schema::SHAPE;
use super::super::shape::Shape;
use super::super::tree::{Kind, Value};
use super::load;

const GATEWAY: &str = include_str!("../../../config/gateway.json");
const MINIMAL: &str = include_str!("../../../config/minimal.json");
const DEMO: &str = include_str!("../../../config/demo.json");
const SCHEMA: &str = include_str!("../../../config/schema.json");

#[test]
fn all_of_them_are_good() {
    for (name, text) in [("gateway.json", GATEWAY), ("minimal.json", MINIMAL), ("demo.json", DEMO)] {
        let loaded = load(name, text).unwrap_or_else(|problems| panic!("{problems}"));
        crate::run::build(&loaded, 1).unwrap_or_else(|problems| panic!("{problems}"));
    }
}

#[test]
fn the_smallest_has_six_lines() {
    assert_eq!(MINIMAL.lines().count(), 6);
}

#[test]
fn the_schema_is_current() {
    let current = format!("{:#}\n", crate::config::schema());
    assert!(SCHEMA == current, "config/schema.json is not what the settings are: renew it with `ringway schema > config/schema.json`");
}

/// Paths of settings that these values, all of the same shape, leave out.
fn missing(shape: &Shape, values: &[&Value], path: &str, found: &mut Vec<String>) {
    // The kinds are explained in the gateway's list.
    if path == ".routes[].middlewares[]" {
        return;
    }
    match shape {
        Shape::Optional(shape) => missing(shape, values, path, found),
        Shape::List(shape) => {
            let items = values.iter().filter_map(|value| if let Kind::List(items) = &value.kind { Some(items) } else { None });
            missing(shape, &items.flatten().collect::<Vec<_>>(), &format!("{path}[]"), found);
        }
        Shape::Table(fields) => {
            for (name, shape) in &fields.list {
                let entries = values.iter().filter_map(|value| if let Kind::Table(entries) = &value.kind { Some(entries) } else { None });
                let here: Vec<&Value> = entries.flatten().filter(|entry| entry.name == *name).map(|entry| &entry.value).collect();
                let path = format!("{path}.{name}");
                if here.is_empty() {
                    found.push(path);
                } else {
                    missing(shape, &here, &path, found);
                }
            }
        }
        _ => {}
    }
}

#[test]
fn every_setting_is_explained() {
    let mut found = Vec::new();
    missing(&SHAPE, &[&json::parse(GATEWAY).unwrap()], "", &mut found);
    assert_eq!(found, Vec::<String>::new(), "config/gateway.json leaves settings out");
}

/// All tables in the list of this name.
fn list<'a>(value: &'a Value, name: &str) -> Vec<&'a Value> {
    let Kind::Table(entries) = &value.kind else { return Vec::new() };
    let lists = entries.iter().filter(|entry| entry.name == name);
    lists.filter_map(|entry| if let Kind::List(items) = &entry.value.kind { Some(items) } else { None }).flatten().collect()
}

#[test]
fn the_demo_uses_every_setting() {
    let demo = json::parse(DEMO).unwrap();
    let mut found = Vec::new();
    missing(&SHAPE, &[&demo], "", &mut found);
    let Shape::Table(fields) = &*SHAPE else { panic!("a configuration is a table") };
    let (_, kinds) = fields.list.iter().find(|(name, _)| name == "middlewares").unwrap();
    // Some kinds are a route's own.
    found.retain(|path| !path.starts_with(".middlewares[]."));
    let chains = list(&demo, "routes").into_iter().flat_map(|route| list(route, "middlewares")).chain(list(&demo, "middlewares"));
    let Shape::List(kinds) = kinds else { panic!("a chain is a list") };
    missing(kinds, &chains.collect::<Vec<_>>(), ".middlewares[]", &mut found);
    assert_eq!(found, Vec::<String>::new(), "config/demo.json leaves settings out");
}

#[test]
fn defaults_are_what_the_explanation_says() {
    let shown = load("gateway.json", GATEWAY).unwrap().config;
    let default = crate::config::Config::default();
    assert_eq!((&shown.admin, &shown.runtime, &shown.timeouts), (&default.admin, &default.runtime, &default.timeouts));
    assert_eq!((&shown.limits, &shown.features, &shown.logging), (&default.limits, &default.features, &default.logging));
    assert_eq!((&shown.forwarding, &shown.built_in), (&default.forwarding, &default.built_in));
    let breaker = crate::config::CircuitBreaker { latency: None, mode: Default::default(), ..shown.circuit_breaker.clone().unwrap() };
    assert_eq!(breaker, crate::config::CircuitBreaker::default());
    let (shown, default) = (&shown.upstreams[0], crate::config::Upstream::default());
    assert_eq!((&shown.health_check.path, shown.health_check.rise), (&default.health_check.path, default.health_check.rise));
    assert_eq!(
        (&shown.outlier_detection, &shown.keep_alive, &shown.queue),
        (&default.outlier_detection, &default.keep_alive, &default.queue)
    );
    assert_eq!((shown.strategy, &shown.hash_key, shown.load_bound), (default.strategy, &default.hash_key, default.load_bound));
}

#[test]
fn the_demo_takes_its_ports_from_outside() {
    let text = DEMO.replace("${RINGWAY_DEMO_PORT_1:-9001}", "${PORT}");
    let config = load("demo.json", &text).unwrap().config;
    assert_eq!(config.upstreams[0].endpoints[0].url, "http://127.0.0.1:8081");
    assert_eq!(config.upstreams[0].endpoints[1].url, "http://127.0.0.1:9002");
}
