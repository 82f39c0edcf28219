//! What the demonstration prints. Colours only on a terminal.

use std::fmt::Write as _;
use std::io::{IsTerminal, stdout};

use tiergate_testbed::{App, Gateway, TiergatePorts};

use crate::browse::SignIn;
use crate::measure::{COLUMNS, Cell, Table, USERS, Way};
use crate::stage::{PROVIDER_PORT, PROXIES, Stage, base_url, title};

const GREEN: &str = "32";
const RED: &str = "1;31";
const BOLD: &str = "1";
const DIM: &str = "2";
const USER_WIDTH: usize = 10;
const CELL_WIDTH: usize = 7;
const ADMIN_PORT: u16 = TiergatePorts::DEFAULT.admin;
const SOCKETIO_CLIENT: &str = ".tools/bin/python testbed/apps/socketio_client.py";

pub(crate) fn opening() -> String {
    let title = paint(BOLD, "Tiergate demo");
    format!("{title}: Flask apps without a line of sign-in code, behind two real proxies that ask Tiergate.\n")
}

pub(crate) fn failure(error: &anyhow::Error) -> String {
    format!("{}\n\n{error:#}", paint(RED, "The demo could not start."))
}

/// The table, and a sentence that says how to read it.
pub(crate) fn table(table: &Table) -> String {
    let group = CELL_WIDTH * PROXIES.len();
    let mut out = format!("{:USER_WIDTH$}", "");
    for (app, way) in COLUMNS {
        let name = match way {
            Way::Http => app.name().to_owned(),
            Way::WebSocket => format!("{} (ws)", app.name()),
        };
        out.push_str(&paint(BOLD, &format!("{name:group$}")));
    }
    let _ = write!(out, "\n{}", paint(DIM, &format!("{:USER_WIDTH$}", "")));
    for (app, _) in COLUMNS {
        out.push_str(&paint(DIM, &format!("{:group$}", format!("tier {}", app.tier()))));
    }
    let _ = write!(out, "\n{:USER_WIDTH$}", "");
    for _ in COLUMNS {
        for proxy in PROXIES {
            out.push_str(&paint(DIM, &format!("{:CELL_WIDTH$}", title(proxy))));
        }
    }
    out.push('\n');
    for user in USERS {
        out.push_str(&paint(BOLD, &format!("{user:USER_WIDTH$}")));
        for column in COLUMNS {
            for proxy in PROXIES {
                out.push_str(&table.cell(user, column, proxy).map(cell).unwrap_or_default());
            }
        }
        out.push('\n');
    }
    out.push_str(&verdict(table));
    out.push_str(&sign_ins(&table.sign_ins));
    out
}

fn cell(cell: &Cell) -> String {
    let status = cell.status.as_ref().map_or_else(|_| "---".to_owned(), u16::to_string);
    let (mark, colour) = if cell.is_right() { ("✓", GREEN) } else { ("✗", RED) };
    let filler = CELL_WIDTH.saturating_sub(status.len() + 2);
    format!("{status} {}{:filler$}", paint(colour, mark), "")
}

fn verdict(table: &Table) -> String {
    let all = table.cells.len();
    if table.wrong() == 0 {
        return format!(
            "\n{} All {all} answers, measured just now, are what the policy says.\n\
             200 and 101 came from the app itself; 401 asks for a token; 403 means that the token's tier is too low.\n\
             A browser is sent to sign in (302) where the table says 401.\n",
            paint(GREEN, "✓"),
        );
    }
    let mut out = format!("\n{} {} of {all} answers are not what the policy says:\n", paint(RED, "✗"), table.wrong());
    for cell in table.cells.iter().filter(|cell| !cell.is_right()) {
        let way = if cell.way == Way::WebSocket { " over WebSocket" } else { "" };
        let answer = match &cell.status {
            Err(why) => why.clone(),
            Ok(status) if *status == cell.expected => format!("{status}, but not from where it should come"),
            Ok(status) => status.to_string(),
        };
        let (user, app, proxy) = (cell.user, cell.app.name(), title(cell.proxy));
        let _ = writeln!(out, "  {user} at {app}{way} through {proxy}: {answer}; expected {}", cell.expected);
    }
    out
}

/// One line for all who arrived, and one for each who did not.
fn sign_ins(sign_ins: &[SignIn]) -> String {
    let (arrived, lost): (Vec<_>, Vec<_>) = sign_ins.iter().partition(|sign_in| sign_in.result.is_ok());
    let mut out = String::new();
    if !arrived.is_empty() {
        let names: Vec<&str> = arrived.iter().map(|sign_in| sign_in.person).collect();
        let mark = paint(GREEN, "✓");
        let _ = writeln!(
            out,
            "{mark} Signed in as a browser does, through Envoy, and known at nginx: {}.",
            names.join(", ")
        );
    }
    for SignIn { person, result } in lost {
        let why = result.as_ref().map_or_else(|error| format!("{error:#}"), |()| String::new());
        let _ = writeln!(out, "{} {person} could not sign in: {why}", paint(RED, "✗"));
    }
    out
}

/// Lines to paste and pages to open.
pub(crate) fn invitation(stage: &Stage) -> String {
    let envoy = base_url(Gateway::EnvoyGrpc);
    let provider = format!("http://127.0.0.1:{PROVIDER_PORT}");
    let mut out = paint(BOLD, "Open this in a browser, and click on who you want to be:") + "\n\n";
    let _ = writeln!(out, "  {envoy}{}/?from=the-demo", App::Hazard.path());
    let _ =
        writeln!(out, "  {:<62}  {}", format!("{envoy}/_auth/"), paint(DIM, "who you are, your sessions, sign out"));
    let admin = paint(DIM, "as admin: people, sessions, the live policy, last decisions");
    let _ = writeln!(out, "  {:<62}  {admin}\n", format!("{envoy}/_auth/admin/"));
    out.push_str(&(paint(BOLD, "Or by token, a line for each user:") + "\n\n"));
    for user in USERS {
        let path = match user {
            "anonymous" | "stable" => "/apps/stable/maps/",
            "ea" => "/apps/ea/reports/",
            _ => "/apps/devel/hazard/",
        };
        if user == "anonymous" {
            let _ = writeln!(out, "  curl -i {envoy}{path}");
        } else {
            let _ = writeln!(
                out,
                "  TOKEN=$(curl -s {provider}/dev/token/{user}); curl -i -H \"Authorization: Bearer $TOKEN\" {envoy}{path}"
            );
        }
    }
    let _ = writeln!(out, "\n{}\n\n{}", paint(BOLD, "Or every cell of the table over HTTP:"), every_cell(&provider));
    let apps = COLUMNS.iter().filter(|(_, way)| *way == Way::Http).map(|(app, _)| app.path() + "/");
    let proxies = PROXIES.map(|proxy| format!("{} {}", title(proxy), base_url(proxy)));
    let _ = writeln!(out, "\n  apps       {}", apps.collect::<Vec<_>>().join("  "));
    let _ = writeln!(out, "  proxies    {}", proxies.join("   "));
    let _ = writeln!(out, "  WebSocket  {SOCKETIO_CLIENT} {envoy} apps/devel/chat/socket.io --token \"$TOKEN\"");
    let log = stage.tiergate.process.log_path().display().to_string();
    let _ = writeln!(out, "\n{}\n", paint(BOLD, "Look around:"));
    let places = [
        (format!("{envoy}/public/hello"), "open to anyone; shows what an upstream receives"),
        (format!("http://127.0.0.1:{ADMIN_PORT}/metrics"), "what Tiergate counts"),
        (format!("tail -f {log}"), "every decision and its reason"),
    ];
    for (place, what) in places {
        let _ = writeln!(out, "  {place:<62}  {}", paint(DIM, what));
    }
    out + "\n" + paint(BOLD, "Running until Ctrl-C.").as_str()
}

/// The table again, by `curl` alone.
fn every_cell(provider: &str) -> String {
    let apps: Vec<String> =
        COLUMNS.iter().filter(|(_, way)| *way == Way::Http).map(|(app, _)| app.path() + "/").collect();
    let users: Vec<&str> = USERS.into_iter().filter(|user| *user != "anonymous").collect();
    format!(
        "  for user in {users}; do TOKEN=$(curl -s {provider}/dev/token/$user)\n  \
         for app in {apps}; do for proxy in {proxies}; do\n    \
         curl -so /dev/null -w \"%{{http_code}} $user $proxy$app\\n\" -H \"Authorization: Bearer $TOKEN\" $proxy$app\n  \
         done; done; done",
        users = users.join(" "),
        apps = apps.join(" "),
        proxies = PROXIES.map(base_url).join(" "),
    )
}

fn paint(code: &str, text: &str) -> String {
    let is_plain = !stdout().is_terminal() || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if is_plain { text.to_owned() } else { format!("\u{1b}[{code}m{text}\u{1b}[0m") }
}
