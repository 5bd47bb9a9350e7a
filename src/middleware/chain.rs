//! What a link of a chain sees of a request and its answer, and what it may ask for.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use super::question::{Question, Reply};
use super::{Admitted, Compression, Editing, Incoming};
use crate::auth::Verified;
use crate::clock::Instant;
use crate::config::Cidr;
use crate::error::Reason;
use crate::http::{Changes, ResponseHead};
use crate::http2::web::Form;
use crate::router::{Captures, RouteIndex, Router};

/// One link of a route's chain on one core. What it remembers stands in cells: requests of a core don't run at the same time.
pub trait Middleware {
    /// A request on its way to an endpoint. After [`Flow::Pause`], [`Flow::Ask`] and
    /// [`Flow::Collect`] it is asked once more.
    fn on_request(&self, request: &mut Request<'_>, now: Instant) -> Flow {
        let _ = (request, now);
        Flow::Next
    }

    /// The head of an answer on its way to the client: an endpoint's, or one that the gateway made. Links are asked in reverse order,
    /// those only that let the request pass.
    fn on_response(&self, response: &mut Response<'_>, now: Instant) {
        let _ = (response, now);
    }

    /// Whether it looks at the heads of answers. If no link of a chain does, one that is served from the cache isn't read for them:
    /// they get none.
    fn reads_heads(&self) -> bool {
        true
    }
}

/// A request as the chain sees it.
pub struct Request<'a> {
    /// Its head, and who sent it.
    pub incoming: &'a Incoming<'a>,
    /// The received path without dot segments.
    pub path: &'a [u8],
    /// The route's name.
    pub route: &'a str,
    /// What the route made of the path.
    pub found: Found<'a>,
    /// The id that the gateway gave it.
    pub request_id: &'a [u8],
    /// Networks whose word about the client is believed.
    pub trusted: &'a [Cidr],
    /// Whether this link has been asked about this request before, and asked for something in return.
    pub again: bool,
    /// The answer to what it asked, if it did.
    pub reply: Option<Box<Reply>>,
    /// A number by chance.
    pub draw: u64,
    /// Who the connection's last client proved to be.
    pub admitted: &'a mut Option<Admitted>,
    /// The address of the connection's last client and the key of its own: making it costs more than seeing that it is the same.
    pub address_key: &'a mut Option<(IpAddr, u128)>,
    /// What is to become of the request and its answer.
    pub notes: &'a mut Notes,
}

impl Request<'_> {
    /// The client's address, as far as trusted proxies tell.
    pub fn client(&self) -> IpAddr {
        self.incoming.client(self.trusted)
    }

    /// Whether what the peer says of its client is believed.
    pub fn trusts_peer(&self) -> bool {
        self.trusted.iter().any(|network| network.contains(self.incoming.peer))
    }

    /// What the route's pattern took from the path under this name; `*` is its last star.
    pub fn parameter(&self, name: &str) -> Option<&[u8]> {
        let Found { router, route, captures, .. } = self.found;
        router.parameter(route, name, self.path, captures)
    }

    /// The path that the endpoint sees, as far as it is decided.
    pub fn forwarded(&self) -> &[u8] {
        self.notes.path.as_deref().unwrap_or(self.found.path)
    }
}

/// What a route made of a request's path.
#[derive(Clone, Copy)]
pub struct Found<'a> {
    /// The routes.
    pub router: &'a Router,
    /// This one.
    pub route: RouteIndex,
    /// What its pattern took from the path.
    pub captures: &'a Captures,
    /// The path that its endpoint sees.
    pub path: &'a [u8],
}

/// An answer's head as the chain sees it.
pub struct Response<'a> {
    /// The request it answers.
    pub incoming: &'a Incoming<'a>,
    /// Its status.
    pub status: u16,
    /// An endpoint's head with the bytes it was parsed from; `None` for an answer of the gateway's own.
    pub head: Option<(&'a ResponseHead, &'a [u8])>,
    /// What is to become of the request and its answer.
    pub notes: &'a mut Notes,
}

impl Response<'_> {
    /// Says that the body isn't byte for byte the one that a strong validator stood for (RFC 9110 section 8.8.1).
    pub(super) fn weaken(&mut self, etag: &[u8]) {
        let changes = &mut self.notes.response;
        if etag.starts_with(b"\"") && !changes.drops(b"ETag") {
            changes.set("ETag", &[b"W/", etag].concat());
        }
    }
}

/// What a chain decided about one request. Kept with the client's connection and reused.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// Changes to the request's headers, beside those of the route.
    pub request: Changes,
    /// The path that the endpoint sees, if it isn't the route's.
    pub path: Option<Vec<u8>>,
    /// The status that the client sees, if it isn't the endpoint's; 0 is none.
    pub status: u16,
    /// The query that the endpoint sees, if it isn't the received one; empty is none.
    pub query: Option<Vec<u8>>,
    /// Changes to the answer's headers, beside those of the route.
    pub response: Changes,
    /// How the answer's body is encoded on its way, if it is.
    pub encoding: Option<Encoding>,
    /// It is a call of gRPC-Web, and wants its answer in this form.
    pub web: Option<Form>,
    /// The request's whole body, once a link has asked for it ([`Flow::Collect`]): what the endpoint gets.
    pub body: Option<Vec<u8>>,
    /// How the answer's body is edited as a whole, one after the other.
    pub rewrites: Vec<Editing>,
    /// What the access log tells of it.
    pub marks: Marks,
    /// Who the client has proved to be.
    pub verified: Option<Rc<Verified>>,
    /// Bytes that the body may have in place of what the gateway lets it have; 0 is no limit of its own.
    body_max: u64,
}

/// What an answer's body becomes on its way.
#[derive(Clone, Debug)]
pub enum Encoding {
    /// Compressed.
    Compressed(Compression),
    /// What gRPC-Web has in its place, with the trailers.
    Web(Form),
}

/// What links and the cache leave for the access log; empty is nothing to tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// What the cache did: `hit`, `miss`, ..
    pub cache: &'static str,
    /// What the rate limits said: `allowed`, `limited`, `shadow`, ..
    pub rate_limit: &'static str,
    /// Who the client proved to be. Never a secret.
    pub identity: Vec<u8>,
}

impl Notes {
    /// Lets the body have so many bytes at most, in place of what the gateway lets it have.
    pub fn limit_body(&mut self, bytes: u64) {
        self.body_max = if self.body_max == 0 { bytes } else { bytes.min(self.body_max) };
    }

    /// Bytes that a body may have that the gateway lets have `gateway`; 0 is no limit.
    pub fn body_max(&self, gateway: u64) -> u64 {
        if self.body_max == 0 { gateway } else { self.body_max }
    }

    /// Forgets all: another request begins.
    #[inline]
    pub fn clear(&mut self) {
        self.request.clear();
        self.response.clear();
        self.body_max = 0;
        self.marks.cache = "";
        self.marks.rate_limit = "";
        self.marks.identity.clear();
        self.verified = None;
        self.query = None;
        self.encoding = None;
        self.web = None;
        self.path = None;
        self.status = 0;
        self.body = None;
        self.rewrites.clear();
    }
}

/// What a link wants.
#[derive(Debug)]
pub enum Flow {
    /// On to the next link.
    Next,
    /// This answer.
    Answer(Box<Answer>),
    /// A refusal.
    Refuse(Box<Denial>),
    /// To be asked again after so long.
    Pause(Duration),
    /// To be asked again with the answer to this.
    Ask(Box<Question>),
    /// To be asked again with the request's whole body in its notes, if that has at most so many bytes; it is refused otherwise.
    Collect(u64),
}

impl Flow {
    /// A refusal with nothing to say besides its reason.
    pub fn refuse(reason: Reason) -> Flow {
        Flow::Refuse(Box::new(Denial { reason, lines: Vec::new() }))
    }
}

/// An answer that a link makes itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// 200 to 599.
    pub status: u16,
    /// Header lines besides those of framing and connection, each with its line end.
    pub lines: Vec<u8>,
    /// The whole body.
    pub body: Vec<u8>,
}

/// A refusal and what it tells besides its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Why.
    pub reason: Reason,
    /// Further header lines, each with its line end.
    pub lines: Vec<u8>,
}
