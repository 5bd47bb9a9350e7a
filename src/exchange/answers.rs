//! What is the same on all messages of a route, put together at load: two sets for answers, as some lines are for TLS alone.

use crate::config::Config;
use crate::http::Edits;
use crate::middleware;

/// Changes to answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    all: Edits,
    /// Those to answers that can't have gone over TLS, if they are others.
    bare: Option<Box<Edits>>,
}

impl Answers {
    pub(super) fn new(all: Edits, bare: Edits) -> Self {
        let bare = (all != bare).then(|| Box::new(bare));
        Answers { all, bare }
    }

    /// Those to a client; `bare` if its connection can't have TLS.
    #[inline]
    pub fn to(&self, bare: bool) -> &Edits {
        match &self.bare {
            Some(edits) if bare => edits,
            _ => &self.all,
        }
    }
}

/// What the gateway and a route's chain change on every request, on every answer, and on those that can't go over TLS.
pub(super) fn chained_edits(config: &Config, own: &[middleware::Entry]) -> (Edits, Edits, Edits) {
    let (mut request, mut response) = (Edits::default(), Edits::default());
    if !config.forwarding.via.is_empty() {
        let via = format!("1.1 {}", config.forwarding.via);
        request.add("Via", &via);
        response.add("Via", &via);
    }
    if let Some(header) = config.tls.subject_header() {
        request.remove(header);
    }
    let mut bare = response.clone();
    for (entry, _) in middleware::merged(&config.middlewares, own) {
        if let Some(settings) = entry.settings() {
            settings.edits(&mut request, &mut response);
            settings.edits(&mut Edits::default(), &mut bare);
            settings.secure_edits(&mut response);
            if settings.rate_limit().is_none() || config.features.rate_limit {
                settings.named_edits(entry.id(), &mut response);
                settings.named_edits(entry.id(), &mut bare);
            }
        }
    }
    (request, response, bare)
}
