//! What is shown of rate limits on the metrics page.

use super::Shared;
use crate::metrics::text::Text;

/// Writes the state of each rate limit; nothing if there is none.
pub(super) fn write(shared: &Shared, text: &mut Text) {
    let limits = shared.rate_limits();
    if limits.is_empty() {
        return;
    }
    let name = "gateway_rate_limit_decisions_total";
    text.family(name, "counter", "Requests that rate limits let through (allowed), refused (limited), or would have refused (shadow).");
    for state in &limits {
        for (decision, count) in ["allowed", "limited", "shadow"].iter().zip(state.decisions) {
            text.sample(name, &[("limiter", &state.limiter), ("decision", decision)], count as f64);
        }
    }
    let shown = [
        ("gateway_rate_limit_keys", "gauge", "Keys known, over all cores."),
        ("gateway_rate_limit_hot_keys", "gauge", "Keys of which parts are moved between cores."),
        ("gateway_rate_limit_evicted_total", "counter", "Keys put out of a full table before their bucket was full again: raise keys_max."),
        ("gateway_rate_limit_left_alone_total", "counter", "Reports about keys beyond the hot ones there is room for."),
        ("gateway_rate_limit_error_ratio", "gauge", "Largest part of a key's limit that wasn't on the core where it was asked for."),
    ];
    for (index, (name, kind, help)) in shown.into_iter().enumerate() {
        text.family(name, kind, help);
        for state in &limits {
            let values = [state.keys as f64, state.hot as f64, state.evicted as f64, state.left_alone as f64, state.error];
            text.sample(name, &[("limiter", &state.limiter)], values[index]);
        }
    }
}
