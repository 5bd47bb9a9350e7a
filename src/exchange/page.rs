//! Pages that the gateway answers itself.

use crate::config::BuiltIn;

/// A page the gateway answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Page {
    /// Health by success rate, as JSON.
    GatewayHealth,
    /// Counters in Prometheus' text format.
    Metrics,
    /// 200 while the process serves.
    Health,
    /// 200 while the process lives.
    Livez,
    /// 200 while traffic should come here, 503 once draining.
    Readyz,
    /// Which configuration is in force; the private listener only.
    Config,
    /// All endpoints and their state; the private listener only.
    Upstreams,
}

impl Page {
    /// The pages on the gateway's own port with their paths, as the settings have them.
    pub fn built_in(settings: &BuiltIn) -> Vec<(&str, Page)> {
        let pages = [
            (settings.gateway_health.as_str(), Page::GatewayHealth),
            (settings.gateway_metrics.as_str(), Page::Metrics),
            (settings.health.as_str(), Page::Health),
            (settings.livez.as_str(), Page::Livez),
            (settings.readyz.as_str(), Page::Readyz),
        ];
        pages.into_iter().filter(|(path, _)| settings.enabled && !path.is_empty()).collect()
    }
}
