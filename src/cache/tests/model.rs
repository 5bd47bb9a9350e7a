//! RFC 9111 step by step for a shared cache, as slowly and as close to its text as can be; the cache must agree with it.
//!
//! Written from the text: no code of the cache is used. Times are whole seconds; an exchange takes none.

/// A response as its endpoint meant it.
#[derive(Clone, Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    /// `Cache-Control`, as directive and argument.
    pub(super) directives: Vec<(&'static str, Option<String>)>,
    /// `Expires`, in seconds from when it is received; `Err` for what is no date.
    pub(super) expires: Option<Result<i64, ()>>,
    /// `Date`, in seconds before it is received.
    pub(super) date: Option<i64>,
    pub(super) age: Option<u32>,
    /// `Last-Modified`, in seconds before it is received.
    pub(super) modified: Option<i64>,
    pub(super) etag: bool,
    pub(super) set_cookie: bool,
    /// `Vary: *`.
    pub(super) varies: bool,
}

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) authorization: bool,
    pub(super) directives: Vec<(&'static str, Option<String>)>,
    /// `Pragma: no-cache`.
    pub(super) pragma: bool,
}

/// What is to be done for a second request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Section 4: it can be reused.
    Reuse,
    /// Section 4.2.4: stale, but it may be served.
    Stale,
    /// It has to be forwarded.
    Forward,
    /// Section 5.2.1.7: 504.
    Timeout,
}

type Directives = [(&'static str, Option<String>)];

fn has(directives: &Directives, name: &str) -> bool {
    directives.iter().any(|(own, _)| *own == name)
}

/// Section 1.2.2: whole seconds; too many are so many. Section 4.2.1: what is invalid is stale, and of several the least counts.
fn seconds(directives: &Directives, name: &str) -> Option<i64> {
    let all = directives.iter().filter(|(own, _)| *own == name);
    all.map(|(_, argument)| argument.as_deref().map_or(0, number)).min()
}

fn number(text: &str) -> i64 {
    if text.is_empty() || text.contains(|c: char| !c.is_ascii_digit()) {
        return 0;
    }
    text.parse::<i64>().unwrap_or(i64::MAX).min(1 << 31)
}

/// RFC 9110 section 15.1, as far as whole responses go.
const HEURISTIC: &[u16] = &[200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501];

/// Section 3: storing responses in caches.
pub(super) fn stores(request: &Request, response: &Response) -> bool {
    let told = &response.directives;
    // "the request method is understood by the cache", "the response status code is final", and not a partial one.
    if [206, 304].contains(&response.status) {
        return false;
    }
    // "if [..] the must-understand cache directive is present, the cache understands the response status code"
    let understands = HEURISTIC.contains(&response.status) || [302, 303, 307, 400, 401, 403, 500, 502, 503, 504].contains(&response.status);
    if has(told, "must-understand") && !understands {
        return false;
    }
    // "the no-store cache directive is not present in the response", section 5.2.2.3: ignored beside must-understand.
    if has(told, "no-store") && !has(told, "must-understand") {
        return false;
    }
    // Section 5.2.1.5.
    if has(&request.directives, "no-store") {
        return false;
    }
    // "if the cache is shared: the private response directive is either not present or allows a shared cache to store a modified response"
    if has(told, "private") {
        return false;
    }
    // Section 3.5.
    if request.authorization && !["must-revalidate", "public", "s-maxage", "proxy-revalidate"].iter().any(|name| has(told, name)) {
        return false;
    }
    // Section 7.3: a setting, and on unless told otherwise. Section 4.1: `*` always fails to match.
    if response.set_cookie || response.varies {
        return false;
    }
    // "the response contains at least one of the following"
    has(told, "public")
        || response.expires.is_some()
        || has(told, "max-age")
        || has(told, "s-maxage")
        || HEURISTIC.contains(&response.status)
}

/// Section 4.2.1, for a shared cache; section 4.2.2, where a tenth of the time since the last change is guessed, up to a day.
pub(super) fn lifetime(response: &Response) -> i64 {
    let told = &response.directives;
    if let Some(seconds) = seconds(told, "s-maxage") {
        return seconds;
    }
    if let Some(seconds) = seconds(told, "max-age") {
        return seconds;
    }
    // Section 5.3: without a Date, the time of receipt.
    let date = -response.date.unwrap_or(0);
    if let Some(expires) = response.expires {
        return expires.map_or(0, |expires| (expires - date).clamp(0, 1 << 31));
    }
    let allowed = HEURISTIC.contains(&response.status) || has(told, "public");
    match response.modified {
        Some(modified) if allowed => ((date + modified).max(0) / 10).min(24 * 3600),
        _ => 0,
    }
}

/// Section 4.2.3, so long after it was received.
pub(super) fn age(response: &Response, resident: i64) -> i64 {
    let apparent_age = response.date.unwrap_or(0).max(0);
    let response_delay = 0;
    let corrected_age_value = response.age.map_or(0, i64::from) + response_delay;
    let corrected_initial_age = apparent_age.max(corrected_age_value);
    corrected_initial_age + resident
}

/// Section 4, so long after it was stored.
pub(super) fn answer(request: &Request, response: &Response, resident: i64) -> Answer {
    let (told, asked) = (&response.directives, &request.directives);
    let forward = if has(asked, "only-if-cached") { Answer::Timeout } else { Answer::Forward };
    let (age, lifetime) = (age(response, resident), lifetime(response));
    // Section 5.2.2.4, 5.2.1.4 and 5.4.
    if has(told, "no-cache") || has(asked, "no-cache") || (request.pragma && asked.is_empty()) {
        return forward;
    }
    // Section 5.2.1.1.
    if seconds(asked, "max-age").is_some_and(|most| age > most) {
        return forward;
    }
    // Section 5.2.1.3; what is no number asks for more than there is.
    let min_fresh = asked.iter().filter(|(name, _)| *name == "min-fresh");
    let min_fresh = min_fresh
        .map(|(_, argument)| argument.as_deref().filter(|text| text.bytes().all(|b| b.is_ascii_digit())).map_or(1 << 31, number))
        .max();
    // Section 4.2: "response_is_fresh = (freshness_lifetime > current_age)"
    if lifetime > age {
        return if min_fresh.is_some_and(|least| lifetime <= age + least) { forward } else { Answer::Reuse };
    }
    if min_fresh.is_some() {
        return forward;
    }
    // Section 4.2.4: not if prohibited "by an explicit in-protocol directive".
    let prohibited = ["must-revalidate", "proxy-revalidate"].iter().any(|name| has(told, name));
    let staleness = age - lifetime;
    // RFC 5861 section 3; the origin's own word, so s-maxage alone doesn't prohibit it.
    if !prohibited && seconds(told, "stale-while-revalidate").is_some_and(|most| most > 0 && staleness <= most) {
        return Answer::Stale;
    }
    // Section 5.2.1.2, and 5.2.2.10: s-maxage implies proxy-revalidate.
    let max_stale =
        asked.iter().filter(|(name, _)| *name == "max-stale").map(|(_, argument)| argument.as_deref().map_or(1 << 31, number)).min();
    if !prohibited && !has(told, "s-maxage") && max_stale.is_some_and(|most| staleness <= most) {
        return Answer::Stale;
    }
    forward
}
