//! The link itself: finds a credential, looks up what is remembered of it or has it checked, and lets in or refuses.

use std::cell::RefCell;
use std::fmt::Write;
use std::rc::Rc;
use std::time::Duration;

use super::super::{Denial, Flow, Middleware, Mode, Request, Scope, Tallies};
use super::scheme::{Call, Found, Judgement, Scheme};
use super::{Auth, Way};
use crate::auth::{Memory, Seed, Verified};
use crate::clock::Instant;
use crate::error::Reason;
use crate::http::write_line;

/// One core's link.
pub(super) struct Link {
    schemes: Vec<Box<dyn Scheme>>,
    seed: Seed,
    good: RefCell<Memory<Rc<Admission>>>,
    /// Kept apart, so that wrong credentials don't put out right ones.
    bad: RefCell<Memory<Rc<Refusal>>>,
    /// What a client without a credential is told.
    challenges: Vec<u8>,
    realm: String,
    strip: bool,
    claims_to_headers: Vec<(String, String)>,
    require_scopes: Vec<String>,
    require_roles: Vec<String>,
    roles_claim: String,
    failures: Rc<Tallies>,
    /// Where those are counted, under which name, that are let in all the same.
    shadowed: Option<(Box<str>, Rc<Tallies>)>,
}

/// Somebody who isn't let in.
struct Refusal {
    reason: Reason,
    /// Header lines in place of the usual challenge.
    lines: Option<Vec<u8>>,
}

/// Somebody who has proved who they are, and what follows from it.
struct Admission {
    verified: Rc<Verified>,
    /// Header lines for the endpoint.
    lines: Vec<u8>,
    allowed: bool,
}

impl Link {
    pub(super) fn new(settings: &Auth, scope: &Scope<'_>) -> Self {
        let seed = Seed(scope.ground.secret.0);
        let ways = settings.any.iter().flat_map(Way::kinds);
        let schemes: Vec<_> = ways.map(|(_, proof)| proof.build(seed, &scope.ground.keys)).collect();
        let mut challenges: Vec<Vec<u8>> = schemes.iter().map(|scheme| challenge(&settings.realm, &**scheme, "")).collect();
        challenges.dedup();
        Link {
            seed,
            good: RefCell::new(Memory::new(settings.remembered_max)),
            bad: RefCell::new(Memory::new(settings.remembered_max)),
            challenges: challenges.concat(),
            schemes,
            realm: settings.realm.clone(),
            strip: settings.strip_credential && settings.mode == Mode::Enforce,
            claims_to_headers: settings.claims_to_headers.clone().into_iter().collect(),
            require_scopes: settings.require_scopes.clone(),
            require_roles: settings.require_roles.clone(),
            roles_claim: settings.roles_claim.clone(),
            failures: scope.ground.failures.clone(),
            shadowed: (settings.mode == Mode::Shadow).then(|| (scope.name.into(), scope.ground.admitted.clone())),
        }
    }

    #[inline]
    fn let_in(&self, scheme: &dyn Scheme, admission: &Admission, request: &mut Request<'_>) -> Flow {
        let notes = &mut *request.notes;
        let identity = &mut notes.marks.identity;
        identity.clear();
        identity.extend_from_slice(admission.verified.identity.as_bytes());
        if !admission.allowed {
            return self.refuse(scheme, Reason::AuthForbidden);
        }
        if self.strip {
            scheme.strip(request);
        }
        let notes = &mut *request.notes;
        notes.verified = Some(admission.verified.clone());
        if !admission.lines.is_empty() {
            notes.request.add_lines(&admission.lines);
        }
        Flow::Next
    }

    /// Checks what nothing is remembered of.
    #[inline(never)]
    fn check(&self, scheme: &dyn Scheme, credential: &[u8], hash: u128, request: &mut Request<'_>, now: Instant) -> Flow {
        if let Some(refusal) = self.bad.borrow().find(hash, now) {
            return self.turn_away(scheme, refusal);
        }
        let call = Call { reply: request.reply.take(), wall: request.incoming.wall, now, again: request.again };
        match scheme.check(credential, call) {
            Judgement::Verified(verified, lines, time) => {
                let admission = Rc::new(self.admission(verified, lines));
                self.good.borrow_mut().keep(hash, admission.clone(), now + time, now);
                self.let_in(scheme, &admission, request)
            }
            Judgement::Refused(reason, lines, time) => {
                let refusal = Rc::new(Refusal { reason, lines });
                self.bad.borrow_mut().keep(hash, refusal.clone(), now + time, now);
                self.turn_away(scheme, &refusal)
            }
            Judgement::Pause(time) => Flow::Pause(time),
            Judgement::Ask(question) => Flow::Ask(question),
        }
    }

    fn admission(&self, verified: Rc<Verified>, mut lines: Vec<u8>) -> Admission {
        for (header, claim) in &self.claims_to_headers {
            let value = verified.text(claim).filter(|text| !text.chars().any(char::is_control) && text.len() <= CLAIM_MAX);
            if let Some(value) = value {
                write_line(&mut lines, header.as_bytes(), value.as_bytes());
            }
        }
        let has_scope = |scope: &String| verified.has("scope", scope) || verified.has("scp", scope);
        let scopes = self.require_scopes.iter().all(has_scope);
        let roles = self.require_roles.is_empty() || self.require_roles.iter().any(|role| verified.has(&self.roles_claim, role));
        Admission { lines, allowed: scopes && roles, verified }
    }

    #[cold]
    fn count(&self, kind: &str, reason: Reason) {
        match &self.shadowed {
            Some((name, tally)) => tally.add([name, reason.code()]),
            None => self.failures.add([kind, reason.code()]),
        }
    }

    #[cold]
    fn turn_away(&self, scheme: &dyn Scheme, refusal: &Refusal) -> Flow {
        let Some(lines) = &refusal.lines else { return self.refuse(scheme, refusal.reason) };
        self.count(scheme.kind(), refusal.reason);
        Flow::Refuse(Box::new(Denial { reason: refusal.reason, lines: lines.clone() }))
    }

    #[cold]
    fn refuse(&self, scheme: &dyn Scheme, reason: Reason) -> Flow {
        self.count(scheme.kind(), reason);
        let bearer = scheme.challenge().0 == "Bearer";
        let lines = match reason.status() {
            // RFC 6750 section 3.1.
            401 => challenge(&self.realm, scheme, if bearer { ", error=\"invalid_token\"" } else { "" }),
            400 => challenge(&self.realm, scheme, if bearer { ", error=\"invalid_request\"" } else { "" }),
            403 if bearer && !self.require_scopes.is_empty() => {
                let told = format!(", error=\"insufficient_scope\", scope=\"{}\"", self.require_scopes.join(" "));
                challenge(&self.realm, scheme, &told)
            }
            _ => Vec::new(),
        };
        Flow::Refuse(Box::new(Denial { reason, lines }))
    }

    #[inline]
    fn decide(&self, request: &mut Request<'_>, now: Instant) -> Flow {
        let mut foreign = None;
        for (index, scheme) in self.schemes.iter().enumerate() {
            let credential = match scheme.find(request) {
                Found::Absent => continue,
                Found::Foreign => {
                    foreign.get_or_insert(scheme);
                    continue;
                }
                Found::Repeated => return self.refuse(&**scheme, Reason::AuthRepeated),
                Found::There(credential) => credential,
            };
            let hash = self.seed.hash(index as u64 | scheme.version() << 8, &credential);
            if let Some(admission) = self.good.borrow().find(hash, now) {
                return self.let_in(&**scheme, admission, request);
            }
            return self.check(&**scheme, &credential, hash, request, now);
        }
        if let Some(scheme) = foreign {
            return self.refuse(&**scheme, Reason::AuthInvalid);
        }
        self.count("none", Reason::AuthMissing);
        Flow::Refuse(Box::new(Denial { reason: Reason::AuthMissing, lines: self.challenges.clone() }))
    }
}

impl Middleware for Link {
    fn on_request(&self, request: &mut Request<'_>, now: Instant) -> Flow {
        match self.decide(request, now) {
            Flow::Refuse(_) if self.shadowed.is_some() => Flow::Next,
            flow => flow,
        }
    }
}

/// `WWW-Authenticate` (RFC 9110 section 11.6.1).
fn challenge(realm: &str, scheme: &dyn Scheme, more: &str) -> Vec<u8> {
    let (name, params) = scheme.challenge();
    let mut line = String::new();
    // Writing to a text can't fail.
    let _ = write!(line, "WWW-Authenticate: {name} realm=\"{realm}\"{params}{more}\r\n");
    line.into_bytes()
}

/// Bytes of a claim that a header may tell.
const CLAIM_MAX: usize = 4096;

/// How long it may be remembered who has a secret that the configuration names.
pub(super) const STATIC: Duration = Duration::from_secs(3600);
