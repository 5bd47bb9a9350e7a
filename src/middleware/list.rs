//! The list of kinds: a line each. Name in the configuration, settings, and the file follow from it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Settings, access_log, auth, compress, cors, custom, fault, grpc_web, headers, ip_filter, rate_limit, redirect, request_limit, respond,
    rewrite, security_headers, transform,
};

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident: $settings:ty,)+) => {
        /// One link of a chain: an object with one kind in it.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(default, deny_unknown_fields)]
        pub struct Entry {
            /// Its name; else its kind. An entry of a route takes the place of the gateway's of the same name.
            pub id: Option<String>,
            /// `false` leaves it out.
            pub enabled: bool,
            $($(#[doc = $doc])+ #[serde(skip_serializing_if = "Option::is_none")] pub $kind: Option<$settings>,)+
        }

        impl Default for Entry {
            fn default() -> Self {
                Entry { id: None, enabled: true, $($kind: None,)+ }
            }
        }

        impl Entry {
            /// All kinds, in order of the list.
            pub const KINDS: &[&str] = &[$(stringify!($kind),)+];

            /// Its kinds with their settings: one, if it is as it should be.
            pub fn kinds(&self) -> impl Iterator<Item = (&'static str, &dyn Settings)> {
                [$(self.$kind.as_ref().map(|settings| (stringify!($kind), settings as &dyn Settings)),)+].into_iter().flatten()
            }
        }
    };
}

kinds! {
    /// A line for each request, once it has ended.
    access_log: access_log::AccessLog,
    /// Who clients are, and whether they may come in.
    auth: auth::Auth,
    /// Answers compressed for clients that take it.
    compress: compress::Compress,
    /// Cross-origin requests: preflights answered, answers marked with who may read them.
    cors: cors::Cors,
    /// A middleware that the program brings along.
    custom: custom::Custom,
    /// Delays and errors on purpose.
    fault: fault::Fault,
    /// Calls of gRPC-Web, from browsers, go to the endpoint as gRPC.
    grpc_web: grpc_web::GrpcWeb,
    /// How often a client may ask, over all cores.
    rate_limit: rate_limit::RateLimit,
    /// Headers taken away, set and added, both ways.
    headers: headers::Headers,
    /// Which client networks are let in.
    ip_filter: ip_filter::IpFilter,
    /// Sends clients elsewhere.
    redirect: redirect::Redirect,
    /// How large requests may be.
    request_limit: request_limit::RequestLimit,
    /// An answer of the gateway's own.
    respond: respond::Respond,
    /// Path, query, headers and status by what the request is.
    rewrite: rewrite::Rewrite,
    /// Headers that tell browsers to be careful.
    security_headers: security_headers::SecurityHeaders,
    /// JSON bodies edited.
    transform: transform::Transform,
}

impl Entry {
    /// Its name, else its kind.
    pub fn id(&self) -> &str {
        self.id.as_deref().or_else(|| self.kinds().next().map(|(kind, _)| kind)).unwrap_or_default()
    }

    /// Its settings.
    pub fn settings(&self) -> Option<&dyn Settings> {
        self.kinds().next().map(|(_, settings)| settings)
    }
}
