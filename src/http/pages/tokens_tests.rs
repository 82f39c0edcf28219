use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::backend::memory_directory::MemoryDirectory;
use crate::directory::{AuditQuery, DirectoryPorts};
use crate::http::pages::tests_stage::{ORIGIN, Stage, form};
use crate::session::NoSession;
use crate::session::fixture::CountingRandom;
use crate::types::ProviderId;

struct Desk {
    stage: Stage,
    directory: Arc<Directory>,
}

fn key(subject: &str) -> UserKey {
    UserKey::new(&ProviderId::new("main"), subject)
}

impl Desk {
    fn new() -> Self {
        let stage = Stage::new();
        let ports = DirectoryPorts {
            store: Arc::new(MemoryDirectory::new()),
            clock: stage.clock.clone(),
            random: Arc::new(CountingRandom),
        };
        let directory = Arc::new(Directory::new(ports));
        let tokens = AccessTokenPage {
            directory: Arc::clone(&directory),
            random: Arc::new(CountingRandom),
            max_lifetime: Duration::from_secs(90 * DAY),
            max_per_user: 3,
        };
        Self { stage: stage.with_access_tokens(tokens), directory }
    }

    fn now(&self) -> UnixTime {
        use crate::types::Clock as _;
        self.stage.clock.now()
    }

    async fn show(&self, cookie: &str) -> Page {
        self.stage.get("/_auth/tokens").cookie(cookie).send().await
    }

    async fn post(&self, path: &str, cookie: &str, body: &str) -> Page {
        form(self.stage.get(path).method("POST").cookie(cookie), body).send().await
    }

    async fn make(&self, cookie: &str, name: &str) -> Page {
        let name: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
        self.post("/_auth/tokens", cookie, &format!("name={name}&tier=devel&lifetime=3600")).await
    }

    async fn kept(&self, subject: &str) -> Vec<AccessToken> {
        match self.directory.standing(&key(subject)).await.unwrap() {
            Some(owner) => self.directory.store().access_tokens(owner.id).await.unwrap(),
            None => Vec::new(),
        }
    }
}

/// The token that a page shows.
fn shown(page: &Page) -> Option<String> {
    let at = page.body.find("tgp_")?;
    let token: String = page.body[at..].chars().take(47).collect();
    AccessTokenSecret::has_form(&token).then_some(token)
}

#[tokio::test]
async fn a_token_is_shown_once_and_only_its_hash_is_kept() {
    let desk = Desk::new();
    let cookie = desk.stage.signed_in("u-1").await;
    assert!(desk.show(&cookie).await.body.contains("You have no tokens."));
    let page = desk.make(&cookie, "Backup").await;
    assert_eq!(page.status, 200);
    let token = shown(&page).expect("the token");
    assert_eq!(page.body.matches(&token).count(), 3);
    for way in [format!("Authorization: Bearer {token}"), format!("-u &quot;token:{token}&quot; {ORIGIN}/")] {
        assert!(page.body.contains(&way) || page.body.contains(&way.replace("&quot;", "\"")), "{way}: {}", page.body);
    }
    let kept = desk.kept("u-1").await;
    assert_eq!((kept.len(), kept[0].name.as_str(), kept[0].tiers.as_slice()), (1, "Backup", &["devel".to_owned()][..]));
    let hash = AccessTokenSecret::hash_of(&token).unwrap();
    let stored = desk.directory.access_token(hash).await.unwrap().expect("a token");
    assert_eq!((stored.token.id, &stored.owner), (kept[0].id, &key("u-1")));
    for page in [desk.show(&cookie).await, desk.stage.get("/_auth/").cookie(&cookie).send().await] {
        assert!(shown(&page).is_none(), "{}", page.body);
    }
    let audit = desk.directory.store().audit(AuditQuery { limit: 100, ..AuditQuery::default() }).await.unwrap();
    assert!(audit.entries.iter().any(|entry| entry.actor == "main/u-1"), "{audit:?}");
    assert!(!format!("{audit:?} {kept:?} {page:?}").contains(&token));
    // Loading the page again makes no second one.
    let again = desk.make(&cookie, "Backup").await;
    assert!(again.status == 409 && shown(&again).is_none());
    assert_eq!(desk.kept("u-1").await.len(), 1);
}

#[tokio::test]
async fn only_what_one_holds_may_be_asked_for() {
    let desk = Desk::new();
    let cookie = desk.stage.signed_in("u-1").await;
    let long = "x".repeat(101);
    for body in [
        "tier=devel&lifetime=60",
        "name=&tier=devel&lifetime=60",
        "name=+++&tier=devel&lifetime=60",
        "name=a&name=b&tier=devel&lifetime=60",
        "name=a%00b&tier=devel&lifetime=60",
        "name=a%0D%0Ab&tier=devel&lifetime=60",
        &format!("name={long}&tier=devel&lifetime=60"),
        "name=a&lifetime=60",
        "name=a&tier=&lifetime=60",
        "name=a&tier=admin&lifetime=60",
        "name=a&tier=devel&tier=admin&lifetime=60",
        "name=a&tier=public&lifetime=60",
        "name=a&tier=DEVEL&lifetime=60",
        "name=a&tier=devel",
        "name=a&tier=devel&lifetime=0",
        "name=a&tier=devel&lifetime=-1",
        "name=a&tier=devel&lifetime=1e3",
        "name=a&tier=devel&lifetime=7776001",
        "name=a&tier=devel&lifetime=99999999999999999999",
        "name=a&tier=devel&lifetime=60&lifetime=61",
        "",
    ] {
        let page = desk.post("/_auth/tokens", &cookie, body).await;
        assert!(page.status == 400 && shown(&page).is_none(), "{body}: {}", page.status);
    }
    assert!(desk.kept("u-1").await.is_empty());
    let body = "name=+both+&tier=devel&tier=stable&tier=devel&lifetime=7776000";
    assert!(shown(&desk.post("/_auth/tokens", &cookie, body).await).is_some());
    let kept = desk.kept("u-1").await;
    assert_eq!(
        (kept[0].name.as_str(), kept[0].tiers.as_slice()),
        ("both", &["stable".to_owned(), "devel".to_owned()][..])
    );
    assert_eq!(kept[0].expires_at, desk.now().plus(Duration::from_secs(90 * DAY)));
}

#[tokio::test]
async fn nobody_has_more_than_so_many_that_count() {
    let desk = Desk::new();
    let cookie = desk.stage.signed_in("u-1").await;
    for name in ["one", "two", "three"] {
        assert!(shown(&desk.make(&cookie, name).await).is_some(), "{name}");
    }
    let page = desk.make(&cookie, "four").await;
    assert!(page.status == 409 && shown(&page).is_none());
    let page = desk.show(&cookie).await;
    assert!(page.body.contains("as many as you may have") && !page.body.contains("name=\"lifetime\""), "{}", page.body);
    // Others have their own, and what is revoked or over makes room.
    assert!(shown(&desk.make(&desk.stage.signed_in("u-2").await, "one").await).is_some());
    let id = desk.kept("u-1").await[0].id;
    assert_eq!(desk.post("/_auth/tokens/revoke", &cookie, &format!("id={id}")).await.status, 303);
    assert!(shown(&desk.make(&cookie, "four").await).is_some());
    desk.stage.clock.forward(Duration::from_secs(3600));
    let cookie = desk.stage.signed_in("u-1").await;
    assert!(desk.show(&cookie).await.body.contains("You have no tokens."));
}

#[tokio::test]
async fn people_see_and_revoke_their_own_tokens_only() {
    let desk = Desk::new();
    let (own, other) = (desk.stage.signed_in("u-1").await, desk.stage.signed_in("u-2").await);
    let token = shown(&desk.make(&own, "mine <b>").await).unwrap();
    desk.make(&other, "theirs").await;
    let page = desk.show(&own).await;
    assert!(page.body.contains("mine &lt;b&gt;") && !page.body.contains("theirs"), "{}", page.body);
    let (mine, theirs) = (desk.kept("u-1").await[0].id, desk.kept("u-2").await[0].id);
    for (body, status) in [
        (format!("id={theirs}"), 303),
        ("id=x".to_owned(), 400),
        (String::new(), 400),
        (format!("id={mine}&id={mine}"), 400),
        (format!("id={}", "0".repeat(32)), 303),
    ] {
        assert_eq!(desk.post("/_auth/tokens/revoke", &own, &body).await.status, status, "{body}");
    }
    assert!(desk.kept("u-2").await[0].revoked_at.is_none() && desk.kept("u-1").await[0].revoked_at.is_none());
    let page = desk.post("/_auth/tokens/revoke", &own, &format!("id={mine}")).await;
    let location = page.headers.iter().find(|(name, _)| *name == "location").map(|(_, value)| value.as_str());
    assert_eq!((page.status, location), (303, Some("https://portal.example.com/_auth/tokens")));
    let stored = desk.directory.access_token(AccessTokenSecret::hash_of(&token).unwrap()).await.unwrap().unwrap();
    assert!(stored.token.revoked_at.is_some());
    // Twice is as good as once, and nobody is told more for not being signed in.
    assert_eq!(desk.post("/_auth/tokens/revoke", &own, &format!("id={mine}")).await.status, 303);
    assert_eq!(desk.post("/_auth/tokens/revoke", "", &format!("id={theirs}")).await.status, 401);
    assert_eq!(desk.show("").await.status, 401);
}

#[tokio::test]
async fn only_our_own_pages_make_and_revoke() {
    let desk = Desk::new();
    let cookie = desk.stage.signed_in("u-1").await;
    desk.make(&cookie, "kept").await;
    let id = desk.kept("u-1").await[0].id;
    for header in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "none"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("x-requested-with", "XMLHttpRequest"),
    ] {
        for (path, body) in [
            ("/_auth/tokens", "name=a&tier=devel&lifetime=60".to_owned()),
            ("/_auth/tokens/revoke", format!("id={id}")),
        ] {
            let asking = desk.stage.get(path).method("POST").cookie(&cookie).without("sec-fetch-site");
            let page = form(asking.header(header.0, header.1), &body).send().await;
            assert_eq!(page.status, 403, "{path} {header:?}");
        }
    }
    let kept = desk.kept("u-1").await;
    assert!(kept.len() == 1 && kept[0].revoked_at.is_none());
    // A GET makes nothing, whatever its query says.
    let page = desk.stage.get("/_auth/tokens?name=a&tier=devel&lifetime=60").cookie(&cookie).send().await;
    assert!(page.status == 200 && desk.kept("u-1").await.len() == 1);
    let asking = desk.stage.get("/_auth/tokens").method("POST").cookie(&cookie);
    let page = asking.header("content-type", "application/json").body(b"{}").send().await;
    assert_eq!(page.status, 415);
}

#[tokio::test]
async fn a_token_makes_no_token() {
    let desk = Desk::new();
    let cookie = desk.stage.signed_in("u-1").await;
    let token = shown(&desk.make(&cookie, "one").await).unwrap();
    let bearer = format!("Bearer {token}");
    for path in ["/_auth/tokens", "/_auth/sessions", "/_auth/me"] {
        let page = desk.stage.program("GET", path).header("authorization", &bearer).send().await;
        assert_eq!(page.status, 401, "{path}");
    }
    for path in ["/_auth/tokens", "/_auth/tokens/revoke"] {
        let id = desk.kept("u-1").await[0].id;
        let asking = desk.stage.program("POST", path).header("sec-fetch-site", "same-origin");
        let body = format!("name=a&tier=devel&lifetime=60&id={id}");
        assert_eq!(form(asking.header("authorization", &bearer), &body).send().await.status, 401, "{path}");
    }
    assert_eq!(desk.kept("u-1").await.len(), 1);
}

#[tokio::test]
async fn programs_of_the_owner_read_and_make_them_as_json() {
    let desk = Desk::new();
    let cookie = desk.stage.signed_in("u-1").await;
    let asking = desk.stage.program("POST", "/_auth/tokens").cookie(&cookie).header("sec-fetch-site", "same-origin");
    let page = form(asking, "name=ci&tier=devel&lifetime=60").send().await;
    let made: Value = serde_json::from_str(&page.body).unwrap();
    assert_eq!((page.status, made["name"].as_str()), (201, Some("ci")));
    assert!(AccessTokenSecret::has_form(made["token"].as_str().unwrap()));
    let page = desk.stage.program("GET", "/_auth/tokens").cookie(&cookie).send().await;
    let list: Value = serde_json::from_str(&page.body).unwrap();
    let token = &list["tokens"][0];
    assert_eq!((token["id"].as_str(), &token["last_used_at"]), (made["id"].as_str(), &Value::Null));
    assert!(!page.body.contains("tgp_"));
}

#[tokio::test]
async fn an_outage_shows_nothing_and_makes_nothing() {
    let desk = Desk::new();
    let cookie = desk.stage.signed_in("u-1").await;
    desk.stage.source.refuse(Some(NoSession::Unavailable));
    assert_eq!(desk.show(&cookie).await.status, 503);
    assert_eq!(desk.make(&cookie, "a").await.status, 503);
    assert_eq!(desk.post("/_auth/tokens/revoke", &cookie, "id=x").await.status, 503);
    desk.stage.source.refuse(None);
    assert!(desk.kept("u-1").await.is_empty());
}

#[tokio::test]
async fn somebody_whose_session_is_older_than_the_directory_gets_a_record() {
    let desk = Desk::new();
    let cookie = desk.stage.signed_in("u-9").await;
    assert!(desk.directory.standing(&key("u-9")).await.unwrap().is_none());
    assert_eq!(desk.show(&cookie).await.status, 200);
    assert!(desk.directory.standing(&key("u-9")).await.unwrap().is_none(), "looking makes no record");
    desk.make(&cookie, "a").await;
    let standing = desk.directory.standing(&key("u-9")).await.unwrap().expect("a record");
    let scopes: BTreeSet<&str> = standing.rights.scopes.iter().collect();
    assert!(scopes.contains("access:devel"), "{scopes:?}");
}

#[tokio::test]
async fn without_access_tokens_there_is_no_such_page() {
    let stage = Stage::new();
    let cookie = stage.signed_in("u-1").await;
    assert_eq!(stage.get("/_auth/tokens").cookie(&cookie).send().await.status, 404);
    for path in ["/_auth/", "/_auth/sessions"] {
        assert!(!stage.get(path).cookie(&cookie).send().await.body.contains("/_auth/tokens"), "{path}");
    }
    let desk = Desk::new();
    let cookie = desk.stage.signed_in("u-1").await;
    for path in ["/_auth/", "/_auth/sessions"] {
        let page = desk.stage.get(path).cookie(&cookie).send().await;
        assert!(page.body.contains("href=\"/_auth/tokens\""), "{path}");
    }
}

#[tokio::test]
async fn the_pages_read_as_they_were_reviewed() {
    let desk = Desk::new();
    let cookie = desk.stage.signed_in("u-1").await;
    let mut pages = vec![("tokens_none", desk.show(&cookie).await), ("token_made", desk.make(&cookie, "Backup").await)];
    let id = desk.kept("u-1").await[0].id;
    desk.directory.store().access_tokens_used(vec![(id, desk.now().plus(Duration::from_secs(60)))]).await.unwrap();
    pages.push(("tokens", desk.show(&cookie).await));
    pages.push(("token_taken", desk.make(&cookie, "Backup").await));
    for (name, page) in pages {
        let body = page.body.split("</head>").nth(1).expect("a body");
        let lines: Vec<&str> = body.lines().filter(|line| !line.trim().is_empty()).collect();
        let drawn = vec![(r"tgp_[\w-]{43}", "[token]"), (r"[0-9a-f]{32}", "[id]"), (r"<svg .*?</svg>", "[symbol]")];
        insta::with_settings!({ filters => drawn, omit_expression => true }, {
            insta::assert_snapshot!(format!("page_{name}"), format!("{}\n{}", page.status, lines.join("\n")));
        });
    }
}
