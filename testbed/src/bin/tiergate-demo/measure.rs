//! The table: every user at every application through every proxy, asked for
//! real.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use tiergate_testbed::{App, Gateway, WebSocketAnswer, WebSocketSession, request, websocket};

use crate::browse::{SignIn, sign_ins};
use crate::stage::Stage;

/// The rows.
pub(crate) const USERS: [&str; 5] = ["anonymous", "stable", "ea", "devel", "admin"];

/// Tiers from the lowest to the highest; a user named after one holds all before it.
const TIERS: [&str; 4] = ["stable", "ea", "devel", "admin"];

/// How an application is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Http,
    WebSocket,
}

/// The columns.
pub(crate) const COLUMNS: [(App, Way); 5] = [
    (App::Maps, Way::Http),
    (App::Reports, Way::Http),
    (App::Hazard, Way::Http),
    (App::Chat, Way::Http),
    (App::Chat, Way::WebSocket),
];

/// One answer.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    pub(crate) user: &'static str,
    pub(crate) app: App,
    pub(crate) way: Way,
    pub(crate) proxy: Gateway,
    /// The status, or why there was none.
    pub(crate) status: Result<u16, String>,
    pub(crate) expected: u16,
    /// Whether an admitted request really reached the application.
    pub(crate) reached: bool,
}

impl Cell {
    pub(crate) fn is_right(&self) -> bool {
        let is_admitted = matches!(self.expected, 101 | 200);
        self.status == Ok(self.expected) && self.reached == is_admitted
    }
}

/// All answers, and what became of the people with browsers.
pub(crate) struct Table {
    pub(crate) cells: Vec<Cell>,
    pub(crate) sign_ins: Vec<SignIn>,
}

impl Table {
    pub(crate) fn measure(stage: &Stage) -> Result<Self> {
        let mut cells = Vec::new();
        for user in USERS {
            let token = if user == "anonymous" { None } else { Some(stage_token(stage, user)?) };
            for (app, way) in COLUMNS {
                for proxy in &stage.proxies {
                    let answer = ask(proxy.address(), app, way, token.as_deref());
                    let (status, reached) = match answer {
                        Ok((status, reached)) => (Ok(status), reached),
                        Err(error) => (Err(format!("{error:#}")), false),
                    };
                    let expected = expectation(user, app, way);
                    cells.push(Cell { user, app, way, proxy: proxy.kind(), status, expected, reached });
                }
            }
        }
        Ok(Self { cells, sign_ins: sign_ins() })
    }

    /// Whether everything is as the policy says.
    pub(crate) fn is_right(&self) -> bool {
        self.wrong() == 0 && self.sign_ins.iter().all(|sign_in| sign_in.result.is_ok())
    }

    pub(crate) fn wrong(&self) -> usize {
        self.cells.iter().filter(|cell| !cell.is_right()).count()
    }

    pub(crate) fn cell(&self, user: &str, column: (App, Way), proxy: Gateway) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.user == user && (cell.app, cell.way) == column && cell.proxy == proxy)
    }
}

/// The token as a person gets it, from the provider's own endpoint.
fn stage_token(stage: &Stage, user: &str) -> Result<String> {
    let answer = request(stage.provider.address(), "GET", &format!("/dev/token/{user}"), &[])?;
    (answer.status == 200).then(|| answer.text()).with_context(|| format!("the provider has no token for {user}"))
}

/// What the policy of the demo says, written down a second time on purpose.
fn expectation(user: &str, app: App, way: Way) -> u16 {
    let rank = |tier: &str| TIERS.iter().position(|other| *other == tier);
    match rank(user) {
        None => 401,
        held if held >= rank(app.tier()) => match way {
            Way::Http => 200,
            Way::WebSocket => 101,
        },
        Some(_) => 403,
    }
}

/// The status, and whether the application itself answered.
fn ask(proxy: SocketAddr, app: App, way: Way, token: Option<&str>) -> Result<(u16, bool)> {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<(&str, &str)> = bearer.iter().map(|bearer| ("Authorization", bearer.as_str())).collect();
    match way {
        Way::Http => {
            let answer = request(proxy, "GET", &format!("{}/", app.path()), &headers)?;
            Ok((answer.status, answer.text().contains(&heading(app))))
        }
        Way::WebSocket => {
            let target = format!("{}/socket.io/?EIO=4&transport=websocket", app.path());
            match websocket(proxy, &target, &headers)? {
                WebSocketAnswer::Refused(status) => Ok((status, false)),
                WebSocketAnswer::Admitted(mut session) => Ok((101, converses(&mut session).is_ok())),
            }
        }
    }
}

/// A Socket.IO conversation: open, connect, and an `echo` that is acknowledged.
fn converses(session: &mut WebSocketSession) -> Result<()> {
    wait_for(session, "0{")?;
    session.send("40")?;
    wait_for(session, "40")?;
    session.send(r#"421["echo","kia ora"]"#)?;
    wait_for(session, r#"431["kia ora"]"#)
}

fn wait_for(session: &mut WebSocketSession, start: &str) -> Result<()> {
    for _ in 0..10 {
        if session.receive()?.starts_with(start) {
            return Ok(());
        }
    }
    anyhow::bail!("the chat did not answer `{start}`")
}

/// What the page of an application shows and no other page does.
pub(crate) fn heading(app: App) -> String {
    format!("<h1>{}</h1>", capitalized(app.name()))
}

fn capitalized(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_contains_the_ones_below() {
        assert_eq!(expectation("anonymous", App::Maps, Way::Http), 401);
        assert_eq!(expectation("stable", App::Maps, Way::Http), 200);
        assert_eq!(expectation("stable", App::Reports, Way::Http), 403);
        assert_eq!(expectation("ea", App::Chat, Way::WebSocket), 403);
        assert_eq!(expectation("devel", App::Chat, Way::WebSocket), 101);
        assert_eq!(expectation("admin", App::Hazard, Way::Http), 200);
    }

    #[test]
    fn an_answer_that_did_not_come_from_the_app_is_wrong() {
        let cell = |status, expected, reached| Cell {
            user: "ea",
            app: App::Maps,
            way: Way::Http,
            proxy: Gateway::Nginx,
            status: Ok(status),
            expected,
            reached,
        };
        assert!(cell(200, 200, true).is_right());
        assert!(!cell(200, 200, false).is_right());
        assert!(!cell(403, 403, true).is_right());
        assert!(!cell(200, 403, true).is_right());
    }
}
