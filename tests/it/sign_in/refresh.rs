//! Access tokens that live for seconds: nobody notices.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tiergate_testbed::Gateway;

use super::stage::{Kind, Stage, eventually};

const ACCESS_SECONDS: u32 = 4;
const OPEN_FOR: Duration = Duration::from_secs(10);

#[test]
fn a_session_outlives_its_tokens_at_the_development_provider() {
    outlives(Kind::Development, Gateway::EnvoyGrpc).unwrap();
}

#[test]
fn a_session_outlives_its_tokens_at_oidc_provider() {
    outlives(Kind::OidcProvider, Gateway::Nginx).unwrap();
}

#[test]
fn a_session_outlives_its_tokens_at_glewlwyd() {
    outlives(Kind::Glewlwyd, Gateway::EnvoyGrpc).unwrap();
}

fn outlives(kind: Kind, gateway: Gateway) -> Result<()> {
    let stage = Stage::start(kind, gateway, ACCESS_SECONDS, false)?;
    let mut agent = stage.signed_in("devel")?;
    let session = Stage::session(&agent)?;
    let until = Instant::now() + OPEN_FOR;
    while Instant::now() < until {
        let answer = stage.fetch(&mut agent, "/apps/devel/hazard/x")?;
        ensure!(answer.status == 200, "{}: {}\n{}", answer.status, answer.text(), stage.tiergate.log());
        std::thread::sleep(Duration::from_millis(200));
    }
    ensure!(Stage::session(&agent)? == session, "the session got another id");
    let told =
        |result: &str| stage.tiergate.metric("tiergate_session_refresh_total", &[&format!("result=\"{result}\"")]);
    let (renewed, passing, lost) = (told("renewed")?, told("passing")?, told("lost")?);
    ensure!(renewed >= 2.0 && passing + lost == 0.0, "{renewed} renewed, {passing} passing, {lost} lost");
    if let Some((refreshed, refused)) = stage.provider.refreshes()? {
        let most = usize::try_from(OPEN_FOR.as_secs())? / 2;
        ensure!((2..=most).contains(&refreshed) && refused == 0, "{refreshed} refreshes, {refused} refused");
    }
    // What is taken away is gone with the next refresh.
    if stage.provider.set_scopes("devel", &["access:ea"])? {
        eventually("the tier is gone", Duration::from_secs(10), || {
            let status = stage.fetch(&mut agent, "/apps/devel/hazard/x")?.status;
            ensure!([200, 403].contains(&status), "{status}");
            Ok(status == 403)
        })?;
        ensure!(stage.fetch(&mut agent, "/apps/ea/reports/x")?.status == 200, "more than the tier is gone");
    }
    Ok(())
}
