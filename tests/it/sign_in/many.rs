//! A thousand people sign in at once, and everybody is who they are (C029).

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, ensure};
use tiergate_testbed::{Gateway, UserAgent};

use super::stage::{Kind, Stage, one};

const SIGN_INS: usize = 1000;
const AT_ONCE: usize = 32;

#[test]
fn a_thousand_sign_ins_do_not_mix() {
    let stages = [one(Kind::Development, Gateway::EnvoyGrpc), one(Kind::Development, Gateway::Nginx)];
    let next = AtomicUsize::new(0);
    let results: Vec<Result<Vec<String>>> = std::thread::scope(|scope| {
        let work = || {
            let mut sessions = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= SIGN_INS {
                    return Ok(sessions);
                }
                sessions.push(sign_in(stages[number % 2], number)?);
            }
        };
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a sign-in panicked")).collect()
    });
    let sessions: Vec<String> = results.into_iter().collect::<Result<Vec<_>>>().unwrap().concat();
    assert_eq!(sessions.iter().collect::<HashSet<_>>().len(), SIGN_INS, "a session id came twice");
}

fn sign_in(stage: &Stage, number: usize) -> Result<String> {
    let account = ["ea", "devel"][number / 2 % 2];
    let link = format!("/apps/stable/maps/x?number={number}");
    let mut agent = UserAgent::new();
    let visit = stage.sign_in(&mut agent, &link, account)?;
    ensure!(visit.url() == stage.url(&link) && visit.status() == 200, "{}", visit.told());
    let (status, me) = stage.me(&mut agent)?;
    ensure!(status == 200 && me["subject"] == format!("dev|{account}"), "{account} is {me}");
    Stage::session(&agent)
}
