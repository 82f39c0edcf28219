//! What SCIM says counts in decisions, at once; nobody is lost where many write.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};
use tiergate_testbed::Gateway;

use super::{Client, Stage, patch};

#[test]
fn who_is_deactivated_is_refused_with_the_next_request() {
    deactivated().unwrap();
}

fn deactivated() -> Result<()> {
    let stage = Stage::start()?;
    let (envoy, nginx) = (stage.proxy(Gateway::EnvoyGrpc)?, stage.proxy(Gateway::Nginx)?);
    let client = Client::through(&nginx);
    let id = client.create("ann")?;
    let department = json!([{ "op": "Add", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", "value": "Tours" }]);
    client.want(200, "PATCH", &format!("/Users/{id}"), &patch(&department))?;
    let user = format!("/Users/{id}");
    for proxy in [&envoy, &nginx] {
        let visit = |path: &str| stage.visit(proxy.address(), path, "ann");
        let off = patch(&json!([{ "op": "Replace", "path": "active", "value": "False" }]));
        let on = patch(&json!([{ "op": "replace", "value": { "active": true } }]));
        ensure!(visit("/free/x")?.status == 200, "{}: {}", proxy.kind().name(), visit("/free/x")?.text());
        let seen = stage.upstream.take_received();
        let department = seen.last().and_then(|seen| seen.header("x-auth-department"));
        ensure!(department == Some("Tours"), "{department:?}");
        client.want(200, "PATCH", &user, &off)?;
        let refused = visit("/free/x")?;
        ensure!(refused.status == 403, "{}: {}", proxy.kind().name(), refused.status);
        ensure!(refused.json()?["reason"] == "disabled_user", "{}", refused.text());
        client.want(200, "PATCH", &user, &on)?;
        ensure!(visit("/free/x")?.status == 200);
    }
    let token = stage.token("ann")?;
    ensure!(stage.visit_with(envoy.address(), "/free/x", &token)?.status == 200);
    client.want(204, "DELETE", &user, &Value::Null)?;
    // Tokens from before count no more.
    let answer = stage.visit_with(envoy.address(), "/free/x", &token)?;
    ensure!(answer.status == 401, "{} {}", answer.status, answer.text());
    Ok(())
}

#[test]
fn a_pushed_group_counts_in_a_rule() {
    pushed().unwrap();
}

fn pushed() -> Result<()> {
    let stage = Stage::start()?;
    let envoy = stage.proxy(Gateway::EnvoyGrpc)?;
    let client = Client::through(&envoy);
    let (ann, bob) = (client.create("ann")?, client.create("bob")?);
    let status = |subject: &str| Ok::<_, anyhow::Error>(stage.visit(envoy.address(), "/audit/x", subject)?.status);
    ensure!(status("ann")? == 403);
    let group = json!({ "displayName": "auditors", "members": [{ "value": ann }] });
    let group = format!("/Groups/{}", super::id(&client.want(201, "POST", "/Groups", &group)?)?);
    ensure!((status("ann")?, status("bob")?) == (200, 403));
    let swap = json!([
        { "op": "remove", "path": format!("members[value eq \"{ann}\"]") },
        { "op": "add", "path": "members", "value": [{ "value": bob }] },
    ]);
    client.want(204, "PATCH", &group, &patch(&swap))?;
    ensure!((status("ann")?, status("bob")?) == (403, 200));
    client.want(204, "PATCH", &group, &patch(&json!([{ "op": "replace", "value": { "displayName": "others" } }])))?;
    ensure!(status("bob")? == 403);
    client.want(204, "PATCH", &group, &patch(&json!([{ "op": "replace", "value": { "displayName": "auditors" } }])))?;
    ensure!(status("bob")? == 200);
    client.want(204, "DELETE", &group, &Value::Null)?;
    ensure!(status("bob")? == 403);
    Ok(())
}

#[test]
fn of_many_that_name_one_version_one_wins() {
    raced().unwrap();
}

fn raced() -> Result<()> {
    let stage = Stage::start()?;
    let client = stage.client();
    let id = client.create("ann")?;
    for round in 0..5 {
        let path = format!("/Users/{id}");
        let tag = client.send("GET", &path, &[], &Value::Null)?;
        let tag = tag.header("etag").context("there is no tag")?.to_owned();
        let bodies: Vec<Value> = (0..6)
            .map(|n| patch(&json!([{ "op": "replace", "path": "title", "value": format!("{round}-{n}") }])))
            .collect();
        let statuses: Result<Vec<u16>> = thread::scope(|scope| {
            let (path, tag) = (&path, tag.as_str());
            let send =
                |body: &Value| -> Result<u16> { Ok(client.send("PATCH", path, &[("If-Match", tag)], body)?.status) };
            let threads: Vec<_> = bodies.iter().map(|body| scope.spawn(move || send(body))).collect();
            threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a thread ended"))?).collect()
        });
        let statuses = statuses?;
        let won = statuses.iter().filter(|status| **status == 200).count();
        let lost = statuses.iter().filter(|status| **status == 412).count();
        ensure!((won, lost) == (1, 5), "{statuses:?}");
    }
    // The same person, created at once: one record.
    let body = json!({ "userName": "new@example.com", "externalId": "new" });
    let statuses: Vec<u16> = thread::scope(|scope| {
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(|| client.send("POST", "/Users", &[], &body))).collect();
        threads.into_iter().filter_map(|thread| Some(thread.join().ok()?.ok()?.status)).collect()
    });
    ensure!(statuses.iter().filter(|status| **status == 201).count() == 1, "{statuses:?}");
    ensure!(statuses.iter().filter(|status| **status == 409).count() == 5, "{statuses:?}");
    Ok(())
}

#[test]
fn two_thousand_are_paged_while_others_are_added() {
    paged().unwrap();
}

fn paged() -> Result<()> {
    const USERS: usize = 2000;
    let stage = Stage::start()?;
    let client = stage.client();
    thread::scope(|scope| -> Result<()> {
        let create =
            |first: usize| (first..USERS).step_by(4).try_for_each(|n| client.create(&format!("u{n}")).map(drop));
        let threads: Vec<_> = (0..4).map(|first| scope.spawn(move || create(first))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow!("a thread ended"))?)
    })?;
    let done = AtomicBool::new(false);
    let mut seen: Vec<String> = Vec::new();
    let added = thread::scope(|scope| -> Result<usize> {
        let adding = scope.spawn(|| -> Result<usize> {
            let mut added = 0;
            while !done.load(Ordering::Relaxed) && added < 200 {
                client.create(&format!("a-later-{added}"))?;
                added += 1;
            }
            Ok(added)
        });
        let mut pages = || -> Result<()> {
            loop {
                let path = format!("/Users?startIndex={}&count=100&attributes=userName", seen.len() + 1);
                let page = client.want(200, "GET", &path, &Value::Null)?;
                let total = page["totalResults"].as_u64().context("no total")?;
                ensure!(total >= 2000, "{total}");
                let users = page["Resources"].as_array().context("no resources")?;
                ensure!(page["itemsPerPage"] == users.len());
                seen.extend(users.iter().map(|user| user["userName"].as_str().unwrap_or_default().to_owned()));
                if users.len() < 100 {
                    return Ok(());
                }
            }
        };
        let paged = pages();
        done.store(true, Ordering::Relaxed);
        let added = adding.join().map_err(|_| anyhow!("a thread ended"))??;
        paged.map(|()| added)
    })?;
    let unique: BTreeSet<&String> = seen.iter().collect();
    ensure!(unique.len() == seen.len(), "{} of {} twice", seen.len() - unique.len(), seen.len());
    let of_the_first = unique.iter().filter(|name| name.starts_with('u')).count();
    ensure!(of_the_first == USERS && added > 0, "{of_the_first} of {USERS}, {added} added");
    Ok(())
}
