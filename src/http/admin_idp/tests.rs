//! What goes through to a management API, and what has to be written down before.

use std::time::Duration;

use super::*;
use crate::check::{Credential, Guest, PageRequest, Sender, fixture};
use crate::directory::fixture::GuardedStore;
use crate::directory::{AuditQuery, DirectoryPorts, UserDirectory as _};
use crate::management::fixture::FakeApi;
use crate::session::fixture::{CountingRandom, SetClock};

struct Stage {
    passage: ManagementPassage,
    store: Arc<GuardedStore>,
    fake: Arc<FakeApi>,
    clock: Arc<SetClock>,
}

fn stage(has_directory: bool) -> Stage {
    let (store, fake, clock) = (Arc::new(GuardedStore::default()), Arc::new(FakeApi::default()), SetClock::new());
    let ports = DirectoryPorts { store: store.clone(), clock: clock.clone(), random: Arc::new(CountingRandom) };
    let directory = has_directory.then(|| Arc::new(Directory::new(ports)));
    let paths = ["/users/{id}", "/roles/**"].map(|text| PathPattern::parse(text).expect("a pattern"));
    let methods = ["GET", "PATCH", "DELETE"].map(str::to_owned);
    let api = Arc::new(fake.api(None, clock.clone()));
    let passages = vec![Passage { api, methods: methods.into(), paths: paths.into() }];
    let passage = ManagementPassage::new(passages, directory, Arc::new(fixture::checker()), clock.clone(), "/_auth");
    Stage { passage, store, fake, clock }
}

impl Stage {
    async fn ask(&self, method: &str, below: &str) -> u16 {
        self.clock.forward(Duration::from_secs(1));
        let path = format!("/_auth/admin/idp{below}");
        let headers: [(&str, &[u8]); 1] = [("content-type", b"application/json")];
        let body = Some(&b"{\"blocked\":true}"[..]).filter(|_| method != "GET");
        let request = PageRequest { method, path: &path, query: b"", headers: &headers, body, sender: Sender::Proxy };
        let visit = Visit::of(&request, || "0123456789abcdef".to_owned());
        let principal = fixture::caller("access:boss");
        let tiers = self.passage.checker.snapshot().policy.tiers().held_by(Some(&principal));
        let boss = Administrator::admitted(Guest { principal, tiers, credential: Credential::Bearer });
        self.passage.answer(&visit, &boss, below).await.status
    }
}

#[tokio::test]
async fn only_methods_and_paths_that_are_listed_go_through() {
    for (method, below, status) in [
        ("GET", "/users/1", 200),
        ("PATCH", "/users/1", 200),
        ("DELETE", "/roles/1/users", 200),
        ("GET", "/~main/roles", 200),
        ("POST", "/users/1", 403),
        ("PUT", "/users/1", 403),
        ("HEAD", "/users/1", 403),
        ("get", "/users/1", 403),
        ("GET", "/users", 403),
        ("GET", "/users/1/roles", 403),
        ("GET", "/clients", 403),
        ("GET", "/rolesx", 403),
        ("PATCH", "/~main/clients/1", 403),
        ("GET", "/~other/users/1", 404),
    ] {
        let stage = stage(true);
        assert_eq!(stage.ask(method, below).await, status, "{method} {below}");
        assert_eq!(stage.fake.asked().len(), usize::from(status == 200), "{method} {below}");
    }
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_done() {
    for (has_directory, is_down, method, status, is_made) in [
        (true, false, "PATCH", 200, true),
        (true, false, "GET", 200, true),
        (true, true, "PATCH", 503, false),
        (true, true, "DELETE", 503, false),
        (true, true, "GET", 503, false),
        (false, false, "PATCH", 403, false),
        (false, false, "GET", 200, true),
    ] {
        let stage = stage(has_directory);
        stage.store.set_down(is_down);
        let case = format!("{has_directory} {is_down} {method}");
        assert_eq!(stage.ask(method, "/users/1").await, status, "{case}");
        assert_eq!(stage.fake.asked().len(), usize::from(is_made), "{case}");
        stage.store.set_down(false);
        let told = stage.store.audit(AuditQuery { limit: 10, ..AuditQuery::default() }).await.expect("the audit");
        let actions: Vec<&str> = told.entries.iter().map(|entry| entry.action.as_str()).collect();
        let expected: &[&str] = match (has_directory && !is_down, method) {
            (true, "GET") => &["idp.read"],
            (true, _) => &["idp.changed", "idp.change"],
            (false, _) => &[],
        };
        assert_eq!(actions, expected, "{case}");
    }
}
