//! Headers that tell browsers to be careful: the same on every answer, the gateway's own included, so they cost no decision.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Settings;
use crate::config::Wrong;
use crate::http::Edits;

/// Settings of `security_headers`. Each replaces what an endpoint says; an empty one leaves the endpoint's alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SecurityHeaders {
    /// `Strict-Transport-Security` (RFC 6797): to clients of the TLS listener and, as they may speak TLS themselves, to trusted proxies;
    /// others must not be sent it.
    pub strict_transport_security: String,
    /// `X-Content-Type-Options`.
    pub content_type_options: String,
    /// `X-Frame-Options` (RFC 7034).
    pub frame_options: String,
    /// `Referrer-Policy`.
    pub referrer_policy: String,
    /// `Content-Security-Policy`.
    pub content_security_policy: String,
    /// `Permissions-Policy`.
    pub permissions_policy: String,
    /// `Cross-Origin-Opener-Policy`.
    pub cross_origin_opener_policy: String,
    /// `Cross-Origin-Resource-Policy`.
    pub cross_origin_resource_policy: String,
}

impl Default for SecurityHeaders {
    fn default() -> Self {
        SecurityHeaders {
            strict_transport_security: "max-age=31536000; includeSubDomains".into(),
            content_type_options: "nosniff".into(),
            frame_options: "DENY".into(),
            referrer_policy: "strict-origin-when-cross-origin".into(),
            content_security_policy: String::new(),
            permissions_policy: String::new(),
            cross_origin_opener_policy: String::new(),
            cross_origin_resource_policy: String::new(),
        }
    }
}

impl SecurityHeaders {
    /// Setting, header and value of each one that is sent.
    fn sent(&self) -> impl Iterator<Item = (&'static str, &'static str, &str)> {
        let all = [
            ("strict_transport_security", HSTS, &self.strict_transport_security),
            ("content_type_options", "X-Content-Type-Options", &self.content_type_options),
            ("frame_options", "X-Frame-Options", &self.frame_options),
            ("referrer_policy", "Referrer-Policy", &self.referrer_policy),
            ("content_security_policy", "Content-Security-Policy", &self.content_security_policy),
            ("permissions_policy", "Permissions-Policy", &self.permissions_policy),
            ("cross_origin_opener_policy", "Cross-Origin-Opener-Policy", &self.cross_origin_opener_policy),
            ("cross_origin_resource_policy", "Cross-Origin-Resource-Policy", &self.cross_origin_resource_policy),
        ];
        all.into_iter().map(|(setting, name, value)| (setting, name, value.as_str())).filter(|(_, _, value)| !value.is_empty())
    }
}

impl Settings for SecurityHeaders {
    fn problems(&self) -> Vec<Wrong> {
        let wrong = |&(_, _, value): &(&str, &str, &str)| value.bytes().any(|byte| !(0x20..0x7f).contains(&byte)) || value.trim() != value;
        let told = |(setting, _, _): (&str, &str, &str)| {
            Wrong::new(setting, "must be one line of visible ASCII, without white space around it", "it goes into a header as it stands")
        };
        self.sent().filter(wrong).map(told).collect()
    }

    fn edits(&self, _: &mut Edits, response: &mut Edits) {
        self.sent().filter(|(_, name, _)| *name != HSTS).for_each(|(_, name, value)| response.set(name, value));
    }

    fn secure_edits(&self, response: &mut Edits) {
        self.sent().filter(|(_, name, _)| *name == HSTS).for_each(|(_, name, value)| response.set(name, value));
    }
}

const HSTS: &str = "Strict-Transport-Security";
