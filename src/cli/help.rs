//! What help says, written for somebody who sees the program for the first time, at three in the morning.

use super::args::Topic;

/// The program as a whole.
const PROGRAM: &str = "\
ringway: an HTTP gateway. It takes requests (HTTP/1.1, HTTP/2, gRPC, WebSockets; with TLS on a port of its own) and
passes each to one of your servers (endpoints).

USAGE
    ringway COMMAND [OPTIONS]

COMMANDS
    run -c FILE        run the gateway with this configuration
    validate -c FILE   check a configuration and print every problem in it; also `ringway -t -c FILE`
    health -c FILE     ask the gateway that runs with this configuration whether it is ready
    demo               show the gateway at work: three built-in servers with the gateway in front
    top                show a running gateway, second by second
    latency            look back on response times that were kept on disk: any percentile of any window
    schema             print the JSON Schema of the configuration, for editors
    version            print the version
    help [COMMAND]     explain a command; `ringway COMMAND --help` does the same

FIRST STEPS
    ringway demo                              see it work, change nothing
    ringway validate -c config/minimal.json   check the smallest configuration there is
    ringway run -c config/minimal.json        run it

WHILE IT RUNS
    kill -HUP PID    read the configuration again; a bad one changes nothing and is reported in the log
    kill -USR2 PID   replace the running program without losing a connection
    kill -TERM PID   stop without losing a request: /readyz fails, then what is under way is finished
    http://127.0.0.1:9901/dashboard   how it does, in a browser; `ringway top` in a terminal. http://127.0.0.1:9901/ has
                                      more: /upstreams, /config, /metrics, /latency, /slow, POST /reload

EXIT CODES
    0   stopped as asked, or nothing was wrong
    1   the configuration is bad; every problem was printed
    2   the command line is wrong
    3   could not start, for example because the port is taken; the message says what to do
    4   stopped with requests still under way: timeouts.drain was over, or a signal within it stopped it at once
    70  a fault in the gateway itself; the log says more
";

const RUN: &str = "\
ringway run: run the gateway.

USAGE
    ringway run -c FILE

OPTIONS
    -c, --config FILE   the configuration: JSON (comments allowed), YAML or TOML, by its ending

It checks the whole configuration first and does not start with a bad one. Once clients can connect it prints
`listening on http://ADDRESS` to standard output, and `listening on https://ADDRESS` if `tls` has certificates;
log lines go to standard error.

SIGNALS
    SIGHUP    read the file again, and the files of certificates and keys that it names, and put it in force without
              dropping a connection; a bad file changes nothing. Settings under `listener`, `admin` and `runtime`, and
              `tls.enabled`, `tls.address` and `tls.port`, wait for a restart; the log names them.
    SIGTERM   stop: /readyz fails at once; connections are accepted for `timeouts.drain_delay` more, so that
              balancers in front notice; then requests under way get up to `timeouts.drain` to finish.
    SIGINT    (Ctrl-C) the same without `timeouts.drain_delay`. A signal during the last part stops at once.
    SIGUSR2   start the program anew, by the name and arguments of this start, and hand it the listening sockets. Once
              it is ready this process drains and ends; if it fails, this one serves on and the log says why.

IF IT DOES NOT DO WHAT YOU EXPECT
    ringway validate -c FILE                   is the configuration what you think it is?
    curl http://127.0.0.1:9901/upstreams       which endpoints are healthy?
    curl http://127.0.0.1:9901/config          which configuration is in force, how did the last reload go?
    curl http://127.0.0.1:9901/metrics         gateway_refusals_total counts requests by the reason they were refused
    curl http://127.0.0.1:9901/latency         which phase takes the time? /slow has the slowest, each with its cause
    openssl s_client -connect HOST:8443 -servername NAME     which certificate is a client shown that asks for NAME?
                                               gateway_tls_handshakes_total counts why handshakes fail; docs/tls.md
";

const VALIDATE: &str = "\
ringway validate: check a configuration without running it.

USAGE
    ringway validate -c FILE [--format text|json]
    ringway -t -c FILE

OPTIONS
    -c, --config FILE   the configuration to check
    --format FORMAT     text (for people, the default) or json (for programs)

It prints every problem at once, each with file, line, column, the setting and a hint. Certificates and keys are read
and held against each other; one whose time is over gets a warning. Exit code 0 means the gateway would start with this
file, 1 that it would not.
";

const HEALTH: &str = "\
ringway health: ask the gateway that runs with this configuration whether it is ready.

USAGE
    ringway health -c FILE

OPTIONS
    -c, --config FILE   the configuration that the gateway was started with

It asks /readyz of the private listener and prints the answer; each step may take two seconds. Exit code 0 means ready,
1 that it isn't, can't be reached, or has no private listener. For HEALTHCHECK of a container and for scripts.
";

const SCHEMA: &str = "\
ringway schema: print the JSON Schema of the configuration.

USAGE
    ringway schema > schema.json

Editors that know JSON Schema complete and check a configuration whose `\"$schema\"` names this file.
";

const DEMO: &str = "\
ringway demo: show the gateway at work.

USAGE
    ringway demo [--port PORT]

OPTIONS
    -p, --port PORT   the gateway's port; else 8080, or a free one if that is taken

It starts three small servers and the gateway in front of them, prints addresses and `curl` lines to try, sends a few
requests a second and shows how they are spread. Ctrl-C ends it, without losing a request. It writes no files. For HTTPS
(port 8443, or a free one) it has `openssl` make a certificate that nobody trusts; without openssl there is no HTTPS.
";

const TOP: &str = "\
ringway top: show a running gateway in the terminal, drawn anew each second.

USAGE
    ringway top [--admin ADDRESS]

OPTIONS
    --admin ADDRESS   where the gateway's private listener is; 127.0.0.1:9901 if it isn't given

Rate, failures, response times of the last second, ten seconds, minute and since the start, how busy each core is, the
busiest routes, endpoints that aren't well, and the slowest requests with what took them so long. Ctrl-C ends it. Into a
pipe or a file it prints one such picture. http://127.0.0.1:9901/dashboard is the same for a browser.
";

const LATENCY: &str = "\
ringway latency: look back on response times, second by second.

USAGE
    ringway latency (-c FILE | --directory DIR) [--route ID] [--upstream ID] [--phase PHASE]
                    [--at TIME] [--window TIME] [--percentile P[,P...]] [--format text|json]

OPTIONS
    -c, --config FILE    the gateway's configuration, whose `latency.directory` has the histograms
    --directory DIR      that directory itself
    --route, --upstream  of these only; else of all
    --phase PHASE        total (the default), queue, policies, connect, first_byte, body or overhead
    --at TIME            when the window begins, in UTC: 14:03, 14:03:30 or 2026-11-26T14:03:00Z; else the window
                         ends with the last second there is
    --window TIME        how long it is: 1s, 30s, 10m, 2h; 1m if it isn't given
    --percentile P       which percentiles: 99.99 or 50,99,99.9; else the usual ones

The gateway keeps histograms while `latency.directory` is set, in files of the HdrHistogram log format (.hlog), which
other tools read too. Exit code 1: there is nothing in that window, or no such directory.
";

const VERSION: &str = "\
ringway version: print the version.

USAGE
    ringway version [--format text|json]
";

const HELP: &str = "\
ringway help: explain the program or one of its commands.

USAGE
    ringway help [COMMAND]
";

/// What help says about a command, or about the program.
pub const fn text(topic: Option<Topic>) -> &'static str {
    match topic {
        None => PROGRAM,
        Some(Topic::Run) => RUN,
        Some(Topic::Validate) => VALIDATE,
        Some(Topic::Health) => HEALTH,
        Some(Topic::Schema) => SCHEMA,
        Some(Topic::Demo) => DEMO,
        Some(Topic::Top) => TOP,
        Some(Topic::Latency) => LATENCY,
        Some(Topic::Version) => VERSION,
        Some(Topic::Help) => HELP,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_explained_and_fits_a_screen() {
        for topic in Topic::ALL {
            assert!(text(None).contains(&format!("\n    {} ", topic.name())), "{}", topic.name());
            assert!(text(Some(*topic)).starts_with(&format!("ringway {}: ", topic.name())));
        }
        for topic in [None].into_iter().chain(Topic::ALL.iter().map(|topic| Some(*topic))) {
            assert!(text(topic).lines().all(|line| line.len() <= 120), "{topic:?}");
            assert!(text(topic).lines().count() <= 40, "{topic:?}");
        }
    }
}
