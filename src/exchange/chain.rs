//! The chain of a request's route: asked link by link on the way in, and in reverse order on the answer's way out.

use super::{Exchange, Incoming, Refusal, Scratch, Stage, Step, View};
use crate::clock::Instant;
use crate::error::Reason;
use crate::http::{Framing, ResponseHead};
use crate::middleware::{Flow, Found, Notes, Request, Response};
use crate::router::RouteIndex;

impl Exchange {
    /// Asks the links that haven't let the request pass yet; `None` once all have.
    pub(super) fn pass_chain(&mut self, incoming: &Incoming<'_>, scratch: &mut Scratch, now: Instant, draw: u64) -> Option<Step> {
        let view = self.view.clone();
        if self.links < view.chain(self.route).len()
            && let Some(step) = self.ask_links(&view, incoming, scratch, now, draw)
        {
            return Some(step);
        }
        if self.preflight {
            // No link knows what it asks about, and the route doesn't serve its method.
            return Some(self.refuse(Reason::MethodNotAllowed));
        }
        if incoming.head.framing != Framing::None
            && let Some(step) = self.weigh_body(incoming.head.framing, &mut scratch.notes)
        {
            return Some(step);
        }
        if let Some(split) = &view.plan.routes[self.route].split {
            self.choose_arm(&view, split, incoming, scratch, draw);
        }
        self.stage = if view.plan.routes[self.route].cache.is_some() { Stage::Looking } else { Stage::Admitting };
        None
    }

    fn ask_links(&mut self, view: &View, incoming: &Incoming<'_>, scratch: &mut Scratch, now: Instant, draw: u64) -> Option<Step> {
        let path = if scratch.normal.is_empty() { incoming.head.path.of(incoming.bytes) } else { &scratch.normal };
        let mut request = Request {
            incoming,
            path,
            route: &view.plan.routes[self.route].name,
            found: Found {
                router: &view.plan.router,
                route: RouteIndex(self.route as u32),
                captures: &scratch.captures,
                path: if scratch.path.is_empty() { path } else { &scratch.path },
            },
            request_id: scratch.id.as_bytes(),
            trusted: &view.plan.trusted,
            again: std::mem::take(&mut self.again),
            reply: scratch.reply.take(),
            draw,
            address_key: &mut scratch.address_key,
            notes: &mut scratch.notes,
        };
        while let Some(link) = view.chain(self.route).get(self.links) {
            match link.on_request(&mut request, now) {
                Flow::Next => {
                    self.links += 1;
                    // What was answered was this link's question.
                    (request.again, request.reply) = (false, None);
                }
                Flow::Answer(answer) => return Some(Step::Answer(answer)),
                Flow::Refuse(denial) => {
                    let refusal = self.refusal(denial.reason);
                    return Some(Step::Refuse(Refusal { lines: denial.lines, ..refusal }));
                }
                Flow::Ask(question) => {
                    self.again = true;
                    return Some(Step::Ask(question));
                }
                Flow::Collect(most) => {
                    self.again = true;
                    return Some(Step::Collect(most));
                }
                Flow::Pause(time) => {
                    self.again = true;
                    self.stage = Stage::Held(now + time);
                    return Some(Step::Pause(now + time));
                }
            }
        }
        None
    }

    /// Refuses a body that is too large, as far as its size is known; says how long one is that was gathered.
    fn weigh_body(&mut self, framing: Framing, notes: &mut Notes) -> Option<Step> {
        let most = notes.body_max(self.view.plan.config.limits.body.get());
        let length = match (&notes.body, framing) {
            (Some(body), _) => body.len() as u64,
            (None, Framing::Length(length)) => length,
            _ => 0,
        };
        if notes.body.is_some() {
            notes.request.set("Content-Length", itoa::Buffer::new().format(length).as_bytes());
        }
        (most != 0 && length > most).then(|| self.refuse(Reason::BodyTooLarge))
    }

    /// The request's body has been gathered. What the client took for that isn't the answer's time.
    pub fn collected(&mut self, now: Instant) {
        self.begin_answer(now);
    }

    /// The request's body couldn't be gathered.
    pub fn uncollected(&mut self, reason: Reason) -> Step {
        self.refuse(reason)
    }

    /// Whether any link of the chain wants to see the answer.
    #[inline]
    pub fn is_chained(&self) -> bool {
        self.links > 0
    }

    /// Whether any of them looks at its head.
    #[inline]
    pub fn reads_heads(&self) -> bool {
        self.view.chain(self.route)[..self.links].iter().any(|link| link.reads_heads())
    }

    /// An answer's head is about to go to the client: the links that let the request pass note their changes to it. `head` is an
    /// endpoint's, with the bytes it was parsed from.
    #[inline]
    pub fn respond(&mut self, incoming: &Incoming<'_>, status: u16, head: Option<(&ResponseHead, &[u8])>, notes: &mut Notes, now: Instant) {
        if self.links > 0 {
            let mut response = Response { incoming, status, head, notes };
            for link in self.view.chain(self.route)[..self.links].iter().rev() {
                link.on_response(&mut response, now);
            }
            // Where the body is still to be edited, there may be a refusal in its place.
            if notes.rewrites.is_empty() {
                self.links = 0;
            }
        }
    }
}
