//! One core's view of the plan: its state of every upstream, and its shares of the limits. A reload makes the next view from this one.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::calls::Calls;
use super::mirror::Copies;
use super::{Plan, RoutePlan, UpstreamPlan};
use crate::balancer::Seat;
use crate::cache::Cache;
use crate::clock::Instant;
use crate::limiter::{Limiters, Share};
use crate::metrics::{Count, Family};
use crate::middleware::{self, Entry, Ground, Keyring, Middleware, Scope, States, Tallies};
use crate::reconcile::{Report, ShareKey, ShareReport, Update};
use crate::tls;
use crate::upstream::{EndpointId, Switches, Upstream};

/// An upstream as this core knows it.
pub struct Member {
    /// The number under which connections are kept; reloads don't change it.
    pub pool: u32,
    /// Its endpoints.
    pub upstream: RefCell<Upstream>,
}

/// The links of a route's chain that decide something.
type Chain = Rc<[Rc<dyn Middleware>]>;

/// A share that views and requests hold together.
type Shared = Rc<RefCell<Share>>;

/// One core's view of the plan.
pub struct View {
    /// The plan.
    pub plan: Arc<Plan>,
    /// The gateway's concurrency limit.
    pub gateway: Shared,
    routes: Vec<Shared>,
    members: Vec<Rc<Member>>,
    chains: Vec<Chain>,
    /// Requests of each arm of each route's split.
    arms: Vec<Box<[Rc<Cell<u64>>]>>,
    /// Calls of gRPC by their status.
    pub(super) calls: Rc<Calls>,
    /// Copies of each route's requests.
    pub(super) copies: Vec<Option<Rc<Copies>>>,
    states: States,
    limiters: Rc<RefCell<Limiters>>,
    failures: Rc<Tallies>,
    keys: Rc<Keyring>,
    /// Requests that rules on trial would have refused.
    shadowed: Rc<Tallies>,
    /// Those that authentication on trial would have refused.
    admitted: Rc<Tallies>,
    /// This core's shard of the cache, if any route is cached.
    cache: Option<Cache>,
    /// Keeps the cache's hashes from being foreseen.
    seed: u64,
    seat: Seat,
    /// What each upstream's endpoints with `https://` are asked with.
    clients: Vec<Option<tls::Client>>,
    /// The number that the next upstream's connections are kept under.
    pools: u32,
    applied: Cell<u64>,
}

impl View {
    /// The first view. `seed` is a number by chance that nobody outside knows.
    pub fn new(plan: Arc<Plan>, seat: Seat, seed: u64, now: Instant) -> Self {
        let limits = &plan.config.limits;
        let gateway = Share::new(limits.max_concurrent_requests, limits.queue, seat.core, seat.cores);
        let view = View {
            gateway: Rc::new(RefCell::new(gateway)),
            routes: Vec::new(),
            members: Vec::new(),
            chains: Vec::new(),
            arms: Vec::new(),
            calls: Rc::default(),
            copies: Vec::new(),
            states: States::default(),
            limiters: Rc::new(RefCell::new(Limiters::new(seat.core))),
            failures: Rc::default(),
            keys: Rc::default(),
            shadowed: Rc::default(),
            admitted: Rc::default(),
            cache: None,
            seed,
            seat,
            clients: Vec::new(),
            pools: 0,
            applied: Cell::new(0),
            plan,
        };
        let plan = view.plan.clone();
        view.next(plan, now)
    }

    /// The view of another plan. Upstreams and routes of the same name keep all their state.
    pub fn next(&self, plan: Arc<Plan>, now: Instant) -> Self {
        let Seat { core, cores } = self.seat;
        let limits = &plan.config.limits;
        self.gateway.borrow_mut().reconfigure(limits.max_concurrent_requests, limits.queue, core, cores);
        let mut pools = self.pools;
        let known: HashMap<Arc<str>, &Rc<Member>> =
            self.members.iter().map(|member| (member.upstream.borrow().name().clone(), member)).collect();
        let switches = Switches::from(&plan.config.features);
        let members = plan.upstreams.iter().map(|upstream| match known.get(upstream.settings.id.as_str()) {
            Some(&member) => {
                member.upstream.borrow_mut().reconfigure(upstream.settings.clone(), switches, now);
                member.clone()
            }
            None => {
                pools += 1;
                let upstream = RefCell::new(Upstream::new(upstream.settings.clone(), switches, self.seat, now));
                Rc::new(Member { pool: pools - 1, upstream })
            }
        });
        let members = members.collect();
        let shares: HashMap<&str, &Shared> = self.plan.routes.iter().map(|route| &*route.name).zip(&self.routes).collect();
        let routes = plan.routes.iter().map(|route| self.share(route, shares.get(&*route.name).copied(), limits.queue));
        let routes = routes.collect();
        let limiters = self.limiters.clone();
        let (chains, states) = chains(
            &plan,
            self.seat,
            &self.states,
            [&self.failures, &self.shadowed, &self.admitted],
            &self.keys,
            &mut limiters.borrow_mut(),
        );
        let arms = plan.routes.iter().map(|route| self.arms_of(&plan, route)).collect();
        self.calls.keep(&plan);
        let copies = plan.routes.iter().map(|route| self.copies_of(route)).collect();
        View {
            gateway: self.gateway.clone(),
            routes,
            members,
            chains,
            arms,
            calls: self.calls.clone(),
            copies,
            states,
            limiters,
            failures: self.failures.clone(),
            keys: self.keys.clone(),
            shadowed: self.shadowed.clone(),
            admitted: self.admitted.clone(),
            cache: self.next_cache(&plan),
            seed: self.seed,
            seat: self.seat,
            clients: plan.upstreams.iter().map(|upstream| self.client(upstream)).collect(),
            pools,
            applied: self.applied.clone(),
            plan,
        }
    }

    /// The shard stays as long as any route is cached.
    fn next_cache(&self, plan: &Plan) -> Option<Cache> {
        let settings = &plan.config.cache;
        if plan.routes.iter().all(|route| route.cache.is_none()) {
            return None;
        }
        if let Some(cache) = &self.cache {
            cache.reconfigure(settings);
        }
        Some(self.cache.clone().unwrap_or_else(|| Cache::new(settings, self.seed)))
    }

    fn share(&self, route: &RoutePlan, known: Option<&Shared>, queue: u32) -> Shared {
        let Seat { core, cores } = self.seat;
        match known {
            Some(share) => {
                share.borrow_mut().reconfigure(route.concurrency, queue, core, cores);
                share.clone()
            }
            None => Rc::new(RefCell::new(Share::new(route.concurrency, queue, core, cores))),
        }
    }

    /// With the same settings an upstream's sessions can still be resumed.
    fn client(&self, upstream: &UpstreamPlan) -> Option<tls::Client> {
        let made = upstream.tls.as_ref()?;
        let same = |before: &UpstreamPlan| before.settings.id == upstream.settings.id && before.settings.tls == upstream.settings.tls;
        let before = self.plan.upstreams.iter().zip(&self.clients).find(|(before, _)| same(before));
        Some(before.and_then(|(_, client)| client.clone()).unwrap_or_else(|| made.own()))
    }

    /// How an endpoint is asked by TLS: with what, and the name that its certificate must have; `None` if it isn't.
    pub fn secured(&self, upstream: usize, endpoint: EndpointId) -> Option<(Arc<ClientConfig>, ServerName<'static>)> {
        let client = self.clients[upstream].as_ref()?;
        let name = client.name_of(&self.members[upstream].upstream.borrow().endpoint(endpoint).settings().url)?;
        Some((client.config.clone(), name))
    }

    /// An upstream, by its index in the plan.
    #[inline]
    pub fn upstream(&self, upstream: usize) -> &Member {
        &self.members[upstream]
    }

    /// Counts a request for an arm of the route's split.
    pub(super) fn count_arm(&self, route: usize, arm: usize) {
        let count = &self.arms[route][arm];
        count.set(count.get() + 1);
    }

    /// Takes that back.
    pub(super) fn uncount_arm(&self, route: usize, arm: usize) {
        let count = &self.arms[route][arm];
        count.set(count.get() - 1);
    }

    /// A route's chain.
    #[inline]
    pub fn chain(&self, route: usize) -> &[Rc<dyn Middleware>] {
        &self.chains[route]
    }

    /// The rate limits.
    pub fn limiters(&self) -> &RefCell<Limiters> {
        &self.limiters
    }

    /// This core's shard of the cache, if any route is cached.
    #[inline]
    pub fn cache(&self) -> Option<&Cache> {
        self.cache.as_ref()
    }

    /// The key sets that are fetched for it.
    pub fn keys(&self) -> &Keyring {
        &self.keys
    }

    /// A route's concurrency limit.
    #[inline]
    pub fn route(&self, route: usize) -> &RefCell<Share> {
        &self.routes[route]
    }

    /// All upstreams.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().map(Rc::as_ref)
    }

    /// Takes over what all cores together know, unless it is about another plan or something newer is known.
    pub fn apply(&self, update: &Update, now: Instant) {
        if update.generation != self.plan.generation || update.version <= self.applied.get() {
            return;
        }
        self.applied.set(update.version);
        for (index, truth) in update.upstreams.iter().enumerate() {
            let named = |member: &&Rc<Member>| *member.upstream.borrow().name() == truth.upstream;
            let member = self.members.get(index).filter(named).or_else(|| self.members.iter().find(named));
            if let Some(member) = member {
                member.upstream.borrow_mut().apply(truth, now);
            }
        }
        let mut next = 0;
        for share in &update.shares {
            match &share.key {
                ShareKey::Gateway => self.gateway.borrow_mut().apply(share.grant),
                ShareKey::Route(name) => {
                    // They come in the routes' order, if with gaps.
                    let routes = &self.plan.routes;
                    if let Some(index) = (next..routes.len()).chain(0..next).find(|&index| routes[index].name == *name) {
                        self.routes[index].borrow_mut().apply(share.grant);
                        next = index + 1;
                    }
                }
                ShareKey::Upstream(_) | ShareKey::Endpoint(..) => {}
            }
        }
    }

    /// What this core has seen and holds.
    pub fn report(&self, sequence: u64, now: Instant) -> Report {
        let mut shares = Vec::new();
        let mut add = |key: ShareKey, share: &RefCell<Share>| {
            let mut share = share.borrow_mut();
            if share.is_limited() {
                shares.push(ShareReport { key, claim: share.claim() });
            }
        };
        add(ShareKey::Gateway, &self.gateway);
        for (route, share) in self.plan.routes.iter().zip(&self.routes).filter(|(route, _)| route.concurrency != 0) {
            add(ShareKey::Route(route.name.clone()), share);
        }
        let upstreams = self.members.iter().map(|member| member.upstream.borrow_mut().report(now)).collect();
        Report {
            core: self.seat.core,
            sequence,
            generation: self.plan.generation,
            upstreams,
            shares,
            counts: self.counts(),
            keys_wanted: self.keys.take_wanted(),
            purges: Vec::new(),
        }
    }
}

impl View {
    /// The counts of a route's arms in the next plan: those of the same names go on.
    fn arms_of(&self, plan: &Plan, route: &RoutePlan) -> Box<[Rc<Cell<u64>>]> {
        let Some(split) = &route.split else { return Box::default() };
        let id = |plan: &Plan, upstream: usize| plan.upstreams[upstream].settings.id.clone();
        let before = self.plan.routes.iter().zip(&self.arms).find(|(other, _)| other.name == route.name);
        let count = |upstream: &usize| {
            let (other, counts) = before?;
            let mut arms = other.split.as_ref()?.upstreams.iter().zip(counts);
            Some(arms.find(|(other, _)| id(&self.plan, **other) == id(plan, *upstream))?.1.clone())
        };
        split.upstreams.iter().map(|upstream| count(upstream).unwrap_or_default()).collect()
    }

    fn counts(&self) -> Vec<Count> {
        let splits = self.plan.routes.iter().zip(&self.arms).filter_map(|(route, counts)| Some((route, route.split.as_ref()?, counts)));
        let arms = splits.flat_map(|(route, split, counts)| split.upstreams.iter().zip(counts).map(move |arm| (route, arm)));
        let arms = arms.map(|(route, (&upstream, count))| {
            let labels = [route.name.clone(), self.members[upstream].upstream.borrow().name().clone()];
            Count { family: Family::SplitRequests, labels, total: count.get() }
        });
        let tallies =
            [(Family::AuthFailures, &self.failures), (Family::AuthShadow, &self.admitted), (Family::IpFilterShadow, &self.shadowed)];
        let count = |family| move |(labels, total)| Count { family, labels, total };
        let tallied = tallies.into_iter().flat_map(|(family, tally)| tally.counts().into_iter().map(count(family)));
        arms.chain(tallied).chain(self.copied(&self.plan)).chain(self.called()).collect()
    }
}

/// Each route's chain. Links of the gateway's entries are the same for all routes, and routes without entries share one chain.
fn chains(
    plan: &Plan,
    seat: Seat,
    before: &States,
    [failures, shadowed, admitted]: [&Rc<Tallies>; 3],
    keys: &Rc<Keyring>,
    limiters: &mut Limiters,
) -> (Vec<Chain>, States) {
    let Plan { config, registry, secret, generation, .. } = plan;
    let (limits, kept) = (RefCell::default(), RefCell::default());
    let ground = Ground {
        registry,
        secret: *secret,
        generation: *generation,
        limiters: limits,
        before,
        kept,
        failures: failures.clone(),
        keys: keys.clone(),
        shadowed: shadowed.clone(),
        admitted: admitted.clone(),
    };
    let build = |entry: &Entry, name: &str| {
        let settings = entry.settings()?;
        let off = settings.rate_limit().is_some() && !config.features.rate_limit;
        if off || (settings.authenticates() && !config.features.authentication) {
            return None;
        }
        settings.build(&Scope::new((seat.core, seat.cores), name, entry, &ground))
    };
    let common: HashMap<&str, Rc<dyn Middleware>> =
        config.middlewares.iter().filter(|entry| entry.enabled).filter_map(|entry| Some((entry.id(), build(entry, entry.id())?))).collect();
    let link = |route: &str, entry: &Entry, own: bool| match own {
        true => build(entry, &format!("{route}/{}", entry.id())),
        false => common.get(entry.id()).cloned(),
    };
    let chain = |route: &str, own: &[Entry]| -> Chain {
        middleware::merged(&config.middlewares, own).into_iter().filter_map(|(entry, own)| link(route, entry, own)).collect()
    };
    let shared = chain("", &[]);
    let chains = config.routes.iter().map(|route| match route.middlewares.is_empty() {
        true => shared.clone(),
        false => chain(route.name(), &route.middlewares),
    });
    let chains = chains.collect();
    limiters.replace(ground.limiters.into_inner());
    (chains, ground.kept.into_inner())
}
