//! What Okta and Entra document that they send, and what they ask to be answered.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tiergate_testbed::{Gateway, repo_root};

use super::{Client, Stage};

const SEQUENCES: [&str; 5] = ["okta/users", "okta/groups", "entra/users", "entra/users-flag", "entra/groups"];

#[test]
fn okta_and_entra_through_envoy() {
    each_in_order(Gateway::EnvoyGrpc).unwrap();
}

#[test]
fn okta_and_entra_through_nginx() {
    each_in_order(Gateway::Nginx).unwrap();
}

fn each_in_order(gateway: Gateway) -> Result<()> {
    for name in SEQUENCES {
        let stage = Stage::start()?;
        let proxy = stage.proxy(gateway)?;
        run(Client::through(&proxy), name).with_context(|| format!("{} {name}", gateway.name()))?;
        ensure!(stage.upstream.received().is_empty(), "{name}: something got to the site");
        ensure!(!stage.tiergate.log().contains(super::TOKEN), "{name}: the token is in the log");
    }
    Ok(())
}

fn run(client: Client, name: &str) -> Result<()> {
    let path = repo_root().join(format!("tests/vectors/scim/{name}.json"));
    let sequence: Value = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    let mut kept: Vec<(String, String)> = Vec::new();
    for step in sequence["steps"].as_array().context("no steps")? {
        let filled = |value: &Value| -> Result<Value> {
            let fill = |text: String, (name, id): &(String, String)| text.replace(&format!("{{{name}}}"), id);
            Ok(serde_json::from_str(&kept.iter().fold(value.to_string(), fill))?)
        };
        let (request, wanted) = (filled(&step["request"])?, filled(&step["answer"])?);
        let method = request["method"].as_str().context("no method")?;
        let path = request["path"].as_str().context("no path")?;
        let answer = client.send(method, path, &[("User-Agent", "Okta SCIM Client 1.0.0")], &request["body"])?;
        let at = format!("{}: {} {}", step["what"], answer.status, answer.text());
        ensure!(wanted["status"] == answer.status, "{at}");
        let body = if answer.body.is_empty() { Value::Null } else { answer.json()? };
        ensure!(fits(&wanted["body"], &body), "{at}\nwanted {}", wanted["body"]);
        for absent in wanted["absent"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            ensure!(body.pointer(absent).is_none(), "{at}\nnot {absent}");
        }
        for (header, value) in wanted["headers"].as_object().into_iter().flatten() {
            ensure!(answer.header(header) == value.as_str(), "{at}\n{header}");
        }
        for (name, pointer) in step["keep"].as_object().into_iter().flatten() {
            let id = body.pointer(pointer.as_str().unwrap_or_default()).and_then(Value::as_str);
            kept.push((name.clone(), id.context("no id")?.to_owned()));
        }
    }
    Ok(())
}

/// Whether what was found has all that is wanted; `*` stands for anything, and so does an id that is kept only now.
fn fits(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::Null, _) => true,
        (Value::String(any), found) if any == "*" || any.starts_with('{') => !found.is_null(),
        (Value::Object(wanted), Value::Object(found)) => {
            wanted.iter().all(|(name, value)| found.get(name).is_some_and(|found| fits(value, found)))
        }
        (Value::Array(wanted), Value::Array(found)) => {
            wanted.len() == found.len() && wanted.iter().zip(found).all(|(wanted, found)| fits(wanted, found))
        }
        _ => wanted == found,
    }
}
