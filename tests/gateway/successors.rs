//! Replacing the running program (SIGUSR2): nothing is lost, whether the new one takes over or fails to.

use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Gateway, Load, Origin, config, directory, get, until};

/// A process that has taken over.
struct Successor(String);

impl Successor {
    /// The one that this gateway is replaced by.
    #[track_caller]
    fn of(gateway: &Gateway) -> Successor {
        gateway.signal("USR2");
        until("a successor", || {
            let log = gateway.log();
            assert!(!log.contains("upgrade failed"), "{log}");
            let line = log.lines().rfind(|line| line.contains("upgraded: another process serves"))?;
            Some(Successor(line.rsplit_once("pid=")?.1.to_owned()))
        })
    }

    fn signal(&self, name: &str) -> bool {
        Command::new("kill").args(["-s", name, &self.0]).output().unwrap().status.success()
    }

    /// Whether it runs; one that has ended may wait for whoever reaps orphans.
    fn runs(&self) -> bool {
        std::fs::read_to_string(format!("/proc/{}/stat", self.0)).is_ok_and(|stat| !stat.contains(") Z "))
    }

    fn stop(self) {
        assert!(self.signal("TERM"));
        until("the successor to end", || (!self.runs()).then_some(()));
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if self.runs() {
            self.signal("KILL");
        }
    }
}

/// Ports that were free a moment ago: sockets are handed over by their address.
fn settings(endpoint: &str, changes: Value) -> Value {
    let ports: Vec<TcpListener> = (0..2).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let port = |index: usize| ports[index].local_addr().unwrap().port();
    let mut settings = config(endpoint, changes);
    settings["listener"]["port"] = port(0).into();
    settings["admin"]["port"] = port(1).into();
    settings
}

/// A gateway called by a link, which can be made to lead elsewhere.
fn linked(settings: &Value, directory: &Path) -> Gateway {
    let link = directory.join("ringway");
    symlink(env!("CARGO_BIN_EXE_ringway"), &link).unwrap();
    Gateway::launch(Command::new(link), settings)
}

#[test]
fn nothing_is_lost_when_a_successor_takes_over() {
    let origin = Origin::start();
    // More workers than before, fewer, as many; from either driver to the other.
    for (before, after) in [(("auto", 2), ("auto", 2)), (("auto", 3), ("epoll", 1)), (("epoll", 1), ("auto", 3))] {
        let runtime = |(driver, workers): (&str, u32)| json!({ "driver": driver, "workers": workers });
        let mut settings = settings(&origin.address, json!({ "runtime": runtime(before), "timeouts": { "drain_delay": "300ms" } }));
        let mut gateway = Gateway::launch(Command::new(env!("CARGO_BIN_EXE_ringway")), &settings);
        let mut kept = gateway.connect();
        assert_eq!(kept.ask(get("/size/10")).status(), 200);
        let loads: Vec<Load> = (0..3).map(|_| Load::start(&gateway, "/size/1000")).collect();
        loads.iter().for_each(|load| load.wait(50));
        settings["runtime"]["workers"] = after.1.into();
        settings["runtime"]["driver"] = after.0.into();
        gateway.rewrite(&settings);
        let successor = Successor::of(&gateway);
        // It leaves by its own answers, and is ready until it has gone.
        until("an answer that is the last", || {
            let answer = kept.ask(get("/readyz"));
            assert_eq!(answer.status(), 200);
            (answer.field("connection") == Some("close")).then_some(())
        });
        drop(kept);
        assert_eq!(gateway.ended(), 0);
        loads.iter().for_each(|load| load.wait(50));
        for load in loads {
            load.stop();
        }
        assert_eq!(gateway.metric("gateway_workers_accepting"), f64::from(after.1), "the private listener is the successor's too");
        assert_eq!(gateway.metric("gateway_accept_errors_total"), 0.0);
        successor.stop();
        assert!(TcpListener::bind(&gateway.address).is_ok(), "nobody holds the port any more");
    }
}

#[test]
fn a_successor_has_a_successor() {
    let origin = Origin::start();
    let settings = settings(&origin.address, json!({}));
    let gateway = Gateway::launch(Command::new(env!("CARGO_BIN_EXE_ringway")), &settings);
    let load = Load::start(&gateway, "/size/1000");
    load.wait(50);
    let first = Successor::of(&gateway);
    load.wait(50);
    assert!(first.signal("USR2"));
    let second = until("a second successor", || {
        let log = gateway.log();
        let mut lines = log.lines().filter(|line| line.contains("upgraded: another process serves"));
        lines.nth(1).and_then(|line| Some(Successor(line.rsplit_once("pid=")?.1.to_owned())))
    });
    until("the first one to end", || (!first.runs()).then_some(()));
    load.wait(50);
    load.stop();
    second.stop();
}

#[test]
fn nothing_is_lost_when_a_successor_fails() {
    let origin = Origin::start();
    let good = settings(&origin.address, json!({ "timeouts": { "upgrade": "700ms" } }));
    let links = directory();
    let gateway = linked(&good, &links);
    let load = Load::start(&gateway, "/size/1000");
    let refused = |why: &str| {
        load.wait(30);
        gateway.signal("USR2");
        gateway.wait_log(why);
        load.wait(30);
    };
    let mut elsewhere = good.clone();
    elsewhere["listener"]["port"] = 1.into();
    for (bad, why) in [(json!({ "nonsense": 1 }), "(exit status: 1)"), (elsewhere, "(exit status: 3)")] {
        gateway.rewrite(&bad);
        refused(why);
    }
    assert!(gateway.log().contains("an upgrade (SIGUSR2) can't change addresses"), "{}", gateway.log());
    gateway.rewrite(&good);
    let link = links.join("ringway");
    std::fs::remove_file(&link).unwrap();
    refused("upgrade refused: the program can't be started");
    std::fs::write(&link, "#!/bin/sh\nexec sleep 60\n").unwrap();
    std::fs::set_permissions(&link, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    refused("was not ready within timeouts.upgrade and was ended");
    // It serves on, and by the right program the same is possible.
    std::fs::remove_file(&link).unwrap();
    symlink(env!("CARGO_BIN_EXE_ringway"), &link).unwrap();
    let log = gateway.log();
    assert_eq!(log.matches("upgrade failed").count(), 3, "{log}");
    gateway.signal("USR2");
    gateway.wait_log("upgraded: another process serves");
    let successor = gateway.log().lines().find_map(|line| line.split_once("same listeners pid=").map(|(_, pid)| Successor(pid.to_owned())));
    load.wait(30);
    load.stop();
    successor.expect("its pid").stop();
    std::fs::remove_dir_all(&links).unwrap();
}

#[test]
fn a_gateway_that_stops_ends_its_successor() {
    let links = directory();
    let settings = settings("127.0.0.1:9", json!({}));
    let mut gateway = linked(&settings, &links);
    let link = links.join("ringway");
    std::fs::remove_file(&link).unwrap();
    std::fs::write(&link, format!("#!/bin/sh\necho $$ > {}/pid\nexec sleep 60\n", links.display())).unwrap();
    std::fs::set_permissions(&link, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    gateway.signal("USR2");
    let pid = until("it to start", || {
        let pid = std::fs::read_to_string(links.join("pid")).ok()?;
        pid.ends_with('\n').then(|| pid.trim().to_owned())
    });
    gateway.signal("USR2");
    gateway.wait_log("upgrade refused: one is under way");
    gateway.signal("TERM");
    assert_eq!(gateway.ended(), 0);
    assert!(!Successor(pid).runs());
    std::fs::remove_dir_all(&links).unwrap();
}
