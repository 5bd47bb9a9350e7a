//! What `deploy/` holds agrees with the gateway: units, image, profile and manifests say what its defaults and its configuration say.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ringway::config::{self, Config};
use saphyr_parser::{Event, Parser};
use serde_json::{Map, Value};

fn text(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A manifest as a value; scalars stay texts.
fn manifest(name: &str) -> Value {
    let text = text(&format!("deploy/kubernetes/{name}.yaml"));
    let mut events = Parser::new_from_str(&text).map(|event| event.expect("YAML").0);
    let first = events.find(|event| !matches!(event, Event::StreamStart | Event::DocumentStart(_))).expect("a document");
    value(first, &mut events)
}

fn value<'a>(event: Event<'a>, events: &mut impl Iterator<Item = Event<'a>>) -> Value {
    let mut list = Vec::new();
    let end = match event {
        Event::Scalar(text, ..) => return Value::String(text.into_owned()),
        Event::SequenceStart(..) => Event::SequenceEnd,
        Event::MappingStart(..) => Event::MappingEnd,
        other => panic!("{other:?} is of no use here"),
    };
    loop {
        match events.next().expect("an end") {
            event if event == end => break,
            event => list.push(value(event, events)),
        }
    }
    if end == Event::SequenceEnd {
        return Value::Array(list);
    }
    let pairs = list.chunks_exact(2).map(|pair| (pair[0].as_str().expect("a name").to_owned(), pair[1].clone()));
    Value::Object(pairs.collect::<Map<_, _>>())
}

/// The configuration of the manifests, read as a start would.
fn configured() -> Config {
    let manifest = manifest("configmap");
    let file = std::env::temp_dir().join(format!("ringway-deploy-{}-{:?}.yaml", std::process::id(), std::thread::current().id()));
    fs::write(&file, manifest["data"]["gateway.yaml"].as_str().expect("a configuration")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_ringway")).args(["validate", "-c"]).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let loaded = config::load(&file).unwrap_or_else(|problems| panic!("{problems}"));
    fs::remove_file(&file).unwrap();
    (*loaded.config).clone()
}

/// Seconds that a stop may take by this configuration.
fn stopping(config: &Config) -> Duration {
    config.timeouts.drain_delay.get() + config.timeouts.drain.get()
}

#[test]
fn the_deployment_fits_its_configuration() {
    let (deployment, config) = (manifest("deployment"), configured());
    let pod = &deployment["spec"]["template"]["spec"];
    let grace: u64 = pod["terminationGracePeriodSeconds"].as_str().unwrap().parse().unwrap();
    assert!(Duration::from_secs(grace) > stopping(&config), "{grace} s are over before the gateway has drained");
    let container = &pod["containers"][0];
    let port = |name: &str| {
        let port = container["ports"].as_array().unwrap().iter().find(|port| port["name"] == name);
        port.unwrap_or_else(|| panic!("there is no port {name}"))["containerPort"].as_str().unwrap().parse::<u16>().unwrap()
    };
    assert_eq!((port("http"), port("admin")), (config.listener.port, config.admin.port));
    assert_eq!(config.admin.port, Config::default().admin.port);
    assert!(config.admin.enabled && config.admin.address == "0.0.0.0", "probes come from outside the pod");
    let built_in = Config::default().built_in;
    for (probe, path) in [("startupProbe", &built_in.readyz), ("livenessProbe", &built_in.livez), ("readinessProbe", &built_in.readyz)] {
        assert_eq!((&container[probe]["httpGet"]["path"], &container[probe]["httpGet"]["port"]), (&path.as_str().into(), &"admin".into()));
    }
    // The failure of readiness is noticed while connections are still accepted.
    let notice: u64 = container["readinessProbe"]["periodSeconds"].as_str().unwrap().parse().unwrap();
    assert!(Duration::from_secs(notice) < config.timeouts.drain_delay.get());
    let (security, own) = (&pod["securityContext"], &container["securityContext"]);
    assert_eq!((&security["runAsNonRoot"], &own["readOnlyRootFilesystem"]), (&"true".into(), &"true".into()));
    assert!(text("deploy/Dockerfile").contains(&format!("USER {0}:{0}\n", security["runAsUser"].as_str().unwrap())));
    // What the pod sets, the configuration reads; what it mounts is where its arguments look.
    let map = manifest("configmap");
    for variable in container["env"].as_array().unwrap() {
        let name = variable["name"].as_str().unwrap();
        assert!(map["data"]["gateway.yaml"].as_str().unwrap().contains(&format!("${{{name}:-")), "{name} is read nowhere");
    }
    let file = container["args"][2].as_str().unwrap();
    assert_eq!(file.rsplit_once('/').unwrap(), (container["volumeMounts"][0]["mountPath"].as_str().unwrap(), "gateway.yaml"));
}

#[test]
fn manifests_select_the_pods_and_name_their_ports() {
    let deployment = manifest("deployment");
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    let selectors = [
        deployment["spec"]["selector"]["matchLabels"].clone(),
        manifest("service")["spec"]["selector"].clone(),
        manifest("poddisruptionbudget")["spec"]["selector"]["matchLabels"].clone(),
        manifest("networkpolicy")["spec"]["podSelector"]["matchLabels"].clone(),
    ];
    selectors.iter().for_each(|selector| assert_eq!(selector, labels));
    assert_eq!(manifest("service")["spec"]["ports"].as_array().unwrap().len(), 1, "operators' pages are no service");
    assert_eq!(manifest("service")["spec"]["ports"][0]["targetPort"], "http");
}

#[test]
fn the_profile_allows_rings_and_names_each_call_once() {
    let profile: Value = serde_json::from_str(&text("deploy/seccomp.json")).unwrap();
    assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
    let mut names = BTreeSet::new();
    for group in profile["syscalls"].as_array().unwrap() {
        assert_eq!(group["action"], "SCMP_ACT_ALLOW");
        let listed = group["names"].as_array().unwrap();
        listed.iter().for_each(|name| assert!(names.insert(name.as_str().unwrap()), "{name} is there twice"));
    }
    for name in ["io_uring_setup", "io_uring_enter", "io_uring_register", "close_range", "execve", "clone3"] {
        assert!(names.contains(name), "{name}");
    }
    for name in ["ptrace", "mount", "bpf", "init_module", "unshare", "setns", "keyctl", "userfaultfd"] {
        assert!(!names.contains(name), "{name}");
    }
}

#[test]
fn the_unit_gives_time_to_drain_and_passes_the_default_port() {
    let (unit, defaults) = (text("deploy/ringway.service"), Config::default());
    let setting = |name: &str| unit.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}"));
    let seconds = |name| Duration::from_secs(setting(name).trim_end_matches('s').parse().unwrap());
    assert!(seconds("TimeoutStopSec=") > stopping(&defaults));
    let filter: Vec<&str> = unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")).collect();
    assert!(filter[0].contains("@aio"), "io_uring is part of @aio");
    let stream = format!("ListenStream={}:{}\n", defaults.listener.address, defaults.listener.port);
    assert!(text("deploy/ringway.socket").contains(&stream), "{stream}");
}

#[test]
fn systemd_takes_the_units() {
    let directory = std::env::temp_dir().join(format!("ringway-units-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    // Programs must be there to be good: this one stands for the installed one.
    let unit = text("deploy/ringway.service").replace("/usr/local/bin/ringway", env!("CARGO_BIN_EXE_ringway"));
    fs::write(directory.join("ringway.service"), unit).unwrap();
    fs::write(directory.join("ringway.socket"), text("deploy/ringway.socket")).unwrap();
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args(["ringway.service", "ringway.socket"].map(|unit| directory.join(unit)))
        .output()
        .unwrap_or_else(|error| panic!("systemd-analyze: {error}; tools/check installs it"));
    fs::remove_dir_all(&directory).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("ringway."), "{said}");
}
