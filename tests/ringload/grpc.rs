//! gRPC calls: what they end with decides, in the summary, in all files and in the exit code.

use crate::{Origin, Process, all_answered, holds_together, numbers, ringload};

#[test]
fn calls_are_counted_by_their_status() {
    let origin = Origin::start();
    let numbers_of = |line: &str| {
        let numbers = numbers(line);
        all_answered(&numbers, 40);
        numbers
    };
    let good =
        numbers_of(&format!("--grpc --rate 80 --duration 500ms --connections 2 --body hello {}", origin.url("/some.Service/Method")));
    assert_eq!((&good["grpc_statuses"]["OK"], &good["statuses"]["2xx"]), (&40.into(), &40.into()), "{good:#}");
    assert_eq!(good["target"], format!("gRPC {}", origin.url("/some.Service/Method")));
    let half = numbers_of(&format!("--grpc --rate 80 --duration 500ms {}", origin.url("/fail/0.5")));
    assert_eq!((&half["grpc_statuses"]["OK"], &half["grpc_statuses"]["UNAVAILABLE"]), (&20.into(), &20.into()), "{half:#}");
    let healthy = numbers_of(&format!("--grpc --rate 80 --duration 500ms {}", origin.url("/grpc.health.v1.Health/Check")));
    assert_eq!(healthy["grpc_statuses"]["OK"], 40);

    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let [json, page] = ["ringload-grpc.json", "ringload-grpc.html"].map(|name| folder.join(name));
    std::fs::write(&json, half.to_string()).unwrap();
    let merged = ringload(&format!("merge {} {}", json.display(), json.display()));
    let text = String::from_utf8_lossy(&merged.stdout);
    assert!(text.contains("grpc        OK 40, UNAVAILABLE 40\n"), "{text}");
    for (status, code) in [(0, 0), (5, 1)] {
        let line = format!("--grpc --rate 80 --duration 200ms --max-lag 1h -e errors<1% --html {}", page.display());
        let output = ringload(&format!("{line} {}", origin.url(&format!("/grpc_status/{status}"))));
        let text = String::from_utf8_lossy(&output.stdout);
        let name = if status == 0 { "OK" } else { "NOT_FOUND" };
        assert!(output.status.code() == Some(code) && text.contains(&format!("grpc        {name} 16\n")), "{text}");
        assert!(std::fs::read_to_string(&page).unwrap().contains(&format!("{name} 16")));
    }
}

#[test]
fn what_is_no_call_is_no_success() {
    let origin = Origin::start();
    // HTTP all the same, but no gRPC: ringorigin tells calls by their media type.
    let numbers_of = |line: &str| {
        let numbers = numbers(&format!("--grpc --rate 50 --duration 200ms -H content-type:text/plain {line}"));
        holds_together(&numbers);
        numbers
    };
    let bare = numbers_of(&origin.url("/"));
    assert_eq!(
        (&bare["failures"]["malformed"], &bare["last_fault"]),
        (&10.into(), &"malformed answer: it ends without a grpc-status".into())
    );
    assert_eq!(numbers_of(&origin.url("/status/404"))["statuses"]["4xx"], 10);
    let hanging = numbers(&format!("--grpc --rate 50 --duration 200ms --timeout 200ms {}", origin.url("/hang")));
    assert_eq!(hanging["failures"]["timeout"], 10, "{hanging:#}");
}

#[test]
fn grpc_s_own_library_is_called() {
    let (_peer, port) = Process::python(&["tests/grpc_peer.py", "server"]);
    for (method, status) in [("Echo", "OK"), ("Fail", "FAILED_PRECONDITION"), ("Missing", "UNIMPLEMENTED")] {
        let url = format!("http://127.0.0.1:{}/test.Peer/{method}", port);
        let numbers = numbers(&format!("--grpc --rate 100 --duration 300ms --connections 2 --body hello {url}"));
        all_answered(&numbers, 30);
        assert_eq!(numbers["grpc_statuses"][status], 30, "{method}: {numbers:#}");
    }
}
