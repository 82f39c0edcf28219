//! People who sign in by browser: one each, at the highest application that is
//! theirs, in through Envoy and on to nginx with the same session.

use anyhow::{Result, ensure};
use tiergate_testbed::{App, Gateway, UserAgent};

use crate::measure::heading;
use crate::stage::base_url;

/// Who signs in, and which application they open.
pub(crate) const PEOPLE: [(&str, App); 4] =
    [("stable", App::Maps), ("ea", App::Reports), ("devel", App::Hazard), ("admin", App::Hazard)];

/// One person's sign-in; the error says what went wrong.
pub(crate) struct SignIn {
    pub(crate) person: &'static str,
    pub(crate) result: Result<()>,
}

pub(crate) fn sign_ins() -> Vec<SignIn> {
    PEOPLE.into_iter().map(|(person, app)| SignIn { person, result: sign_in(person, app) }).collect()
}

fn sign_in(person: &str, app: App) -> Result<()> {
    let mut browser = UserAgent::new();
    let wanted = format!("{}{}/", base_url(Gateway::EnvoyGrpc), app.path());
    let page = browser.open(&wanted)?;
    ensure!(page.status() == 200 && page.url() != wanted, "not sent to sign in: {}", page.trail());
    let visit = browser.submit(&page, &[("account", person)])?;
    ensure!(visit.url() == wanted && visit.text().contains(&heading(app)), "did not arrive: {}", visit.trail());
    let other = browser.open(&format!("{}{}/", base_url(Gateway::Nginx), app.path()))?;
    ensure!(other.status() == 200 && other.text().contains(&heading(app)), "not known at nginx: {}", other.trail());
    Ok(())
}
