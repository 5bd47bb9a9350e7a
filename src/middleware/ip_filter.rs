//! Which client networks are let in. The client is the one that trusted proxies tell of, else the peer.

use std::rc::Rc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Flow, Middleware, Mode, Request, Scope, Settings, Tallies};
use crate::clock::Instant;
use crate::config::{Cidr, Wrong};
use crate::error::Reason;

/// Settings of `ip_filter`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IpFilter {
    /// Networks that are refused, whatever `allow` says.
    pub deny: Vec<String>,
    /// Networks that are let in; empty is all.
    pub allow: Vec<String>,
    /// Whether it refuses, or only counts and logs what it would have refused.
    pub mode: Mode,
}

impl Settings for IpFilter {
    fn problems(&self) -> Vec<Wrong> {
        let lists = [("deny", &self.deny), ("allow", &self.allow)];
        let all = lists.into_iter().flat_map(|(list, networks)| networks.iter().enumerate().map(move |(index, text)| (list, index, text)));
        let wrong = all.filter_map(|(list, index, text)| {
            let message = text.parse::<Cidr>().err()?;
            Some(Wrong {
                value: Some(text.clone()),
                ..Wrong::new(&format!("{list}[{index}]"), &message, "as in \"10.0.0.0/8\" or \"::1\"")
            })
        });
        let mut wrong: Vec<Wrong> = wrong.collect();
        if self.deny.is_empty() && self.allow.is_empty() {
            wrong.push(Wrong::new("allow", "is empty, as is deny: it would let everyone in", "name networks, or leave the entry out"));
        }
        wrong
    }

    fn build(&self, scope: &Scope<'_>) -> Option<Rc<dyn Middleware>> {
        let networks = |list: &[String]| list.iter().filter_map(|text| text.parse().ok()).collect();
        let shadowed = (self.mode == Mode::Shadow).then(|| (scope.name.into(), scope.ground.shadowed.clone()));
        Some(Rc::new(Filter { deny: networks(&self.deny), allow: networks(&self.allow), shadowed }))
    }
}

struct Filter {
    deny: Vec<Cidr>,
    allow: Vec<Cidr>,
    /// Where those are counted, under which name, that are let in all the same.
    shadowed: Option<(Box<str>, Rc<Tallies>)>,
}

impl Middleware for Filter {
    fn on_request(&self, request: &mut Request<'_>, _: Instant) -> Flow {
        let client = request.client();
        let among = |networks: &[Cidr]| networks.iter().any(|network| network.contains(client));
        if among(&self.deny) || (!self.allow.is_empty() && !among(&self.allow)) {
            match &self.shadowed {
                Some((name, tally)) => tally.add([name, request.route]),
                None => return Flow::refuse(Reason::IpDenied),
            }
        }
        Flow::Next
    }

    fn reads_heads(&self) -> bool {
        false
    }
}
