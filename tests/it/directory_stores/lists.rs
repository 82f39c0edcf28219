//! Searches and pages.

use serde_json::json;
use tiergate::backend::memory_directory::MemoryDirectory;
use tiergate::directory::{DirectoryError, Report, ScimResource, UserChange, UserDirectory, UserOrder, UserQuery};
use tiergate::types::{Email, ProviderId};

use super::stage::{
    DirectoryUnderTest, at, change, disable, grant, names, new_id, object, query, reported, request, sign_in, subjects,
};
use super::users::ALIKE;

/// A user of whom more is known, by number.
fn person(number: i64) -> UserChange {
    let scim = ScimResource { external_id: Some(format!("Ext{number}")), resource: object(json!({})) };
    reported(Report {
        as_of: at(number),
        user_name: Some(format!("User{}", number * 7 % 10)),
        email: Some(Some(Email::new(&format!("Person{number}@Example.com"), true))),
        name: Some((number % 2 == 0).then(|| format!("Pérson {number}"))),
        groups: Some(names(if number % 3 == 0 { &["ops", "all"] } else { &["all"] })),
        disabled: Some(number % 4 == 0),
        scim: (number % 5 == 0).then_some(scim),
        ..Report::default()
    })
}

async fn fill(store: &dyn UserDirectory) {
    for number in 1..=12 {
        let subject = format!("subject-{number}");
        let mut made = request(super::stage::of(&subject), person(number), 100 - number % 5);
        made.new_id = tiergate::directory::UserId::from_bytes([u8::try_from(number * 37 % 250).unwrap(); 16]);
        store.change(made).await.unwrap();
        if number % 6 == 0 {
            change(store, &subject, grant("devel", Some(5)), 100).await;
        }
        if number % 2 == 0 {
            change(store, &subject, sign_in(50 - number % 3), 100).await;
        }
    }
    change(store, "subject-12", UserChange::Gone { as_of: at(500) }, 500).await;
}

pub(crate) async fn searches_find_what_they_name_and_nothing_else(stage: &impl DirectoryUnderTest) {
    let store = stage.open_replica().await;
    fill(store.as_ref()).await;
    for (search, found) in [
        ("subject-1", 3),
        ("SUBJECT-11", 1),
        ("person", 11),
        ("PERSON10@example.COM", 1),
        ("pérson 1", 1),
        ("PÉRSON", 5),
        ("user7", 2),
        ("nobody", 0),
        ("", 11),
        // No field ends where the next one begins.
        ("comsubject", 0),
    ] {
        let page = store.users(UserQuery { search: Some(search.to_owned()), ..query() }).await.unwrap();
        assert_eq!((page.users.len(), page.total), (found, found as u64), "{search}");
    }
}

pub(crate) async fn hostile_searches_are_texts(stage: &impl DirectoryUnderTest) {
    let store = stage.open_replica().await;
    let hostile = [
        "50%",
        "5_0",
        "a'b",
        "a\"b",
        "a\\b",
        "x' OR '1'='1",
        "?",
        "$1",
        "--",
        "*",
        "[a]",
        "\0",
        "\u{1f}x",
        "'; DROP TABLE directory_user; --",
    ];
    for subject in hostile {
        change(store.as_ref(), subject, sign_in(1), 1).await;
    }
    for (search, expected) in [
        ("%", vec!["50%"]),
        ("_", vec!["'; DROP TABLE directory_user; --", "5_0"]),
        ("5%0", vec![]),
        ("' or '", vec!["x' OR '1'='1"]),
        ("\\", vec!["a\\b"]),
        ("?", vec!["?"]),
        ("$1", vec!["$1"]),
        ("*", vec!["*"]),
        ("[", vec!["[a]"]),
        ("\0", vec!["\0"]),
        ("drop table", vec!["'; DROP TABLE directory_user; --"]),
    ] {
        let mut found = subjects(store.as_ref(), UserQuery { search: Some(search.to_owned()), ..query() }).await;
        found.sort();
        assert_eq!(found, expected, "{search:?}");
    }
}

pub(crate) async fn filters_find_what_the_model_finds(stage: &impl DirectoryUnderTest) {
    let (store, model) = (stage.open_replica().await, MemoryDirectory::new());
    fill(store.as_ref()).await;
    fill(&model).await;
    let text = |text: &str| Some(text.to_owned());
    let filters = [
        query(),
        UserQuery { provider: Some(ProviderId::new("main")), ..query() },
        UserQuery { provider: Some(ProviderId::new("Main")), ..query() },
        UserQuery { user_name: text("uSER7"), ..query() },
        UserQuery { user_name: text("user"), ..query() },
        UserQuery { external_id: text("Ext10"), ..query() },
        UserQuery { external_id: text("ext10"), ..query() },
        UserQuery { email: text("person3@EXAMPLE.com"), ..query() },
        UserQuery { disabled: Some(true), ..query() },
        UserQuery { disabled: Some(false), ..query() },
        UserQuery { group: text("ops"), ..query() },
        UserQuery { group: text("Ops"), ..query() },
        UserQuery { granted_tier: text("devel"), ..query() },
        UserQuery { granted_tier: text("dev"), ..query() },
        UserQuery { is_scim: Some(true), ..query() },
        UserQuery { is_scim: Some(false), search: text("1"), ..query() },
        UserQuery { group: text("all"), disabled: Some(false), search: text("PÉRSON"), ..query() },
    ];
    for filter in filters {
        for order in [UserOrder::UserName, UserOrder::LastSeen, UserOrder::Id, UserOrder::Created] {
            for (offset, limit) in [(0, 100), (0, 2), (1, 2), (3, 100), (50, 1), (0, 0)] {
                let query = UserQuery { order, offset, limit, ..filter.clone() };
                let (found, expected) = (store.users(query.clone()).await, model.users(query.clone()).await);
                let (mut found, mut expected) = (found.unwrap(), expected.unwrap());
                for user in found.users.iter_mut().chain(&mut expected.users) {
                    user.sequence = 0;
                }
                assert_eq!(found, expected, "{query:?}");
            }
        }
    }
}

pub(crate) async fn pages_follow_each_other(stage: &impl DirectoryUnderTest) {
    let store = stage.open_replica().await;
    fill(store.as_ref()).await;
    for subject in ALIKE {
        change(store.as_ref(), subject, sign_in(1), 1).await;
    }
    let long = "y".repeat(300);
    for end in ["b", "a"] {
        change(store.as_ref(), &format!("{long}{end}"), sign_in(1), 1).await;
    }
    for order in [UserOrder::UserName, UserOrder::LastSeen, UserOrder::Id, UserOrder::Created] {
        let whole = subjects(store.as_ref(), UserQuery { order, ..query() }).await;
        assert_eq!(whole.len(), 11 + ALIKE.len() + 2);
        for limit in [1, 2, 5] {
            let (mut paged, mut after) = (Vec::new(), None);
            loop {
                let page = store.users(UserQuery { order, after, limit, ..query() }).await.unwrap();
                assert_eq!(page.total, whole.len() as u64);
                after = page.users.last().map(|user| user.id);
                paged.extend(page.users.into_iter().map(|user| user.key.subject.into_string()));
                if !page.more {
                    break;
                }
            }
            assert_eq!(paged, whole, "{order:?} by {limit}");
        }
    }
    let stranger = store.users(UserQuery { after: Some(new_id()), ..query() }).await;
    assert!(matches!(stranger, Err(DirectoryError::Missing("user"))), "{stranger:?}");
}

pub(crate) async fn a_page_goes_on_after_somebody_who_was_deleted(stage: &impl DirectoryUnderTest) {
    let store = stage.open_replica().await;
    for (name, number) in [("a", 1), ("b", 2), ("c", 3), ("d", 4)] {
        let named = Report { as_of: at(1), user_name: Some(name.to_owned()), ..Report::default() };
        change(store.as_ref(), &format!("z{}", 9 - number), reported(named), number).await;
    }
    for order in [UserOrder::UserName, UserOrder::Created] {
        let first = store.users(UserQuery { limit: 2, order, ..query() }).await.unwrap();
        let last = first.users.last().unwrap();
        let (after, subject) = (Some(last.id), last.key.subject.to_string());
        let rest = subjects(store.as_ref(), UserQuery { after, order, ..query() }).await;
        for step in [UserChange::Gone { as_of: at(5) }, disable()] {
            change(store.as_ref(), &subject, step, 5).await;
            assert_eq!(subjects(store.as_ref(), UserQuery { after, order, ..query() }).await, rest, "{order:?}");
        }
    }
}
