//! WebSockets through every proxy: admitted and refused by the same rules as
//! any request, with the token in each place that a rule allows.

use anyhow::{Result, ensure};
use tiergate_testbed::{App, Gateway, RunningGateway, SocketIoCall, TokenSpec, WebSocketAnswer};

use super::identity::Identity;
use super::stage::{Stage, shared};

/// An echo upstream behind a rule that reads tokens in every place.
const LIVE: &str = "/apps/devel/hazard/live/room";
/// The same behind a rule that reads them in the header only.
const HEADER_ONLY: &str = "/apps/devel/hazard/room";

#[test]
fn a_websocket_is_admitted_with_the_token_in_the_header() {
    for_each(|stage, gateway| {
        let devel = bearer(stage, "devel")?;
        for path in [LIVE, HEADER_ONLY] {
            let target = format!("{path}?room=1");
            let headers = [("Authorization", devel.as_str()), ("Sec-WebSocket-Protocol", "chat")];
            let received = admitted(stage, gateway, &target, &headers)?;
            ensure!(
                received.target == target.trim_start_matches("/apps/devel/hazard"),
                "landed as {}",
                received.target
            );
            ensure!(received.header("sec-websocket-protocol") == Some("chat"), "the subprotocol changed: {received:?}");
        }
        Ok(())
    });
}

#[test]
fn a_token_in_the_query_counts_where_the_rule_says_so_and_goes_no_further() {
    for_each(|stage, gateway| {
        let token = stage.mint(&TokenSpec::for_account("devel"))?;
        for (query, left) in [
            (format!("?access_token={token}"), ""),
            (format!("?room=1&access_token={token}&to=%2Fx"), "?room=1&to=%2Fx"),
        ] {
            let target = format!("{LIVE}{query}");
            let received = admitted(stage, gateway, &target, &[("Sec-WebSocket-Protocol", "chat")])?;
            if cuts_credentials(gateway) {
                ensure!(received.target == format!("/live/room{left}"), "landed as {}", received.target);
                ensure!(!format!("{received:?}").contains(&token), "the upstream received the token: {received:?}");
            } else {
                ensure!(received.target == format!("/live/room{query}"), "landed as {}", received.target);
            }
            refused(stage, gateway, &format!("{HEADER_ONLY}{query}"), &[], 401)?;
        }
        Ok(())
    });
}

#[test]
fn a_token_in_the_subprotocol_counts_where_the_rule_says_so_and_goes_no_further() {
    for_each(|stage, gateway| {
        let token = stage.mint(&TokenSpec::for_account("devel"))?;
        for offered in [format!("chat, bearer, {token}"), format!("{token},chat")] {
            let headers = [("Sec-WebSocket-Protocol", offered.as_str())];
            if cuts_credentials(gateway) {
                let received = admitted(stage, gateway, LIVE, &headers)?;
                ensure!(received.header_values("sec-websocket-protocol") == ["chat"], "{received:?}");
                ensure!(!format!("{received:?}").contains(&token), "the upstream received the token: {received:?}");
            } else {
                let upgraded = stage.upgrade(gateway, LIVE, &headers)?;
                ensure!(upgraded.answer.status() == 101, "{}", upgraded.answer.status());
            }
            refused(stage, gateway, HEADER_ONLY, &headers, 401)?;
        }
        Ok(())
    });
}

#[test]
fn a_websocket_is_refused_like_any_request() {
    for_each(|stage, gateway| {
        let (stable, ea, admin) = (bearer(stage, "stable")?, bearer(stage, "ea")?, bearer(stage, "admin")?);
        let token = stage.mint(&TokenSpec::for_account("ea"))?;
        let expired = stage.mint(&TokenSpec::for_account("devel").expired())?;
        refused(stage, gateway, LIVE, &[], 401)?;
        refused(stage, gateway, LIVE, &[("Authorization", &stable)], 403)?;
        refused(stage, gateway, LIVE, &[("Authorization", &ea)], 403)?;
        refused(stage, gateway, &format!("{LIVE}?access_token={token}"), &[], 403)?;
        refused(stage, gateway, &format!("{LIVE}?access_token={expired}"), &[], 401)?;
        // Two tokens: nobody can say which one counts.
        refused(stage, gateway, &format!("{LIVE}?access_token={token}"), &[("Authorization", &admin)], 401)?;
        refused(stage, gateway, "/nowhere", &[("Authorization", &admin)], 403)
    });
}

#[test]
fn no_upgrade_but_websocket_is_a_tunnel() {
    for_each(|stage, gateway| {
        let admin = bearer(stage, "admin")?;
        let upgrades = [("h2c", "Upgrade, HTTP2-Settings"), ("TLS/1.0", "Upgrade"), ("websocket, h2c", "Upgrade")];
        for (upgrade, connection) in upgrades {
            let headers = [
                ("Authorization", admin.as_str()),
                ("Connection", connection),
                ("Upgrade", upgrade),
                ("HTTP2-Settings", "AAMAAABkAAQAAP__"),
            ];
            let asked = stage.ask(gateway, "GET", "/apps/devel/hazard/x", &headers)?;
            let status = asked.answer.status;
            match asked.landed.as_slice() {
                [] => ensure!(matches!(status, 400 | 403), "{upgrade}: {status}"),
                [only] => ensure!(
                    status == 200 && only.received.header("upgrade").is_none(),
                    "{upgrade}: {status}, {:?}",
                    only.received
                ),
                more => anyhow::bail!("{upgrade}: {status}, the upstreams received {more:?}"),
            }
        }
        Ok(())
    });
}

#[test]
fn a_socket_io_client_is_admitted_and_refused() {
    let stage = shared();
    assert!(stage.has_chat());
    let devel = stage.mint(&TokenSpec::for_account("devel")).unwrap();
    let stable = stage.mint(&TokenSpec::for_account("stable")).unwrap();
    let path = format!("{}/socket.io", App::Chat.path());
    let conversations = |gateway: &RunningGateway| -> Result<()> {
        let call = || SocketIoCall::new(gateway.address(), &path).message("kia ora");
        for (way, call) in [
            ("header", call().token(&devel)),
            ("query", call().query_token(&devel)),
            ("polling", call().token(&devel).polling()),
        ] {
            let answer = call.run()?;
            ensure!(answer.connected && answer.echo.as_deref() == Some("kia ora"), "{way}: {answer:?}");
        }
        for (status, call) in [(401, call()), (403, call().token(&stable)), (401, call().polling())] {
            let answer = call.run()?;
            ensure!(!answer.connected && answer.status == Some(status), "in place of {status}: {answer:?}");
        }
        Ok(())
    };
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let each = stage.gateways().iter().map(|gateway| (gateway, scope.spawn(|| conversations(gateway))));
        let started: Vec<_> = each.collect();
        let ended = started.into_iter().map(|(gateway, thread)| (gateway.kind().name(), thread.join().unwrap()));
        ended.filter_map(|(name, result)| Some(format!("{name}: {:#}", result.err()?))).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether a token in the query or subprotocol ends at this proxy; the table in `docs/proxies.md`.
fn cuts_credentials(gateway: &RunningGateway) -> bool {
    gateway.kind() != Gateway::Traefik
}

/// The handshake succeeds, messages pass, and the upstream knows who came.
fn admitted(
    stage: &Stage,
    gateway: &RunningGateway,
    target: &str,
    headers: &[(&str, &str)],
) -> Result<tiergate_testbed::Received> {
    let mut upgraded = stage.upgrade(gateway, target, headers)?;
    ensure!(upgraded.landed.len() == 1, "the upstreams received {:?}", upgraded.landed);
    let landed = upgraded.landed.remove(0);
    ensure!(landed.place == "hazard", "landed at {}", landed.place);
    match &mut upgraded.answer {
        WebSocketAnswer::Admitted(session) => {
            ensure!(session.protocol() == Some("chat"), "the subprotocol is {:?}", session.protocol());
            ensure!(session.echo("kia ora")? == "kia ora", "another echo");
        }
        WebSocketAnswer::Refused(status) => anyhow::bail!("refused with {status}"),
    }
    Identity::account("devel", "devel").check(stage, &landed.received)?;
    Ok(landed.received)
}

fn refused(stage: &Stage, gateway: &RunningGateway, target: &str, headers: &[(&str, &str)], status: u16) -> Result<()> {
    let upgraded = stage.upgrade(gateway, target, headers)?;
    let (path, _) = target.split_once('?').unwrap_or((target, ""));
    ensure!(upgraded.answer.status() == status, "{path}: {} in place of {status}", upgraded.answer.status());
    ensure!(upgraded.landed.is_empty(), "{path}: refused, and the upstreams received {:?}", upgraded.landed);
    Ok(())
}

fn bearer(stage: &Stage, account: &str) -> Result<String> {
    Ok(format!("Bearer {}", stage.mint(&TokenSpec::for_account(account))?))
}

/// The same check at every proxy; what failed where, at once.
fn for_each(check: impl Fn(&Stage, &RunningGateway) -> Result<()>) {
    let stage = shared();
    let failed =
        |gateway: &RunningGateway| Some(format!("{}: {:#}", gateway.kind().name(), check(stage, gateway).err()?));
    let wrong: Vec<String> = stage.gateways().iter().filter_map(failed).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
