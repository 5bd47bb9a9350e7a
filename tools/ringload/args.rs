//! The command line: what is written there, as a plan of a run.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::{Arg, Parser, ValueExt};

use crate::schedule::{Arrivals, Schedule};
use crate::secure::Trust;
use crate::target::{Message, field, token};
use crate::verdict::{Expectation, Limits};
use crate::words::{SECOND, bytes, show_bytes, show_time, time};

/// What `--help` prints.
pub const USAGE: &str = "\
ringload: sends HTTP requests, gRPC calls or WebSocket messages at a rate you choose, and tells how long the answers took.

USAGE
    ringload --rate RATE [OPTIONS] URL      open loop: requests are due at their time, whatever the target does
    ringload [OPTIONS] URL                  closed loop: each connection asks again as soon as it is answered
    ringload find --slo 'WHAT,WHAT' [OPTIONS] URL
                                            the highest rate at which that holds
    ringload merge [--json FILE] [--hgrm FILE] [--expect WHAT]... RESULT.json...
                                            one result of several runs at the same time, as from several machines
    ringload scenario reload|kill|slow|limit|split|cache|drain
                                            a gateway of its own under load, what happens to it, and whether it passed
    ringload diff A.json B.json             two results side by side

EXAMPLES
    ringload --rate 1000 http://127.0.0.1:8080/                        1000 requests a second for 10 seconds
    ringload --rate 100..5000 --duration 1m http://127.0.0.1:8080/     a ramp: where does it begin to queue?
    ringload --rate 500 --expect 'p99<20ms' --expect 'errors<0.1%' http://127.0.0.1:8080/
    ringload find --slo 'p99.9<5ms,errors<0.1%' http://127.0.0.1:8080/         how much can it take?
    ringload --grpc --rate 1000 http://127.0.0.1:8080/grpc.health.v1.Health/Check

HOW MUCH
    -r, --rate RATE         requests a second: 500, 10k, a ramp 100..1000, steps 100,200,400;
                            each may say how long: 100:10s,100..1k:1m
    -d, --duration TIME     how long (else 10s); rates without a time of their own share it
        --arrivals HOW      even (at equal distances), or poisson (by chance, as of many users); else even
        --seed NUMBER       another course of chance for poisson
        --burst R:TIME:EVERY  R requests a second on top for TIME, again every EVERY: 5k:200ms:10s
    -c, --connections N     connections, at most (else 64)
        --pipeline N        requests under way on a connection at a time, at most (else 1); answers come in order
    -m, --streams N         the same for --http2 and --grpc (else 10); answers come as they are ready
    -t, --threads N         threads, each with a core of its own (else 1)

WHAT (an http:// or https:// URL is asked by HTTP/1.1; ws:// and wss:// by messages that have to come back as they were)
        --http2             ask by HTTP/2: over TLS as agreed on (ALPN), else from the first byte on (prior knowledge)
        --grpc              gRPC calls by HTTP/2, with the body as the message; a grpc-status other than OK counts as an error
        --message-size N    bytes of a WebSocket message (else 64)
    -X, --method METHOD     else GET, or POST if there is a body
    -H, --header 'N: V'     a header field; can be repeated
    -b, --body TEXT         the body; @FILE takes a file's bytes
        --urls FILE         a URL a line, asked in turn, in place of URL; a method may stand in front of each
        --no-keep-alive     a connection for each request
        --ca FILE           certificates (PEM) of the authorities that vouch for the target, else those that browsers trust
        --insecure          trust whatever certificate it shows
        --no-resumption     a whole TLS handshake for each connection
        --timeout TIME      how long a request may take from when it is handed to a connection (else 10s)
        --grace TIME        how long answers are waited for behind the last request (else --timeout and 1s)
        --allow-remote      allow targets that aren't this machine. Only ever ask machines that are yours.

RESULT
        --gateway ADDRESS   the gateway's private listener (127.0.0.1:9901): tells its side of the wire too
    -e, --expect WHAT       what has to hold: p99<20ms, p99.9<1s, errors<0.1%; can be repeated
        --max-lag TIME      how late ringload may be itself at p99 before the result is invalid (else 1ms)
        --json FILE         all numbers, with compressed histograms; - is standard output, in place of the summary
        --hgrm FILE         percentiles of the response time in milliseconds, for HdrHistogram's plotter
        --hlog FILE         histograms second by second, for HdrHistogram's tools
        --html FILE         a page with plots, for a browser; complete in itself
    -q, --quiet             no progress
    -h, --help              this text

FIND (doubles the rate until an objective doesn't hold, then goes halfway; each step has new connections)
        --slo WHAT,WHAT     what has to hold, in the words of --expect; can be repeated
        --from RATE         the lowest rate, asked first (else 100)
        --to RATE           the highest (else as far as it holds)
        --step-time TIME    how long a rate is asked for (else 5s); before the first, a second that isn't counted
        --precision N%      how far apart the highest rate that holds and one that doesn't may be in the end (else 5%)
        --json FILE         the steps and what was found
    A step in which ringload itself was the bottleneck says nothing about the target: it is asked once more, and then named.

Response time counts from when a request was due, so that waiting for a slow target is part of it. Service time counts from
when it was sent, which is what hides that waiting. Requests without an answer in time count with the time they had waited.

EXIT CODES
    0   all is well
    1   an expectation doesn't hold, not even the lowest rate does in `find`, or the result is invalid (ringload itself was
        the bottleneck, nothing was answered, or it could not run)
    2   the command line is wrong
";

/// A run as the command line has it.
pub struct Arguments {
    /// The URL, unless there is a file of them.
    pub url: Option<String>,
    /// A file of URLs.
    pub urls: Option<PathBuf>,
    /// When requests are due; none in a closed loop.
    pub schedule: Option<Schedule>,
    /// Nanoseconds of a closed loop.
    pub duration: u64,
    /// Connections of all threads, at most.
    pub connections: usize,
    /// Requests under way on a connection at a time, at most.
    pub pipeline: usize,
    /// Threads.
    pub threads: usize,
    /// What requests have in common.
    pub message: Message,
    /// Who is trusted, where a target is asked by TLS.
    pub trust: Trust,
    /// A file that holds the body.
    pub body_file: Option<PathBuf>,
    /// Whether HTTP/2 is spoken.
    pub http2: bool,
    /// Whether requests are gRPC calls.
    pub grpc: bool,
    /// Bytes of a WebSocket's messages, in place of a body.
    pub message_size: Option<usize>,
    /// Nanoseconds that a request may take.
    pub timeout: u64,
    /// Nanoseconds behind the end for which answers are waited for; none is by the timeout.
    pub grace: Option<u64>,
    /// Whether the target may be another machine.
    pub allow_remote: bool,
    /// What has to hold.
    pub expectations: Vec<Expectation>,
    /// The private listener of the gateway that is asked, if its side is to be told too.
    pub gateway: Option<String>,
    /// When the result isn't believed.
    pub limits: Limits,
    /// Where the numbers go.
    pub json: Option<PathBuf>,
    /// Where the percentiles go.
    pub hgrm: Option<PathBuf>,
    /// Where the log of histograms goes.
    pub hlog: Option<PathBuf>,
    /// Where the page goes.
    pub html: Option<PathBuf>,
    /// Whether no progress is told.
    pub quiet: bool,
    /// Whether the help was asked for.
    pub help: bool,
}

/// Requests under way on a connection of HTTP/2, unless told otherwise.
const STREAMS: usize = 10;
/// Threads and connections, at most.
const MOST: usize = 1 << 20;

impl Arguments {
    /// Nanoseconds of a run that says nothing about it.
    pub const DURATION: u64 = 10 * SECOND;

    /// Reads the words behind the program's name.
    ///
    /// # Errors
    /// A sentence about what is wrong.
    pub fn read(words: impl IntoIterator<Item = OsString>) -> Result<Arguments, String> {
        let mut arguments = Arguments {
            url: None,
            urls: None,
            schedule: None,
            duration: Arguments::DURATION,
            connections: 64,
            pipeline: 1,
            threads: 1,
            message: Message::default(),
            trust: Trust::default(),
            body_file: None,
            http2: false,
            grpc: false,
            message_size: None,
            timeout: 10 * SECOND,
            grace: None,
            allow_remote: false,
            expectations: Vec::new(),
            limits: Limits::default(),
            json: None,
            gateway: None,
            hgrm: None,
            hlog: None,
            html: None,
            quiet: false,
            help: false,
        };
        let (mut rates, mut burst, mut arrivals, mut seed, mut streams) = (None, None, None, None, None);
        let mut parser = Parser::from_args(words);
        while let Some(word) = parser.next().map_err(said)? {
            match word {
                Arg::Value(url) if arguments.url.is_none() => arguments.url = Some(url.string().map_err(said)?),
                Arg::Short('r') | Arg::Long("rate") => rates = Some(text(&mut parser)?),
                Arg::Short('d') | Arg::Long("duration") => arguments.duration = positive("--duration", &text(&mut parser)?)?,
                Arg::Long("arrivals") => arrivals = Some(text(&mut parser)?),
                Arg::Long("seed") => seed = Some(parser.value().map_err(said)?.parse::<u64>().map_err(said)?),
                Arg::Long("burst") => burst = Some(text(&mut parser)?),
                Arg::Short('c') | Arg::Long("connections") => arguments.connections = count("--connections", &text(&mut parser)?)?,
                Arg::Long("pipeline") => arguments.pipeline = count("--pipeline", &text(&mut parser)?)?,
                Arg::Long("http2") => arguments.http2 = true,
                Arg::Long("grpc") => (arguments.http2, arguments.grpc) = (true, true),
                Arg::Short('m') | Arg::Long("streams") => streams = Some(count("--streams", &text(&mut parser)?)?),
                Arg::Short('t') | Arg::Long("threads") => arguments.threads = count("--threads", &text(&mut parser)?)?,
                Arg::Short('X') | Arg::Long("method") => arguments.message.method = token(&text(&mut parser)?)?.to_owned(),
                Arg::Short('H') | Arg::Long("header") => arguments.message.fields.push(field(&text(&mut parser)?)?),
                Arg::Short('b') | Arg::Long("body") => {
                    let body = text(&mut parser)?;
                    match body.strip_prefix('@') {
                        Some(file) => arguments.body_file = Some(file.into()),
                        None => arguments.message.body = body.into_bytes(),
                    }
                }
                Arg::Long("message-size") => arguments.message_size = Some(bytes(&text(&mut parser)?)?),
                Arg::Long("urls") => arguments.urls = Some(parser.value().map_err(said)?.into()),
                Arg::Long("no-keep-alive") => arguments.message.closes = true,
                Arg::Long("ca") => arguments.trust.ca = Some(parser.value().map_err(said)?.into()),
                Arg::Long("insecure") => arguments.trust.anybody = true,
                Arg::Long("no-resumption") => arguments.trust.forgets = true,
                Arg::Long("timeout") => arguments.timeout = positive("--timeout", &text(&mut parser)?)?,
                Arg::Long("grace") => arguments.grace = Some(time(&text(&mut parser)?)?),
                Arg::Long("allow-remote") => arguments.allow_remote = true,
                Arg::Short('e') | Arg::Long("expect") => arguments.expectations.push(Expectation::read(&text(&mut parser)?)?),
                Arg::Long("gateway") => arguments.gateway = Some(text(&mut parser)?),
                Arg::Long("max-lag") => arguments.limits.lag = time(&text(&mut parser)?)?,
                Arg::Long("json") => arguments.json = Some(parser.value().map_err(said)?.into()),
                Arg::Long("hgrm") => arguments.hgrm = Some(parser.value().map_err(said)?.into()),
                Arg::Long("hlog") => arguments.hlog = Some(parser.value().map_err(said)?.into()),
                Arg::Long("html") => arguments.html = Some(parser.value().map_err(said)?.into()),
                Arg::Short('q') | Arg::Long("quiet") => arguments.quiet = true,
                Arg::Short('h') | Arg::Long("help") => arguments.help = true,
                other => return Err(said(other.unexpected())),
            }
        }
        if arguments.help {
            return Ok(arguments);
        }
        if arguments.url.is_some() == arguments.urls.is_some() {
            return Err("say whom to ask: a URL, or --urls FILE".to_owned());
        }
        if arguments.trust.anybody && arguments.trust.ca.is_some() {
            return Err("--insecure trusts anybody: leave out --ca, or that".to_owned());
        }
        if arguments.message_size.is_some() && (!arguments.message.body.is_empty() || arguments.body_file.is_some()) {
            return Err("messages are of --message-size, or what --body says: leave out one of them".to_owned());
        }
        if arguments.threads > arguments.connections {
            return Err("each thread needs a connection: more --connections, or fewer --threads".to_owned());
        }
        if !arguments.http2 && streams.is_some() {
            return Err("--streams is for --http2 and --grpc; without them there is --pipeline".to_owned());
        }
        if arguments.http2 {
            if arguments.pipeline > 1 {
                return Err("HTTP/2 has --streams: leave out --pipeline".to_owned());
            }
            arguments.pipeline = streams.unwrap_or(if arguments.message.closes { 1 } else { STREAMS });
        }
        if arguments.grpc && !matches!(arguments.message.method.as_str(), "" | "POST") {
            return Err("gRPC calls are POSTs: leave out --method".to_owned());
        }
        if arguments.pipeline > 1 && arguments.message.closes {
            return Err("more than one request at a time needs a connection that is kept: leave out --no-keep-alive".to_owned());
        }
        if arguments.message.method.is_empty() {
            let posts = arguments.grpc || !arguments.message.body.is_empty() || arguments.body_file.is_some();
            arguments.message.method = if posts { "POST" } else { "GET" }.to_owned();
        }
        let arrivals = match (arrivals.as_deref(), seed) {
            (None | Some("even"), None) => Arrivals::Even,
            (Some("poisson"), seed) => Arrivals::Poisson(seed.unwrap_or(1)),
            (None | Some("even"), Some(_)) => return Err("--seed is for --arrivals poisson".to_owned()),
            (Some(other), _) => return Err(format!("`{other}` is no --arrivals: write even or poisson")),
        };
        match rates {
            Some(rates) => {
                arguments.schedule = Some(Schedule::read(&rates, arguments.duration, burst.as_deref(), arrivals)?);
            }
            None if burst.is_some() || arrivals != Arrivals::Even => {
                return Err("--burst and --arrivals need a --rate".to_owned());
            }
            None => {}
        }
        Ok(arguments)
    }

    /// What was asked for, as names and values. Header fields by name only: their values may be secret.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = vec![
            ("connections", format!("up to {}", self.connections)),
            ("threads", self.threads.to_string()),
            ("requests at a time", format!("up to {} on a connection", self.pipeline)),
            ("keep-alive", if self.message.closes { "no" } else { "yes" }.to_owned()),
            ("timeout", show_time(self.timeout)),
            ("most own lag", format!("{} at p99", show_time(self.limits.lag))),
        ];
        if !self.message.fields.is_empty() {
            let names: Vec<&str> = self.message.fields.iter().map(|(name, _)| name.as_str()).collect();
            settings.push(("header fields", names.join(", ")));
        }
        if !self.message.body.is_empty() {
            settings.push(("body", show_bytes(self.message.body.len() as u64)));
        }
        settings.push(("made by", concat!("ringload ", env!("CARGO_PKG_VERSION")).to_owned()));
        settings
    }
}

fn text(parser: &mut Parser) -> Result<String, String> {
    parser.value().and_then(|value| value.string()).map_err(said)
}

fn count(name: &str, text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=MOST).contains(count));
    count.ok_or_else(|| format!("`{text}` is no number for {name}: write 1 to {MOST}"))
}

/// Nanoseconds of the option of this name, more than none.
///
/// # Errors
/// A sentence about what is wrong.
pub fn positive(name: &str, text: &str) -> Result<u64, String> {
    time(text)?.checked_sub(1).map(|nanos| nanos + 1).ok_or_else(|| format!("{name} has to be longer than nothing"))
}

fn said(error: lexopt::Error) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn read(line: &str) -> Result<Arguments, String> {
        Arguments::read(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn a_closed_loop_is_what_says_no_rate() {
        let arguments = read("-c 7 -t 2 -d 1s -X PUT -H a:b --no-keep-alive --timeout 2s --allow-remote http://a").unwrap();
        assert!(arguments.schedule.is_none() && arguments.allow_remote && arguments.message.closes);
        assert_eq!((arguments.connections, arguments.threads, arguments.duration), (7, 2, SECOND));
        assert_eq!((arguments.message.method.as_str(), arguments.message.fields.len(), arguments.timeout), ("PUT", 1, 2 * SECOND));
    }

    #[test]
    fn an_open_loop_has_a_schedule() {
        let arguments = read("a --rate 100 --arrivals poisson --seed 4 --burst 10:1s:2s -b x -e p99<1s --max-lag 5ms").unwrap();
        let schedule = Arc::new(arguments.schedule.unwrap());
        assert!((schedule.total() - 1050.0).abs() < 1e-9);
        let other = Arc::new(Schedule::read("100", 10 * SECOND, Some("10:1s:2s"), Arrivals::Poisson(4)).unwrap());
        assert_eq!(schedule.starts(0, 1).peek(), other.starts(0, 1).peek());
        assert_eq!((arguments.message.method.as_str(), arguments.message.body.as_slice()), ("POST", b"x".as_slice()));
        assert_eq!((arguments.expectations.len(), arguments.limits.lag), (1, 5_000_000));
        assert_eq!(read("-b @/tmp/a b").unwrap().body_file, Some("/tmp/a".into()));
        let depths = ["a", "a --http2", "a --grpc -m 3", "a --http2 --no-keep-alive"].map(|line| read(line).unwrap().pipeline);
        assert_eq!((depths, read("a --grpc").unwrap().message.method.as_str()), ([1, 10, 3, 1], "POST"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, told) in [
            ("", "say whom to ask"),
            ("a --urls b", "say whom to ask"),
            ("a b", "unexpected argument"),
            ("a --rate x", "is no rate"),
            ("a --arrivals poisson", "need a --rate"),
            ("a --burst 5:1s:2s", "need a --rate"),
            ("a --rate 5 --arrivals random", "even or poisson"),
            ("a --rate 5 --seed 3", "--seed is for"),
            ("a -c 0", "--connections"),
            ("a -c 1 -t 2", "each thread needs"),
            ("a --pipeline 0", "--pipeline"),
            ("a --pipeline 2 --no-keep-alive", "connection that is kept"),
            ("a --http2 --streams 2 --no-keep-alive", "connection that is kept"),
            ("a --http2 --pipeline 2", "has --streams"),
            ("a --streams 2", "is for --http2"),
            ("a --http2 -m 0", "--streams"),
            ("a --grpc -X GET", "are POSTs"),
            ("a --message-size 5x", "is no size"),
            ("ws://a --message-size 5 --body x", "leave out one"),
            ("a -d 0", "longer than nothing"),
            ("a --timeout 0s", "longer than nothing"),
            ("a -H x", "is no header"),
            ("a -X G@T", "no name that HTTP knows"),
            ("a --expect fast", "is no expectation"),
            ("a --pipelining", "--pipelining"),
        ] {
            let problem = read(line).err().unwrap_or_else(|| panic!("{line} is taken"));
            assert!(problem.contains(told), "{line}: {problem}");
        }
        assert!(read("--help").unwrap().help);
    }
}
