//! What a request's path and query ask the endpoint to do.

use std::time::Duration;

use http::{StatusCode, Uri};

/// Behaviour of one answer, put together from words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// What the body says.
    pub page: Page,
    /// The status, where the page doesn't know better.
    pub status: StatusCode,
    /// Bytes of a body of letters, in place of the page.
    pub size: Option<u64>,
    /// Wait before the head.
    pub delay: Duration,
    /// The body comes in pieces.
    pub trickle: Option<Trickle>,
    /// No answer ever comes.
    pub hang: bool,
    /// The connection is reset.
    pub reset: Option<Reset>,
    /// Requests in a million that are answered with `fail_status`.
    pub fail: u64,
    /// The status of those.
    pub fail_status: StatusCode,
    /// The `grpc-status` that gRPC calls end with.
    pub grpc_status: u8,
    /// The connection is closed behind the answer.
    pub close: bool,
    /// The body's length is not told in advance.
    pub chunked: bool,
    /// The answer begins before the request's body is read.
    pub early: bool,
    /// Pages made for programs are made for people.
    pub text: bool,
}

/// What a body says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// Who answers, and what was asked.
    Greeting,
    /// All there is.
    Help,
    /// The request as it arrived.
    Echo,
    /// The request's own body.
    Mirror,
    /// The request's header fields.
    Headers,
    /// Whether the endpoint is well.
    Health,
    /// Makes it well or not.
    Switch(bool),
    /// Requests and connections so far.
    Count,
}

/// A body that comes in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trickle {
    /// Bytes of a piece.
    pub bytes: u64,
    /// Wait before each piece but the first.
    pub interval: Duration,
}

/// When the connection is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// Before the head.
    Head,
    /// After so many bytes of the body.
    Body(u64),
}

/// Whether a word is followed by a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    None,
    Optional,
    Needed,
}

/// A million: the denominator of [`Script::fail`].
pub const MILLION: u64 = 1_000_000;
/// A trickle that doesn't say otherwise.
const TRICKLE: Trickle = Trickle { bytes: 10, interval: Duration::from_millis(100) };
/// Bytes of a trickle that has nothing else to say.
const TRICKLED: u64 = 100;

/// The words of a script: name, whether a value follows, an example as a path, what it does.
const WORDS: &[(&str, Value, &str, &str)] = &[
    ("status", Value::Needed, "/status/503", "answer with this status, 200 to 599"),
    ("size", Value::Needed, "/size/64k", "a body of so many bytes (k, m, g: times 1024); as a path also /bytes/1048576"),
    ("delay", Value::Needed, "/delay/200ms", "wait before the head (us, ms, s, m; a bare number is ms)"),
    ("trickle", Value::Optional, "/trickle/10:100ms", "send so many bytes, wait so long, and again; also ?bytes=10&interval=100ms"),
    ("chunked", Value::None, "/chunked", "Transfer-Encoding: chunked where else there is a Content-Length"),
    ("close", Value::None, "/close", "close the connection behind the answer"),
    ("hang", Value::None, "/hang", "read the request and never answer"),
    ("reset", Value::Optional, "/reset/1000", "reset the connection after so many bytes of the body; without a number before the head"),
    ("fail", Value::Optional, "/fail/0.3", "answer this fraction of requests with 503, evenly spread: 3 of any 10; also ?rate=0.3"),
    ("fail_status", Value::Needed, "/fail/fail_status/500", "the status of those"),
    (
        "grpc_status",
        Value::Needed,
        "/grpc_status/14",
        "end gRPC calls with this status, 0 to 16; others fail with 14 where they are to fail",
    ),
    ("early", Value::None, "/early/status/413", "answer before the request's body is read"),
    ("echo", Value::None, "/echo", "the request as JSON: method, target, headers, trailers, bytes and CRC-32 of its body"),
    ("text", Value::None, "/echo/text", "the same as text"),
    ("headers", Value::None, "/headers", "the request's header fields, a line each"),
    ("mirror", Value::None, "/mirror", "the request's own body"),
];

impl Script {
    /// Reads the script of a request target.
    ///
    /// A path that begins with a word is a script and has to be one to its end; any other path only says what is asked for.
    /// Of the query only the words count: whatever else is there is the client's own business.
    ///
    /// # Errors
    /// A sentence about what can't be understood.
    pub fn read(target: &Uri) -> Result<Script, String> {
        let mut script = Script::default();
        match target.path() {
            "/" => script.page = Page::Help,
            "/health" => script.page = Page::Health,
            "/health/up" => script.page = Page::Switch(true),
            "/health/down" => script.page = Page::Switch(false),
            "/count" => script.page = Page::Count,
            path => script.read_path(path)?,
        }
        for pair in target.query().unwrap_or_default().split('&') {
            let (name, value) = pair.split_once('=').map_or((pair, None), |(name, value)| (name, Some(value)));
            match name {
                "rate" => script.set("fail", value)?,
                "bytes" | "interval" => script.set_trickle(name, value.unwrap_or_default())?,
                name if find(name).is_some() => script.set(name, value.filter(|value| !value.is_empty()))?,
                _ => {}
            }
        }
        if script.trickle.is_some() && script.page == Page::Greeting && script.size.is_none() {
            script.size = Some(TRICKLED);
        }
        Ok(script)
    }

    /// Whether the request is a real one, not one about the endpoint itself.
    pub fn counts(&self) -> bool {
        !matches!(self.page, Page::Health | Page::Switch(_) | Page::Count)
    }

    /// Whether a request for a WebSocket gets one.
    pub fn switches(&self) -> bool {
        self.status == StatusCode::OK && self.fail == 0
    }

    fn read_path(&mut self, path: &str) -> Result<(), String> {
        let mut segments = path.split('/').skip(1).filter(|segment| !segment.is_empty()).peekable();
        let mut first = true;
        while let Some(segment) = segments.next() {
            let name = if segment == "bytes" { "size" } else { segment };
            let value = match find(name) {
                None if first => return Ok(()),
                None => return Err(format!("`{segment}` is no word of a script")),
                Some(Value::None) => None,
                Some(Value::Optional) => segments.next_if(|next| next.starts_with(|c: char| c.is_ascii_digit())),
                Some(Value::Needed) => segments.next(),
            };
            self.set(name, value)?;
            first = false;
        }
        Ok(())
    }

    fn set_trickle(&mut self, name: &str, value: &str) -> Result<(), String> {
        let trickle = self.trickle.get_or_insert(TRICKLE);
        match name {
            "bytes" => trickle.bytes = size(value).filter(|bytes| *bytes > 0).ok_or_else(|| wrong("bytes", value, "a size above 0"))?,
            _ => trickle.interval = duration(value).ok_or_else(|| wrong("interval", value, DURATIONS))?,
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: Option<&str>) -> Result<(), String> {
        match (find(name), value) {
            (Some(Value::Needed), None) => return Err(format!("`{name}` needs a value")),
            (Some(Value::None), Some(value)) if value != "1" && value != "true" => {
                return Err(format!("`{name}` takes no value, but has `{value}`"));
            }
            _ => {}
        }
        let text = value.unwrap_or_default();
        let status = || match text.parse() {
            Ok(code @ 200..=599) => StatusCode::from_u16(code).map_err(|error| error.to_string()),
            _ => Err(wrong(name, text, "a final status, 200 to 599")),
        };
        match name {
            "status" => self.status = status()?,
            "fail_status" => self.fail_status = status()?,
            "size" => self.size = Some(size(text).ok_or_else(|| wrong(name, text, "a size such as 1000, 64k or 1m"))?),
            "delay" => self.delay = duration(text).ok_or_else(|| wrong(name, text, DURATIONS))?,
            "trickle" => {
                self.trickle = Some(TRICKLE);
                if let Some(value) = value {
                    let (bytes, interval) = value.split_once(':').map_or((value, None), |(bytes, interval)| (bytes, Some(interval)));
                    self.set_trickle("bytes", bytes)?;
                    interval.map_or(Ok(()), |interval| self.set_trickle("interval", interval))?;
                }
            }
            "reset" => {
                let bytes = || size(text).ok_or_else(|| wrong(name, text, "a number of bytes"));
                self.reset = Some(if value.is_some() { Reset::Body(bytes()?) } else { Reset::Head });
            }
            "fail" => {
                let rate = if value.is_some() { text.parse::<f64>().ok() } else { Some(1.0) };
                let rate = rate.filter(|rate| (0.0..=1.0).contains(rate)).ok_or_else(|| wrong(name, text, "a fraction from 0 to 1"))?;
                // At most a million, so the conversion loses nothing that matters.
                self.fail = (rate * MILLION as f64).round() as u64;
            }
            "grpc_status" => {
                let status = text.parse().ok().filter(|status| *status <= 16);
                self.grpc_status = status.ok_or_else(|| wrong(name, text, "a gRPC status, 0 to 16"))?;
            }
            "hang" => self.hang = true,
            "close" => self.close = true,
            "chunked" => self.chunked = true,
            "early" => self.early = true,
            "text" => self.text = true,
            "echo" => self.page = Page::Echo,
            "mirror" => self.page = Page::Mirror,
            "headers" => self.page = Page::Headers,
            _ => unreachable!("each word of the table has its arm"),
        }
        Ok(())
    }
}

impl Default for Script {
    fn default() -> Self {
        Script {
            page: Page::Greeting,
            status: StatusCode::OK,
            size: None,
            delay: Duration::ZERO,
            trickle: None,
            hang: false,
            reset: None,
            fail: 0,
            fail_status: StatusCode::SERVICE_UNAVAILABLE,
            grpc_status: 0,
            close: false,
            chunked: false,
            early: false,
            text: false,
        }
    }
}

/// What the scripts can say, for a first-time reader.
pub fn help() -> String {
    let mut text = String::from(
        "A scripted HTTP endpoint: each request says in its path or query how it is to be answered.\n\n\
         WORDS: put them behind each other in a path (/delay/50ms/status/503), or into the query of any path\n\
         (/users/7?delay=50ms&status=503). Other paths are answered with who answered and what was asked.\n\n",
    );
    for (_, _, example, what) in WORDS {
        text.push_str(&format!("    {example:<23} {what}\n"));
    }
    text.push_str(
        "\nPAGES\n    \
         /health                 200 while the endpoint is well, 503 while it isn't\n    \
         POST /health/down       makes it unwell: only what /health says\n    \
         POST /health/up         makes it well again\n    \
         /count                  requests (other than for /health and /count) and connections so far, as JSON\n    \
         /                       this page\n\n\
         Each answer names its endpoint in `X-Endpoint`. A script that can't be understood is answered with 400 and why.\n",
    );
    text
}

fn find(name: &str) -> Option<Value> {
    WORDS.iter().find(|word| word.0 == name).map(|word| word.1)
}

/// What a duration looks like.
const DURATIONS: &str = "a duration such as 200ms or 1.5s";

fn wrong(name: &str, value: &str, wanted: &str) -> String {
    format!("`{name}` must be {wanted}, not `{value}`")
}

/// A number of bytes: `1000`, `64k`, `1m`, `10g`.
fn size(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()?.to_ascii_lowercase() {
        b'k' => (&text[..text.len() - 1], 10),
        b'm' => (&text[..text.len() - 1], 20),
        b'g' => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// A duration of at most a day.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "us" => 1e-6,
        "ms" | "" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        _ => return None,
    };
    let seconds = digits.parse::<f64>().ok()? * unit;
    (0.0..=86_400.0).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(target: &str) -> Result<Script, String> {
        Script::read(&target.parse().unwrap())
    }

    #[test]
    fn each_word_of_the_table_is_understood_and_changes_the_script() {
        for (_, _, example, _) in WORDS {
            assert_ne!(read(example).unwrap(), Script::default(), "{example}");
            assert!(help().contains(example), "{example}");
        }
    }

    #[test]
    fn a_path_and_a_query_say_the_same() {
        let path = read("/status/503/size/1k/delay/1.5s/trickle/7:2ms/reset/5/fail/0.25/close/chunked/early").unwrap();
        let query = read("/any?status=503&size=1024&delay=1500&trickle=7:2ms&reset=5&fail=0.25&close&chunked=1&early=true").unwrap();
        assert_eq!(path, query);
        assert_eq!((path.status.as_u16(), path.size, path.delay), (503, Some(1024), Duration::from_millis(1500)));
        assert_eq!(path.trickle, Some(Trickle { bytes: 7, interval: Duration::from_millis(2) }));
        assert_eq!((path.reset, path.fail), (Some(Reset::Body(5)), MILLION / 4));
        assert!(path.close && path.chunked && path.early && !path.hang);
    }

    #[test]
    fn a_query_completes_its_path() {
        assert_eq!(read("/fail?rate=0.3").unwrap().fail, 300_000);
        let trickle = read("/trickle?bytes=3&interval=1s").unwrap();
        assert_eq!(trickle.trickle, Some(Trickle { bytes: 3, interval: Duration::from_secs(1) }));
        assert_eq!(trickle.size, Some(TRICKLED));
        assert_eq!(read("/bytes/9?trickle").unwrap().size, Some(9));
        assert_eq!(read("/reset").unwrap().reset, Some(Reset::Head));
        assert_eq!(read("/reset/status/500").unwrap().status.as_u16(), 500);
    }

    #[test]
    fn other_paths_and_queries_are_left_alone() {
        for target in ["/users/7", "/users/status/503", "/users?q=status&page=2", "/x?"] {
            assert_eq!(read(target).unwrap(), Script::default(), "{target}");
        }
    }

    #[test]
    fn what_is_no_script_is_explained() {
        for (target, told) in [
            ("/status/abc", "`status` must be a final status, 200 to 599, not `abc`"),
            ("/status/100", "`status` must be a final status, 200 to 599, not `100`"),
            ("/status", "`status` needs a value"),
            ("/delay/1h", "`delay` must be a duration such as 200ms or 1.5s, not `1h`"),
            ("/delay/9999m", "`delay` must be a duration such as 200ms or 1.5s, not `9999m`"),
            ("/bytes/-1", "`size` must be a size such as 1000, 64k or 1m, not `-1`"),
            ("/bytes/99999999999g", "`size` must be a size such as 1000, 64k or 1m, not `99999999999g`"),
            ("/delay/1s/stauts/503", "`stauts` is no word of a script"),
            ("/x?fail=2", "`fail` must be a fraction from 0 to 1, not `2`"),
            ("/x?fail=NaN", "`fail` must be a fraction from 0 to 1, not `NaN`"),
            ("/x?trickle=0", "`bytes` must be a size above 0, not `0`"),
            ("/x?interval=soon", "`interval` must be a duration such as 200ms or 1.5s, not `soon`"),
            ("/x?hang=no", "`hang` takes no value, but has `no`"),
            ("/x?reset=x", "`reset` must be a number of bytes, not `x`"),
        ] {
            assert_eq!(read(target), Err(told.to_owned()), "{target}");
        }
    }
}
