//! New keys at the provider while people use their sessions.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tiergate_testbed::Provider;

use super::stage::{ask_with, eventually, service, session, sign_in};

/// Sessions, refreshes and new sign-ins go through three changes of all keys
/// without one false answer.
#[test]
fn keys_change_under_load_and_nobody_notices() {
    let provider = Provider::start().unwrap();
    provider.set_access_lifetime(2);
    let tiergate = service(&provider, "memory").start().unwrap();
    let people: Vec<(String, u16)> = [("devel", 200), ("stable", 403)]
        .iter()
        .map(|(account, expected)| (session(&sign_in(&tiergate, account).unwrap()).unwrap(), *expected))
        .collect();
    let (done, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for (cookie, expected) in &people {
            let (tiergate, done, asked) = (&tiergate, &done, &asked);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let answer = ask_with(tiergate.http(), "/apps/devel/x", cookie).unwrap();
                    if answer.0 != *expected {
                        done.store(true, Ordering::Relaxed);
                        panic!("{answer:?} in place of {expected}");
                    }
                    asked.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(3));
                }
            });
        }
        for _ in 0..3 {
            let before = provider.refreshes().0;
            provider.rotate_with_overlap().unwrap();
            eventually("both sessions were refreshed", Duration::from_secs(45), || {
                done.load(Ordering::Relaxed) || provider.refreshes().0 >= before + 4
            });
            // A new sign-in meets the new keys as well; it may come first after a change.
            sign_in(&tiergate, "ea").unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    println!("{} answers, {:?} refreshes", asked.load(Ordering::Relaxed), provider.refreshes());
    assert_eq!(provider.refreshes().1, 0);
}
