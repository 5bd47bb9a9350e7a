//! `ringway validate`: would the gateway start with this file?

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use ringway::clock::unix_seconds;
use ringway::config::{Config, Loaded, Problems};
use ringway::exchange::Plan;
use ringway::run;
use serde_json::json;

use super::args::Format;

/// Reads a configuration and compiles it, as a start would.
pub fn load(path: &Path) -> Result<(Loaded, Arc<Plan>), Problems> {
    let loaded = run::load(path)?;
    let plan = run::build(&loaded, 1)?;
    Ok((loaded, Arc::new(plan)))
}

/// Whether the file is good, and what there is to say about it.
pub fn report(path: &Path, format: Format) -> (bool, String) {
    let checked = load(path).map(|(loaded, plan)| (loaded, plan.ended_certificates(unix_seconds(SystemTime::now()))));
    let file = path.display();
    match (checked, format) {
        (Ok((loaded, warnings)), Format::Text) => {
            let (upstreams, endpoints, routes) = sizes(&loaded.config);
            let warnings: String = warnings.iter().map(|warning| format!("{file}: warning: {warning}\n")).collect();
            let sizes = [count(upstreams, "upstream"), count(endpoints, "endpoint"), count(routes, "route")].join(", ");
            (true, format!("{warnings}{file}: ok, {sizes}"))
        }
        (Ok((loaded, warnings)), Format::Json) => {
            let (upstreams, endpoints, routes) = sizes(&loaded.config);
            let value = json!({
                "file": file.to_string(), "ok": true, "hash": format!("{:016x}", loaded.hash),
                "upstreams": upstreams, "endpoints": endpoints, "routes": routes, "warnings": warnings,
            });
            (true, format!("{value:#}"))
        }
        (Err(problems), Format::Text) => (false, format!("{problems}\n{file}: {}", count(problems.list().len(), "problem"))),
        (Err(problems), Format::Json) => {
            (false, format!("{:#}", json!({ "file": file.to_string(), "ok": false, "problems": problems.list() })))
        }
    }
}

/// How many upstreams, endpoints and routes there are.
fn sizes(config: &Config) -> (usize, usize, usize) {
    let endpoints = config.upstreams.iter().map(|upstream| upstream.endpoints.len()).sum();
    (config.upstreams.len(), endpoints, config.routes.len())
}

fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}
