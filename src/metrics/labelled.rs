//! Counts with labels that the configuration names: each core counts in cells of its own, and the coordinator sums them.

use std::sync::Arc;

use super::text::Text;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// Requests of an arm of a split.
    SplitRequests,
    /// Requests that weren't let in.
    AuthFailures,
    /// Requests that an `auth` in shadow mode would have refused.
    AuthShadow,
    /// Requests that an `ip_filter` in shadow mode would have refused.
    IpFilterShadow,
    /// Copies of requests.
    MirrorRequests,
    /// Calls of gRPC.
    Calls,
}

/// What one core has counted since it began, or all cores have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// What is counted.
    pub family: Family,
    /// The values of its labels.
    pub labels: [Arc<str>; 2],
    /// How many.
    pub total: u64,
}

impl Family {
    const ALL: [Family; 6] =
        [Family::SplitRequests, Family::AuthFailures, Family::AuthShadow, Family::IpFilterShadow, Family::MirrorRequests, Family::Calls];

    /// Name, help and the names of the labels.
    const fn meta(self) -> (&'static str, &'static str, [&'static str; 2]) {
        match self {
            Family::SplitRequests => {
                ("gateway_split_requests_total", "Requests by the arm of their route's split that they went to.", ["route", "upstream"])
            }
            Family::IpFilterShadow => (
                "gateway_ip_filter_shadow_total",
                "Requests that an IP filter would have refused, were it not for mode \"shadow\".",
                ["filter", "route"],
            ),
            Family::AuthShadow => (
                "gateway_auth_shadow_total",
                "Requests that authentication would have refused, were it not for mode \"shadow\".",
                ["auth", "reason"],
            ),
            Family::AuthFailures => (
                "gateway_auth_failures_total",
                "Requests that weren't let in, by what they should have proved it with.",
                ["kind", "reason"],
            ),
            Family::Calls => (
                "gateway_grpc_calls_total",
                "Calls of gRPC that have ended, by the status that their clients were told.",
                ["route", "grpc_status"],
            ),
            Family::MirrorRequests => (
                "gateway_mirror_requests_total",
                "Copies of requests that were sent to the mirror of their route, and those that weren't made, by what became of them.",
                ["route", "result"],
            ),
        }
    }
}

/// Writes those counters of which there is anything.
pub fn write_labelled(counts: &[Count], text: &mut Text) {
    for family in Family::ALL {
        let (name, help, labels) = family.meta();
        let mut samples = counts.iter().filter(|count| count.family == family).peekable();
        if samples.peek().is_some() {
            text.family(name, "counter", help);
        }
        for count in samples {
            text.sample(name, &[(labels[0], &count.labels[0]), (labels[1], &count.labels[1])], count.total as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_stands_there_only_if_it_has_samples() {
        let mut text = Text::default();
        write_labelled(&[], &mut text);
        assert_eq!(text.finish(), "");
        let mut text = Text::default();
        write_labelled(&[Count { family: Family::SplitRequests, labels: ["r".into(), "a".into()], total: 3 }], &mut text);
        let page = text.finish();
        assert!(
            page.ends_with("# TYPE gateway_split_requests_total counter\ngateway_split_requests_total{route=\"r\",upstream=\"a\"} 3\n")
        );
    }
}
