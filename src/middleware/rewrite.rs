//! Changes that depend on the request: its path by expression, its query, headers both ways by template, the answer's status. What is the
//! same for every message belongs to `headers`, and what a route's own pattern takes to its `rewrite_path`: both cost nothing per request.

use std::collections::BTreeMap;
use std::rc::Rc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::template::{Groups, Place, Template, is_named, write};
use super::{Flow, Middleware, Request, Response, Scope, Settings};
use crate::clock::Instant;
use crate::config::{HeaderEdits, Wrong};
use crate::http::{Changes, pair_of};
use crate::router::{Captures, Expression, normalise};

/// Settings of `rewrite`. Texts may have variables in them: `{client_ip}`, `{host}`, `{path}`, `{route}`, `{request_id}`, `{query.NAME}`,
/// `{header.NAME}`, `{param.NAME}` (what the route's pattern took); `{{` is a brace. They stand for what the client sent, with escapes as
/// they were; what isn't there is empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rewrite {
    /// The path that the endpoint sees; the first rule that matches counts.
    pub path: Vec<PathRule>,
    /// Changes to the query that the endpoint sees: removed, then renamed, then set.
    pub query: QueryEdits,
    /// Headers of the request.
    pub request: HeaderTemplates,
    /// Headers of the answer, the gateway's own included.
    pub response: HeaderTemplates,
    /// What an endpoint's status becomes: `{ "404": 204 }`. Under 204 and 205 an answer's body is left out.
    pub status: BTreeMap<String, u16>,
}

/// A rule for paths.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PathRule {
    /// What the path must match somewhere, as the route leaves it (without its `strip_prefix`); searched in linear time.
    pub regex: String,
    /// The whole new path: `/new/{1}/{name}`, with what the groups took, by number or name, besides the variables.
    pub to: String,
}

/// Changes to a query.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QueryEdits {
    /// Parameters taken away.
    pub remove: Vec<String>,
    /// Parameters that get another name.
    pub rename: BTreeMap<String, String>,
    /// Parameters replaced, or added where missing, by templates.
    pub set: BTreeMap<String, String>,
}

/// Headers by templates. One whose value comes out empty, or holds what can't stand in a header, isn't added.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HeaderTemplates {
    /// Headers replaced, or added where missing.
    pub set_headers: BTreeMap<String, String>,
    /// Headers added beside those of the same name.
    pub add_headers: BTreeMap<String, String>,
}

/// A rewrite made ready.
#[derive(Clone, Debug, Default)]
struct Ready {
    paths: Vec<(Expression, Template)>,
    remove: Vec<String>,
    rename: Vec<(String, Vec<u8>)>,
    set: Vec<(String, Vec<u8>, Template)>,
    request: Headers,
    response: Headers,
    status: Vec<(u16, u16)>,
}

/// Names with their templates, and whether they replace.
type Headers = Vec<(String, Template, bool)>;

impl Rewrite {
    /// Makes it ready; everything that is wrong with it.
    fn ready(&self) -> (Ready, Vec<Wrong>) {
        let (mut ready, mut wrongs) = (Ready::default(), Vec::new());
        if *self == Rewrite::default() {
            wrongs.push(Wrong::new("path", "is empty, as all others are: nothing is rewritten", "say what is, or leave the entry out"));
        }
        for (index, rule) in self.path.iter().enumerate() {
            let at = format!("path[{index}]");
            match Expression::new(&rule.regex) {
                Ok(expression) if expression.groups() > GROUPS_MAX => {
                    wrongs.push(Wrong::new(&format!("{at}.regex"), &format!("has more than {GROUPS_MAX} groups"), ""));
                }
                Ok(expression) => {
                    let to = template(&format!("{at}.to"), &rule.to, &expression.group_names(), &mut wrongs);
                    if to.as_ref().is_some_and(|to| !to.is_path()) {
                        let hint = "as in \"/new/{1}\"; other characters are written as in \"%20\"";
                        wrongs.push(Wrong::new(
                            &format!("{at}.to"),
                            "must be a path: begin with \"/\", without spaces, \"?\" and \"#\"",
                            hint,
                        ));
                    }
                    ready.paths.extend(to.map(|to| (expression, to)));
                }
                Err(message) => wrongs.push(Wrong::new(&format!("{at}.regex"), &message, "")),
            }
        }
        ready.remove.clone_from(&self.query.remove);
        let escaped = |name: &str| {
            let mut out = Vec::new();
            write(name.replace('%', "%25").as_bytes(), Place::Query, &mut out);
            out
        };
        ready.rename = self.query.rename.iter().map(|(old, new)| (old.clone(), escaped(new))).collect();
        for (name, value) in &self.query.set {
            let value = template(&format!("query.set.{name}"), value, &[], &mut wrongs);
            ready.set.extend(value.map(|value| (name.clone(), escaped(name), value)));
        }
        ready.request = headers(&self.request, "request", &mut wrongs);
        ready.response = headers(&self.response, "response", &mut wrongs);
        for (from, &to) in &self.status {
            match from.parse() {
                Ok(from) if is_free(from) && is_free(to) => ready.status.push((from, to)),
                _ => {
                    let message = "must turn one status from 200 to 599 into another, but for 206 and 304";
                    wrongs.push(Wrong::new(&format!("status.{from}"), message, "those two say how the body is to be put together"));
                }
            }
        }
        (ready, wrongs)
    }

    /// The route's parameters that it names, with the setting.
    pub fn parameters(&self) -> Vec<String> {
        let (Ready { paths, set, request, response, .. }, _) = self.ready();
        let headers = request.iter().chain(&response).map(|(_, template, _)| template);
        let all = paths.iter().map(|(_, to)| to).chain(set.iter().map(|(.., value)| value)).chain(headers);
        all.flat_map(Template::parameters).map(str::to_owned).collect()
    }

    /// Why it can't stand on a route that is cached, if it can't: answers would be mixed up that a cache's key doesn't tell apart.
    pub fn uncacheable(&self) -> Option<String> {
        let (Ready { paths, set, status, .. }, _) = self.ready();
        if !status.is_empty() {
            return Some("maps statuses, which stored answers keep".into());
        }
        let mut places = paths.iter().map(|(_, to)| to).chain(set.iter().map(|(.., value)| value));
        places
            .find_map(Template::beyond_url)
            .map(|variable| format!("asks the endpoint by {{{variable}}}, which the cache doesn't tell answers apart by"))
    }
}

/// A template; what is wrong with it goes to the others.
fn template(setting: &str, text: &str, groups: &[Option<String>], wrongs: &mut Vec<Wrong>) -> Option<Template> {
    match Template::parse(text, groups) {
        Ok(template) => Some(template),
        Err((message, hint)) => {
            wrongs.push(Wrong { value: Some(text.to_owned()), ..Wrong::new(setting, &message, &hint) });
            None
        }
    }
}

fn headers(settings: &HeaderTemplates, at: &str, wrongs: &mut Vec<Wrong>) -> Headers {
    let HeaderTemplates { set_headers, add_headers } = settings.clone();
    wrongs.extend(HeaderEdits { set_headers, add_headers, ..HeaderEdits::default() }.problems(at));
    let lists = [("set_headers", &settings.set_headers, true), ("add_headers", &settings.add_headers, false)];
    let all = lists.into_iter().flat_map(|(list, headers, set)| headers.iter().map(move |header| (list, header, set)));
    all.filter_map(|(list, (name, value), set)| Some((name.clone(), template(&format!("{at}.{list}.{name}"), value, &[], wrongs)?, set)))
        .collect()
}

/// Whether a status may be put in place of another, or be replaced.
const fn is_free(status: u16) -> bool {
    200 <= status && status <= 599 && status != 206 && status != 304
}

impl Settings for Rewrite {
    fn problems(&self) -> Vec<Wrong> {
        self.ready().1
    }

    fn rewrite(&self) -> Option<&Rewrite> {
        Some(self)
    }

    fn build(&self, _: &Scope<'_>) -> Option<Rc<dyn Middleware>> {
        Some(Rc::new(self.ready().0))
    }
}

impl Ready {
    /// The path in place of this one, if any rule matches; not settled yet.
    fn path(&self, request: &Request<'_>, path: &[u8]) -> Option<Vec<u8>> {
        let mut captures = Captures::default();
        let (_, to) = self.paths.iter().find(|(expression, _)| expression.search(path, &mut captures))?;
        let mut out = Vec::new();
        to.write(request, Groups { text: path, spans: captures.spans() }, Place::Path, &mut out);
        Some(out)
    }

    /// The query in place of this one.
    fn query(&self, request: &Request<'_>, query: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(query.len() + 32);
        let part = |out: &mut Vec<u8>| {
            if !out.is_empty() {
                out.push(b'&');
            }
        };
        for pair in query.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty()) {
            let name = pair_of(pair).0;
            if self.remove.iter().any(|gone| is_named(name, gone)) {
                continue;
            }
            let renamed = self.rename.iter().find(|(old, _)| is_named(name, old)).map(|(_, new)| new.as_slice());
            let shown = renamed.unwrap_or(name);
            if self.set.iter().any(|(set, ..)| is_named(shown, set)) {
                continue;
            }
            part(&mut out);
            out.extend_from_slice(shown);
            out.extend_from_slice(&pair[name.len()..]);
        }
        for (_, name, value) in &self.set {
            part(&mut out);
            out.extend_from_slice(name);
            out.push(b'=');
            value.write(request, Groups::default(), Place::Query, &mut out);
        }
        out
    }

    fn edits_query(&self) -> bool {
        !(self.remove.is_empty() && self.rename.is_empty() && self.set.is_empty())
    }
}

/// Sets and adds headers. A value that can't stand in a header is left out by [`Changes`].
fn put(headers: &Headers, request: &Request<'_>, changes: &mut Changes) {
    let mut value = Vec::new();
    for (name, template, set) in headers {
        value.clear();
        template.write(request, Groups::default(), Place::Header, &mut value);
        let value = value.trim_ascii();
        if *set {
            changes.remove(name);
        }
        if !value.is_empty() {
            changes.add(name, value);
        }
    }
}

impl Middleware for Ready {
    fn on_request(&self, request: &mut Request<'_>, _: Instant) -> Flow {
        if let Some(path) = self.path(request, request.forwarded()) {
            let mut settled = Vec::new();
            match normalise(&path, &mut settled) {
                Ok(changed) => request.notes.path = Some(if changed { settled } else { path }),
                Err(reason) => return Flow::refuse(reason),
            }
        }
        if self.edits_query() {
            let received = request.incoming.head.query.of(request.incoming.bytes);
            let query = self.query(request, request.notes.query.as_deref().unwrap_or(received));
            if query != received || request.notes.query.is_some() {
                request.notes.query = Some(query);
            }
        }
        // Taken out meanwhile, as templates see the request as a whole.
        for (headers, to) in [(&self.request, true), (&self.response, false)].into_iter().filter(|(headers, _)| !headers.is_empty()) {
            let notes = |request: &mut Request<'_>, changes: &mut Changes| {
                std::mem::swap(if to { &mut request.notes.request } else { &mut request.notes.response }, changes);
            };
            let mut changes = Changes::default();
            notes(request, &mut changes);
            put(headers, request, &mut changes);
            notes(request, &mut changes);
        }
        Flow::Next
    }

    fn on_response(&self, response: &mut Response<'_>, _: Instant) {
        if response.head.is_some()
            && let Some(&(_, to)) = self.status.iter().find(|(from, _)| *from == response.status)
        {
            response.notes.status = to;
        }
    }
}

/// Groups of one expression, at most.
const GROUPS_MAX: usize = 16;
