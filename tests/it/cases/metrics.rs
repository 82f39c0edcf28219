//! G040: no label value of a metric comes from a request.

use std::collections::BTreeSet;

use tiergate::types::{Protocol, Reason};

use super::ask::{Ask, Way, ask};
use super::service::{service, token};

/// Whether a label may have this value.
fn is_of_a_closed_set(label: &str, value: &str) -> bool {
    match label {
        "protocol" => Protocol::ALL.iter().any(|protocol| protocol.as_str() == value),
        "decision" => ["allow", "deny"].contains(&value),
        "reason" => Reason::ALL.iter().any(|reason| reason.as_str() == value),
        "tier" => ["", "public", "stable", "ea", "devel", "admin"].contains(&value),
        "provider" => ["main", "b"].contains(&value),
        "state" => ["up", "down", "unknown"].contains(&value),
        "proxy" => ["envoy", "nginx"].contains(&value),
        "listener" => ["grpc", "http", "admin"].contains(&value),
        "result" => !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
        "hash" => value.len() >= 12 && value.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "le" | "quantile" => value == "+Inf" || value.parse::<f64>().is_ok(),
        _ => false,
    }
}

/// The labels of a sample line; no value here holds a comma or a quote.
fn labels(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let set = line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or("", |(set, _)| set);
    set.split(',').filter(|label| !label.is_empty()).map(|label| {
        let (name, value) = label.split_once('=').unwrap_or((label, ""));
        (name, value.trim_matches('"'))
    })
}

fn series() -> Result<BTreeSet<String>, String> {
    let text = service().tiergate.metrics().map_err(|error| format!("{error:#}"))?;
    let samples = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    Ok(samples.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect())
}

pub(super) fn labels_are_from_closed_sets() -> Result<(), String> {
    let good = token("devel");
    for number in 0..20 {
        for way in Way::ALL {
            let unheard_of = format!("/apps/x{number}/y");
            for request in [
                Ask::get(unheard_of.as_str()),
                Ask::get(format!("{unheard_of}/%2e%2e")),
                Ask { host: format!("h{number}.example").into_bytes(), ..Ask::get("/public/x") },
                Ask { method: format!("M{number}"), ..Ask::get("/apps/devel/x").bearer(&good) },
                Ask::get("/apps/devel/x").bearer(&format!("x{number}.y.z")),
                Ask::get("/apps/devel/x").header("x-request-id", format!("id-{number}")),
            ] {
                ask(service(), way, &request)?;
            }
        }
    }
    let series = series()?;
    if !series.iter().any(|sample| sample.starts_with("tiergate_decisions_total{")) {
        return Err("no decision was counted".to_owned());
    }
    for sample in &series {
        if let Some((name, value)) = labels(sample).find(|(name, value)| !is_of_a_closed_set(name, value)) {
            return Err(format!("{name}={value:?} in {sample}"));
        }
    }
    Ok(())
}
