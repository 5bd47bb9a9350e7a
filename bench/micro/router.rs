//! Finding the route of a request among 10,000.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use ringway::balancer::mix;
use ringway::config;
use ringway::http::Method;
use ringway::router::{Captures, Lookup, Properties, Router};

use super::cost::{Cost, cost};

const ROUTES: u64 = 10_000;
const ASKS: u64 = 100_000;

/// No route here asks for them.
struct None;

impl Properties for None {
    fn header(&self, _: &str) -> Option<&[u8]> {
        Option::None
    }

    fn cookie(&self, _: &str) -> Option<&[u8]> {
        Option::None
    }

    fn client(&self) -> IpAddr {
        Ipv4Addr::LOCALHOST.into()
    }
}

/// Prints a line for prefixes, one for patterns with a parameter: one route asked for again and again, then any by chance.
pub fn print() {
    for (title, pattern) in [("route, by prefix", "/svc{}/*"), ("route, with a parameter", "/svc{}/users/{id}")] {
        let costs = [1, ROUTES].map(|asked| find(pattern, asked).to_string());
        println!("{title:<24}{}   to find it among 10,000: the same one, any by chance", costs.concat());
    }
}

fn find(pattern: &str, asked: u64) -> Cost {
    let path = |number: u64| pattern.replacen("{}", &number.to_string(), 1);
    let routes: Vec<config::Route> =
        (0..ROUTES).map(|number| config::Route { path: path(number), upstream: "app".into(), ..config::Route::default() }).collect();
    let router = Router::new(&routes).expect("good patterns");
    let paths: Vec<Vec<u8>> =
        (0..asked).map(|number| path(mix(number) % ROUTES).replace("{id}", "4711").replace('*', "users/4711").into_bytes()).collect();
    let mut captures = Captures::default();
    cost(
        ASKS,
        |_| (),
        |(), ask| {
            let path = &paths[(ask % asked) as usize];
            let (host, query) = (b"api.example.com".as_slice(), b"".as_slice());
            let lookup = Lookup { method: Method::Get, method_name: b"GET", host, path, query, properties: &None };
            black_box(router.route(black_box(&lookup), &mut captures));
        },
    )
}
