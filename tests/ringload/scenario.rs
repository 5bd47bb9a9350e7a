//! The gateway passes each ready scenario. The machine may be too busy for one, so each has three tries.

use std::thread;

use crate::ringload;

#[test]
fn the_gateway_passes_them() {
    thread::scope(|scope| {
        for (name, told) in [
            ("reload", "after the reload, the second endpoint has"),
            ("kill", "of 1,200 requests 0 have no good answer"),
            ("limit", "let through for 500"),
            ("split", "% for 50 %"),
            ("slow", "p99 of the response time is"),
            ("cache", "requests reached an endpoint"),
            ("drain", "refused after the end, 0 lost"),
        ] {
            scope.spawn(move || {
                let mut said = String::new();
                for _ in 0..3 {
                    let output = ringload(&format!("scenario {name}"));
                    let text = String::from_utf8(output.stdout).unwrap();
                    if output.status.code() == Some(0) {
                        assert!(text.contains(told) && text.ends_with("passed\n") && !text.contains("FAIL"), "{name}: {text}");
                        return;
                    }
                    assert!(output.status.code() == Some(1), "{name}: {text}");
                    said.push_str(&text);
                    said.push_str(&String::from_utf8_lossy(&output.stderr));
                }
                panic!("{name}: {said}");
            });
        }
    });
    assert_eq!(ringload("scenario flood").status.code(), Some(2));
}
