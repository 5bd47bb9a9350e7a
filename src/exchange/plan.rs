//! A configuration made ready to serve: what all cores share and none changes.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::answers::{Answers, chained_edits};
use super::{MirrorPlan, Page, SplitPlan};
use crate::access::Names;
use crate::cache;
use crate::clock::write_rfc3339;
use crate::config::{Cidr, Config, HostHeader, RequestIdFormat, Route, Time, Upstream, Wrong};
use crate::http::{Additions, Edits};
use crate::http1;
use crate::middleware::{self, AccessLog, Registry, Secret};
use crate::router::{RouteIndex, Router};
use crate::tls;

/// A configuration made ready to serve.
pub struct Plan {
    /// The settings it was made from.
    pub config: Arc<Config>,
    /// Hash of their meaning.
    pub hash: u64,
    /// Grows with each plan that is put to work, so that reports and updates about another one are told apart.
    pub generation: u64,
    /// Which routes match what.
    pub router: Router,
    /// The routes, in the order of the configuration.
    pub routes: Vec<RoutePlan>,
    /// The upstreams, in the order of the configuration.
    pub upstreams: Vec<UpstreamPlan>,
    /// What is added to every request.
    pub additions: Additions,
    /// Networks whose word about the client is believed.
    pub trusted: Vec<Cidr>,
    /// Middlewares that the program brings along.
    pub registry: Registry,
    /// What keys of rate limits are made with; another one is another client to them.
    pub secret: Secret,
    /// What answers get on their way, to requests that have no route.
    pub unrouted: Answers,
    /// What TLS is spoken with, if it is.
    pub tls: Option<tls::Server>,
    /// The port of `https://` that requests without TLS are sent to, if they are.
    pub redirect: Option<u16>,
    /// What records of the access log name by number.
    pub names: Arc<Names>,
    /// Whether and where requests without a route are logged.
    pub unrouted_access: Option<Access>,
    /// Paths the gateway answers itself.
    pub pages: Vec<(Box<[u8]>, Page)>,
    /// The shortest time limit among all settings: deadlines are looked at often enough for it.
    pub shortest_limit: Duration,
    /// A number by chance up to this one means that a request is traced; `None` if none is.
    pub tracing: Option<u64>,
    /// Limits of a request's head.
    pub head_limits: http1::Limits,
}

/// A route made ready.
pub struct RoutePlan {
    /// Its name.
    pub name: Arc<str>,
    /// The index of its upstream; of the first, if it has a split.
    pub upstream: usize,
    /// The upstreams that share its requests, if there are several.
    pub split: Option<Box<SplitPlan>>,
    /// Where copies of its requests go.
    pub mirror: Option<Box<MirrorPlan>>,
    /// Whether and where its requests are logged.
    pub access: Option<Access>,
    /// Changes to requests.
    pub request: Edits,
    /// Changes to responses.
    pub response: Answers,
    /// For the whole request; zero is no limit.
    pub timeout: Duration,
    /// For the first byte of an endpoint's answer; zero if `timeout` alone limits that.
    pub first_byte: Duration,
    /// Further attempts.
    pub retries: u32,
    /// Requests served at once, over all cores; 0 is no limit.
    pub concurrency: u32,
    /// How its answers are cached; `None` if they aren't.
    pub cache: Option<cache::Policy>,
}

/// Which requests get a line in which access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The log's number among the plan's.
    pub log: u8,
    /// Lines have the query.
    pub query: bool,
    /// A number by chance up to this one means that a request gets a line.
    pub threshold: u64,
    /// Failures get one in any case.
    pub failures: bool,
}

/// An upstream made ready.
pub struct UpstreamPlan {
    /// Its settings, the gateway's defaults put in.
    pub settings: Arc<Upstream>,
    /// For an endpoint to accept a connection.
    pub connect_timeout: Duration,
    /// Limits of a response's head.
    pub head_limits: http1::Limits,
    /// The Host that endpoints see, if it is neither the client's nor their own.
    pub host: HostHeader,
    /// What endpoints with `https://` are asked with, if there are any.
    pub tls: Option<tls::Client>,
}

/// A setting that can't be served, by its path in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanProblem {
    /// The setting: `routes[3].path`.
    pub path: String,
    /// What is wrong with it, and what to do.
    pub message: String,
}

impl Plan {
    /// Makes a checked configuration ready.
    ///
    /// # Errors
    /// Every pattern that can't be matched and every rewrite that can't be made.
    pub fn build(config: impl Into<Arc<Config>>, hash: u64, generation: u64) -> Result<Plan, Vec<PlanProblem>> {
        Plan::build_with(config, hash, generation, &Registry::default())
    }

    /// The same, with the middlewares that the program brings along.
    ///
    /// # Errors
    /// As [`Plan::build`], and what those middlewares say of their settings.
    pub fn build_with(config: impl Into<Arc<Config>>, hash: u64, generation: u64, registry: &Registry) -> Result<Plan, Vec<PlanProblem>> {
        let config = config.into();
        let router = Router::new(&config.routes).map_err(|problems| {
            problems
                .into_iter()
                .map(|problem| PlanProblem { path: format!("routes[{}].{}", problem.route, problem.field), message: problem.message })
                .collect::<Vec<_>>()
        })?;
        let by_id: std::collections::HashMap<&str, usize> =
            config.upstreams.iter().enumerate().map(|(index, upstream)| (upstream.id.as_str(), index)).collect();
        let mut problems = custom_problems(&config, registry);
        problems.extend(rewrite_problems(&config, &router));
        let mut logs = Vec::new();
        let unrouted_access = access(&config, &[], &mut logs);
        let common = chained_edits(&config, &[]);
        let routes: Vec<RoutePlan> = config
            .routes
            .iter()
            .enumerate()
            .map(|(index, route)| {
                let mirror = route.mirror.iter().map(|mirror| ("mirror.upstream".into(), mirror.upstream.as_str()));
                for (setting, upstream) in route.upstreams().chain(mirror).filter(|(_, upstream)| !by_id.contains_key(upstream)) {
                    // Without one, its chain answers every request.
                    if !upstream.is_empty() {
                        let message = format!("no upstream is named {upstream:?}");
                        problems.push(PlanProblem { path: format!("routes[{index}].{setting}"), message });
                    }
                }
                let index = |upstream: &str| by_id.get(upstream).copied().unwrap_or_default();
                RoutePlan { access: access(&config, &route.middlewares, &mut logs), ..RoutePlan::new(route, index, &config, &common) }
            })
            .collect();
        let tls = config.tls.listens().then(|| tls::Server::new(&config.tls, config.http2.enabled)).transpose().unwrap_or_else(|wrong| {
            problems.push(PlanProblem { path: format!("tls.{}", wrong.setting), message: wrong.message });
            None
        });
        let size = |size: crate::config::Size| usize::try_from(size.get()).unwrap_or(usize::MAX);
        let head_limits = http1::Limits {
            head: size(config.limits.head),
            headers: config.limits.headers as usize,
            uri: size(config.limits.uri),
            chunk_extension: size(config.limits.chunk_extension),
            trailers: size(config.limits.trailers),
        };
        let made = config.upstreams.iter().map(|upstream| UpstreamPlan::new(upstream, &config, head_limits).with_tls());
        let upstreams: Vec<UpstreamPlan> = made
            .enumerate()
            .filter_map(|(index, made)| {
                let problem =
                    |wrong: Wrong| PlanProblem { path: format!("upstreams[{index}].tls.{}", wrong.setting), message: wrong.message };
                made.map_err(|wrong| problems.push(problem(wrong))).ok()
            })
            .collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        let names = Names {
            generation,
            logs,
            routes: routes.iter().map(|route| route.name.clone()).collect(),
            upstreams: upstreams.iter().map(|upstream| upstream.settings.id.as_str().into()).collect(),
        };
        Ok(Plan {
            tracing: config.tracing.threshold(),
            shortest_limit: shortest_limit(&config, &routes, &upstreams),
            hash,
            generation,
            router,
            routes,
            upstreams,
            additions: additions(&config),
            registry: registry.clone(),
            secret: Secret::default(),
            unrouted: Answers::new(common.1, common.2),
            redirect: config.tls.redirect.then(|| config.tls.redirect_port.unwrap_or(config.tls.port)),
            tls,
            names: Arc::new(names),
            unrouted_access,
            trusted: config.listener.trusted_proxies.iter().filter_map(|network| network.parse().ok()).collect(),
            pages: pages(&config),
            head_limits,
            config,
        })
    }

    /// Until when each certificate of the TLS listener is good, in seconds since 1970 began, by its name.
    pub fn certificates(&self) -> Vec<(String, i64)> {
        self.tls.as_ref().map(|tls| tls.expiries.clone()).unwrap_or_default()
    }

    /// A sentence about each of them whose time is over: it is served all the same. `now` is in seconds since 1970 began.
    pub fn ended_certificates(&self, now: u64) -> Vec<String> {
        let ended = |end: &i64| u64::try_from(*end).unwrap_or(0) <= now;
        let tell = |(name, end): &(String, i64)| {
            let mut date = String::new();
            write_rfc3339(&mut date, u64::try_from(*end).unwrap_or(0) * 1000);
            format!("the certificate of {name:?} has ended on {}: clients refuse it", &date[..10])
        };
        self.certificates().iter().filter(|(_, end)| ended(end)).map(tell).collect()
    }

    /// Whether this peer's word about the client is believed.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(peer))
    }

    /// What answers get on their way to a request of this route, or of none; `bare` if the client's connection can't have TLS.
    pub fn response_edits(&self, route: Option<usize>, bare: bool) -> &Edits {
        route.map_or(&self.unrouted, |route| &self.routes[route].response).to(bare)
    }

    /// Whether and where requests of this route, or of none, are logged.
    #[inline]
    pub fn access(&self, route: Option<usize>) -> Option<Access> {
        route.map_or(self.unrouted_access, |route| self.routes[route].access)
    }

    /// The page the gateway answers itself at this path.
    #[inline]
    pub fn page(&self, path: &[u8]) -> Option<Page> {
        self.pages.iter().find(|(at, _)| **at == *path).map(|&(_, page)| page)
    }
}

impl RoutePlan {
    /// `common` are the edits of a route without middlewares of its own.
    fn new(route: &Route, index: impl Fn(&str) -> usize, config: &Config, common: &(Edits, Edits, Edits)) -> Self {
        let first = route.upstreams().next().map_or(0, |(_, upstream)| index(upstream));
        let (mut request, mut response, mut bare) = match route.middlewares.is_empty() {
            true => common.clone(),
            false => chained_edits(config, &route.middlewares),
        };
        route.request.put(&mut request);
        [&mut response, &mut bare].into_iter().for_each(|response| route.response.put(response));
        for (name, value) in &route.add_headers {
            request.add(name, value);
        }
        if let Some(mirror) = &route.mirror {
            request.remove(&mirror.header);
        }
        RoutePlan {
            name: route.name().into(),
            upstream: first,
            mirror: MirrorPlan::new(route, &request, &index),
            split: SplitPlan::new(route, index),
            access: None,
            request,
            response: Answers::new(response, bare),
            timeout: route.timeout.unwrap_or(config.timeouts.request).get(),
            first_byte: first_byte(route.timeout.map(Time::get), config.timeouts.first_byte.get()),
            retries: if config.features.retries { route.retry_count.unwrap_or(1) } else { 0 },
            concurrency: route.max_concurrent_requests,
            cache: (config.features.cache && route.is_cached())
                .then(|| cache::Policy::new(route.name(), &route.cache.clone().unwrap_or_default(), route.cache_ttl)),
        }
    }
}

impl UpstreamPlan {
    fn new(upstream: &Upstream, config: &Config, head_limits: http1::Limits) -> Self {
        let circuit_breaker = config.breaker_of(upstream).cloned();
        UpstreamPlan {
            settings: Arc::new(Upstream { circuit_breaker, ..upstream.clone() }),
            connect_timeout: upstream.connect_timeout.unwrap_or(config.timeouts.connect).get(),
            head_limits: http1::Limits { head: usize::try_from(upstream.keep_alive.head.get()).unwrap_or(usize::MAX), ..head_limits },
            host: upstream.host_header.clone(),
            tls: None,
        }
    }

    /// The same, with what it takes to ask its endpoints by TLS.
    fn with_tls(mut self) -> Result<Self, Wrong> {
        if self.settings.is_secure() {
            self.tls = Some(tls::Client::new(&self.settings.tls, self.settings.protocol)?);
        }
        Ok(self)
    }
}

/// What the middlewares that the program brings along say of their settings.
fn custom_problems(config: &Config, registry: &Registry) -> Vec<PlanProblem> {
    let own = config.routes.iter().enumerate().filter(|(_, route)| !route.middlewares.is_empty());
    let own = own.map(|(index, route)| (format!("routes[{index}].middlewares"), &route.middlewares));
    let lists = [("middlewares".to_owned(), &config.middlewares)].into_iter().chain(own);
    let entries =
        lists.flat_map(|(at, entries)| entries.iter().enumerate().map(move |(index, entry)| (format!("{at}[{index}].custom"), entry)));
    let problem = |(path, entry): (String, &middleware::Entry)| {
        let message = registry.make(entry.custom.as_ref().filter(|_| entry.enabled)?).err()?;
        Some(PlanProblem { path, message })
    };
    entries.filter_map(problem).collect()
}

/// What of a rewrite doesn't fit its route.
fn rewrite_problems(config: &Config, router: &Router) -> Vec<PlanProblem> {
    let mut problems = Vec::new();
    for (index, route) in config.routes.iter().enumerate() {
        let chain = middleware::merged(&config.middlewares, &route.middlewares);
        for (entry, own) in chain {
            let Some(rewrite) = entry.settings().and_then(middleware::Settings::rewrite) else { continue };
            let at = route.middlewares.iter().position(|other| own && other.id() == entry.id());
            let path = at.map_or(format!("routes[{index}]"), |at| format!("routes[{index}].middlewares[{at}].rewrite"));
            // What the gateway's entries name, any of its routes may have.
            let lacking = rewrite.parameters().into_iter().filter_map(|name| router.lacks(RouteIndex(index as u32), &name)).filter(|_| own);
            problems.extend(lacking.map(|message| PlanProblem { path: path.clone(), message }));
            if config.features.cache
                && route.is_cached()
                && let Some(why) = rewrite.uncacheable()
            {
                let message = format!("is cached, but its rewrite {:?} {why}", entry.id());
                problems.push(PlanProblem { path: format!("routes[{index}].cache_enabled"), message });
            }
        }
    }
    problems
}

/// The access log of a chain, which is put into the list if it isn't there. Different ones beyond the 256th are left out.
fn access(config: &Config, own: &[middleware::Entry], logs: &mut Vec<AccessLog>) -> Option<Access> {
    let chain = middleware::merged(&config.middlewares, own);
    let settings = chain.iter().rev().find_map(|(entry, _)| entry.access_log.as_ref())?;
    let index = logs.iter().position(|known| known == settings).unwrap_or_else(|| {
        logs.push(settings.clone());
        logs.len() - 1
    });
    let log = u8::try_from(index).ok()?;
    Some(Access { log, query: settings.query, threshold: settings.threshold(), failures: settings.failures })
}

fn additions(config: &Config) -> Additions {
    let forwarding = &config.forwarding;
    Additions {
        x_forwarded: forwarding.x_forwarded,
        forwarded: forwarding.forwarded,
        request_id: forwarding.request_id,
        id_to_client: forwarding.request_id && forwarding.request_id_to_client,
        uuid: forwarding.request_id_format == RequestIdFormat::Uuid,
    }
}

fn pages(config: &Config) -> Vec<(Box<[u8]>, Page)> {
    let pages = Page::built_in(&config.built_in).into_iter();
    let served = pages.filter(|(_, page)| *page != Page::Metrics || config.features.metrics);
    served.map(|(path, page)| (path.as_bytes().into(), page)).collect()
}

fn shortest_limit(config: &Config, routes: &[RoutePlan], upstreams: &[UpstreamPlan]) -> Duration {
    let timeouts = &config.timeouts;
    let all = [timeouts.read, timeouts.body_idle, timeouts.write, timeouts.idle, timeouts.first_byte, timeouts.upgrade_idle];
    let all = all.into_iter().chain([config.limits.queue_timeout]).map(Time::get);
    let all = all.chain(upstreams.iter().flat_map(|upstream| [upstream.connect_timeout, upstream.settings.queue.timeout.get()]));
    let all = all.chain(routes.iter().map(|route| route.timeout));
    let all = all.chain(config.routes.iter().filter_map(|route| Some(route.mirror.as_ref()?.timeout.get())));
    all.filter(|limit| !limit.is_zero()).min().unwrap_or(Duration::MAX)
}

/// How long an endpoint may take to begin its answer: a route whose own timeout is longer, as those of long polls are, means it.
fn first_byte(own: Option<Duration>, usual: Duration) -> Duration {
    if own.is_some_and(|own| own.is_zero() || own > usual) { Duration::ZERO } else { usual }
}
