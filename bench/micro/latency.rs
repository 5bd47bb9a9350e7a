//! What recording a request's phases costs.

use std::hint::black_box;
use std::sync::Arc;

use ringway::latency::{Board, Phase, Recorder, Times};

use super::cost::{Cost, cost};

const REQUESTS: u64 = 1_000_000;

pub fn print() {
    println!("{:<24}{}   to record five phases of a request", "response times", record(1));
    println!("{:<24}{}   of 100 routes in turn", "", record(100));
}

fn record(routes: u64) -> Cost {
    let mut recorder = Recorder::new(Arc::new(Board::new(256)));
    let mut draw = 1u32;
    cost(
        REQUESTS,
        |_| (),
        |(), request| {
            draw = draw.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let first_byte = 80 + (draw >> 26);
            let mut times = Times([Times::NONE; Phase::ALL.len()]);
            for (phase, micros) in [
                (Phase::Total, first_byte + 30),
                (Phase::Policies, 3),
                (Phase::FirstByte, first_byte),
                (Phase::Body, 27),
                (Phase::Overhead, 30),
            ] {
                times.0[phase as usize] = micros;
            }
            let route = request % routes;
            black_box(recorder.record([1, route, 0], || [route.to_string().into(), "u".into()], black_box(&times), 1));
        },
    )
}
