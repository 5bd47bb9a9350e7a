//! Where the kernel refuses io_uring, as most containers do: `auto` falls back to epoll and says so, `io_uring` doesn't start.
#![allow(unsafe_code)]

use std::os::unix::process::CommandExt;
use std::process::Command;

use serde_json::json;

use crate::harness::{Gateway, Hostile, config, directory};

/// The gateway's command, in a process that may not set up a ring.
fn without_io_uring() -> Command {
    let statement = |code: u32, jt, jf, k: u32| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut filter = [
        // The system call's number is the first field of what a filter is given (seccomp(2)).
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_io_uring_setup as u32),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let install = move || {
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
        // SAFETY: the program points to a live array of that length, which the kernel copies.
        let refused = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
                || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) != 0
        };
        if refused { Err(std::io::Error::last_os_error()) } else { Ok(()) }
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    // SAFETY: between fork and exec only two system calls are made, and nothing is allocated.
    unsafe { command.pre_exec(install) };
    command
}

#[test]
fn auto_falls_back_to_epoll_and_says_so() {
    let endpoint = Hostile::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let gateway = Gateway::launch(without_io_uring(), &config(&endpoint.address, json!({ "runtime": { "driver": "auto" } })));
    gateway.wait("gateway_workers{driver=\"epoll\"}", 2.0);
    assert_eq!(gateway.metric("gateway_workers{driver=\"io_uring\"}"), 0.0);
    gateway.wait_log("engine=epoll");
    assert_eq!(gateway.get("/").text(), "ok");
    assert_eq!(gateway.stop("TERM"), 0);
}

#[test]
fn io_uring_alone_does_not_start_without_it() {
    let directory = directory();
    let file = directory.join("gateway.json");
    std::fs::write(&file, config("127.0.0.1:9", json!({ "runtime": { "driver": "io_uring" } })).to_string()).unwrap();
    let output = without_io_uring().args(["run", "-c"]).arg(&file).output().unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("io_uring can't be used here") && said.contains("set runtime.driver to \"auto\" or \"epoll\""), "{said}");
    assert!(output.stdout.is_empty(), "nothing listens: {}", String::from_utf8_lossy(&output.stdout));
}
