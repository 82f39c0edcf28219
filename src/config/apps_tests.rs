use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use super::*;
use crate::config::{NoFiles, Sources};
use crate::types::{CanonicalPath, Host};

const CONFIG: &str = r#"
tiers:
  public: { grant: anyone }
  ea: { grant: { scopes: ["access:ea"] } }
  devel: { grant: { scopes: ["access:devel"] }, includes: [ea] }
rules:
  - { path: "/apps/{tier}/**", tier: "{tier}" }
  - { path: /written/**, tier: devel }
"#;

fn config(more: &str) -> Config {
    let text = format!("{CONFIG}{more}");
    let sources = Sources {
        file: Some(("tiergate.yaml", &text)),
        environment: BTreeMap::new(),
        read_secret: &|_| Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
        files: &NoFiles,
    };
    Config::load(&sources).unwrap()
}

fn file(name: &str, text: &str) -> Result<Entry, ConfigErrors> {
    let place = AppPlace::File { stem: name };
    config("").read_app(&AppText { file: "apps.d/x.yaml", text, place }, &variables())
}

fn variables() -> BTreeMap<String, String> {
    [("APP_PORT", "3000"), ("SECRET_KEY", "hunter2")].map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

fn rule_of(config: &Config, entries: &[Arc<Entry>], path: &str) -> Option<String> {
    let assembled = config.assemble(entries);
    let path = CanonicalPath::parse(path.as_bytes()).unwrap();
    assembled.policy.find(None, &path, "GET").map(|matched| matched.rule().name().to_owned())
}

#[test]
fn a_file_needs_only_a_tier_and_an_upstream() {
    let entry = file("hazard", "tier: devel\nupstream: http://127.0.0.1:${APP_PORT}\n").unwrap();
    let app = &entry.app;
    assert_eq!(app.id.to_string(), "devel/hazard");
    assert_eq!((app.front(), app.shown_title()), ("/apps/devel/hazard/", "hazard"));
    assert_eq!(app.upstream.to_string(), "http://127.0.0.1:3000");
    assert_eq!((app.prefix, app.hidden, app.source.as_str()), (Prefix::Strip, false, "apps.d/x.yaml"));
}

#[test]
fn every_fault_of_an_app_is_told_with_its_place() {
    let vectors =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/config/apps/faults.yaml"));
    let vectors = vectors.unwrap();
    let mut told = String::new();
    for case in vectors.split("# case: ").skip(1) {
        let (title, text) = case.split_once('\n').unwrap();
        let errors = file("hazard", text).expect_err(title);
        writeln!(told, "== {title}\n{errors}\n").unwrap();
    }
    assert!(!told.contains("hunter2"));
    insta::assert_snapshot!("faults_of_apps", told);
}

#[test]
fn a_folder_says_tier_and_name() {
    let config =
        config("apps_defaults: { upstream: \"http://{name}-{tier}:8000\", owner: Platform team, health: /up }\n");
    let folder = |text| {
        let place = AppPlace::Folder { tier: "ea", name: "reports" };
        config.read_app(&AppText { file: "apps/ea/reports/app.yaml", text, place }, &variables())
    };
    let app = folder("").unwrap().app;
    assert_eq!(
        (app.id.to_string().as_str(), app.upstream.to_string().as_str()),
        ("ea/reports", "http://reports-ea:8000")
    );
    assert_eq!((app.owner.as_deref(), app.health.as_deref()), (Some("Platform team"), Some("/up")));
    assert_eq!(
        folder("tier: ea\nname: reports\nowner: Reports team\n").unwrap().app.owner.as_deref(),
        Some("Reports team")
    );
    let errors = folder("tier: devel\n").unwrap_err().to_string();
    assert!(errors.contains("apps/ea/reports/app.yaml:1:7: the tier is not that of the folder, `ea`"), "{errors}");
    assert!(folder("name: report\n").is_err());
}

#[test]
fn an_extra_rule_asks_for_the_tier_too_unless_it_names_one() {
    let text = "tier: devel\nupstream: http://a\nrules:\n  - { path: /status, tier: public }\n  - { path: /edit, scopes: [write] }\n  \
                - { path: /any, any: [{ tier: public }, { scopes: [x] }] }\n  - { path: /more, require: { tier: public } }\n";
    let app = file("hazard", text).unwrap().app;
    let tiers: Vec<_> = app.rules.iter().map(|rule| (rule.path.as_str(), rule.tier.as_deref())).collect();
    assert_eq!(
        tiers,
        [
            ("/apps/devel/hazard/status", Some("public")),
            ("/apps/devel/hazard/edit", Some("devel")),
            // A tier among alternatives is no tier that is asked for.
            ("/apps/devel/hazard/any", Some("devel")),
            ("/apps/devel/hazard/more", None),
        ]
    );
}

#[test]
fn a_rule_for_everything_takes_the_place_of_the_apps_own() {
    let text = "tier: devel\nupstream: http://a\nrules:\n  - { path: /**, scopes: [x], token_from: [header, query] }\n";
    let app = file("chat", text).unwrap().app;
    assert_eq!(app.rules.len(), 1);
    assert_eq!((app.rules[0].path.as_str(), app.rules[0].tier.as_deref()), ("/apps/devel/chat/**", Some("devel")));
    // One for some methods stands beside it.
    let text = "tier: devel\nupstream: http://a\nrules:\n  - { path: /**, methods: [GET], tier: public }\n";
    let app = file("chat", text).unwrap().app;
    assert_eq!(app.rules.len(), 1);
}

#[test]
fn an_app_in_the_way_of_another_stays_out_whole() {
    let config = config("");
    let entry = |stem: &str, text: &str| {
        let place = AppPlace::File { stem };
        Arc::new(config.read_app(&AppText { file: stem, text, place }, &variables()).unwrap())
    };
    let first = entry("a", "tier: devel\nupstream: http://a\nrules:\n  - { path: /x }\n");
    let same_id = entry("b", "name: a\ntier: devel\nupstream: http://b\npath: /b\n");
    let same_path = entry("c", "tier: ea\nupstream: http://c\npath: /apps/devel/a\n");
    let same_rule = entry("d", "tier: ea\nupstream: http://d\npath: /apps/devel\nrules:\n  - { path: /a/x }\n");
    let of_the_config = entry("e", "tier: public\nupstream: http://e\npath: /written\nrules:\n  - { path: /** }\n");
    let last = entry("f", "tier: public\nupstream: http://f\n");
    let entries = [first, same_id, same_path, same_rule, of_the_config, last];
    let assembled = config.assemble(&entries);
    let told: Vec<String> =
        assembled.conflicts.iter().map(|(position, conflict)| format!("{position}: {conflict}")).collect();
    assert_eq!(
        told,
        [
            "1: there is an app `devel/a` already",
            "2: the app `devel/a` is served at this path already",
            "3: the rule `/apps/devel/a/x` covers what the rule `/apps/devel/a/x` of the app `devel/a` covers",
            "4: the rule `/written/**` covers what the rule `/written/**` of the config covers",
        ]
    );
    let ids: Vec<String> = assembled.catalogue.apps().iter().map(|app| app.id.to_string()).collect();
    assert_eq!(ids, ["public/f", "devel/a"]);
    // No rule of one that is out is in.
    assert_eq!(rule_of(&config, &entries, "/apps/devel/z").as_deref(), Some("/apps/{tier}/**"));
    assert_eq!(rule_of(&config, &entries, "/apps/devel/a/x").as_deref(), Some("/apps/devel/a/x"));
    assert_eq!(rule_of(&config, &entries, "/b/"), None);
}

#[test]
fn the_order_of_files_changes_nothing_but_who_was_first() {
    let config = config("");
    let entry = |stem: &str| {
        let place = AppPlace::File { stem };
        let text = "tier: ea\nupstream: http://x\n";
        Arc::new(config.read_app(&AppText { file: stem, text, place }, &variables()).unwrap())
    };
    let mut entries: Vec<_> = ["c", "a", "b"].into_iter().map(entry).collect();
    let one = config.assemble(&entries);
    entries.reverse();
    let other = config.assemble(&entries);
    assert_eq!(one.policy.fingerprint(), other.policy.fingerprint());
    assert_ne!(one.policy.fingerprint(), config.policy.fingerprint());
    let ids = |catalogue: &Catalogue| catalogue.apps().iter().map(|app| app.id.to_string()).collect::<Vec<_>>();
    assert_eq!(ids(&one.catalogue), ids(&other.catalogue));
}

#[test]
fn the_app_of_a_path_is_the_nearest_one_on_its_host() {
    let config = config("");
    let entry = |stem: &str, more: &str| {
        let place = AppPlace::File { stem };
        let text = format!("tier: ea\nupstream: http://x\n{more}");
        Arc::new(config.read_app(&AppText { file: stem, text: &text, place }, &variables()).unwrap())
    };
    let entries = [
        entry("outer", "path: /a"),
        entry("inner", "path: /a/b"),
        entry("whole", "host: own.example.com\npath: /"),
        entry("port", "host: \"own.example.com:8443\"\npath: /a"),
    ];
    let catalogue = config.assemble(&entries).catalogue;
    for (host, path, name) in [
        ("x", "/a", Some("outer")),
        ("x", "/a/", Some("outer")),
        ("x", "/a/bc/d", Some("outer")),
        ("x", "/a/b", Some("inner")),
        ("x", "/a/b/c/d", Some("inner")),
        ("x", "/ab", None),
        ("x", "/", None),
        ("own.example.com", "/a/b", Some("whole")),
        ("own.example.com", "/", Some("whole")),
        ("own.example.com:8443", "/a/b", Some("port")),
        ("own.example.com:8443", "/b", Some("whole")),
    ] {
        let host = Host::parse(host.as_bytes()).unwrap();
        let found = catalogue.serving(Some(&host), path).map(|app| app.id.name.as_str());
        assert_eq!(found, name, "{host:?} {path}");
    }
}

/// Which tiers a request needs, with the rules of the config and one app.
#[test]
fn the_tier_of_an_app_comes_on_top_of_what_the_config_asks() {
    let rules = r#"
rules:
  - { path: /wide/**, permissions: [portal] }
  - { path: "/wide/devel/{app}/**", tier: public }
  - { path: /wide/devel/a/inside/**, tier: public }
  - { path: /same/**, tier: public }
  - { path: /same/**, methods: [PUT], tier: public }
  - { host: api.example.com, path: /wide/**, tier: public }
  - { path: /closed/**, tier: devel }
  - { path: "/apps/{tier}/**", tier: "{tier}", permissions: [portal] }
"#;
    let text = format!("{}{rules}", CONFIG.split("rules:").next().unwrap());
    let sources = Sources {
        file: Some(("tiergate.yaml", &text)),
        environment: BTreeMap::new(),
        read_secret: &|_| Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
        files: &NoFiles,
    };
    let config = Config::load(&sources).unwrap();
    let entry = |stem: &str, more: &str| {
        let text = format!("tier: devel\nupstream: http://x\n{more}");
        let place = AppPlace::File { stem };
        Arc::new(config.read_app(&AppText { file: stem, text: &text, place }, &variables()).unwrap())
    };
    let entries = [
        entry(
            "a",
            "path: /wide/devel/a\nrules:\n  - { path: /open/**, tier: public }\n  - { path: /**, methods: [POST], tier: ea }\n",
        ),
        entry("b", "path: /wide/b"),
        entry("same", "path: /same"),
        entry("alone", "path: /alone"),
        entry("own", "host: own.example.com\npath: /"),
        entry("q", "path: /closed/q\nrules:\n  - { path: /**, tier: public }\n  - { path: /a, tier: public }\n"),
        entry("z", "rules:\n  - { path: /status, tier: public }\n"),
        entry("outer", "path: /out\nrules:\n  - { path: /in/deep/**, tier: public }\n"),
        entry("inner", "path: /out/in"),
    ];
    let assembled = config.assemble(&entries);
    assert_eq!(assembled.conflicts, []);
    let asks = |method: &str, host: Option<&str>, path: &str| {
        let host = host.map(|host| Host::parse(host.as_bytes()).unwrap());
        let path = CanonicalPath::parse(path.as_bytes()).unwrap();
        let matched = assembled.policy.find(host.as_ref(), &path, method)?;
        Some(matched.requirement(assembled.policy.tiers()).to_string())
    };
    for (method, host, path, asked) in [
        // What stands in the config for more than the app is narrowed by the app's tier.
        ("GET", None, "/wide/b/x", Some("permission portal and tier devel")),
        ("GET", None, "/wide/devel/a/x", Some("tier public and tier devel")),
        ("GET", None, "/wide/devel/a", Some("tier public and tier devel")),
        ("GET", Some("api.example.com"), "/wide/b/x", Some("tier public and tier devel")),
        ("GET", None, "/same/x", Some("tier public and tier devel")),
        ("PUT", None, "/same/x", Some("tier public and tier devel")),
        // What stands there for a part of the app is what the operator wanted of that part.
        ("GET", None, "/wide/devel/a/inside/x", Some("tier public")),
        // So are the app's own rules.
        ("GET", None, "/wide/devel/a/open/x", Some("tier public")),
        ("POST", None, "/wide/devel/a/x", Some("tier ea and tier public")),
        // They take away nothing that the config asks, but for the tier that it reads from the path.
        ("GET", None, "/closed/q/x", Some("tier public and tier devel")),
        ("GET", None, "/closed/q/a", Some("tier public and tier devel")),
        ("GET", None, "/apps/devel/z/status", Some("tier public and permission portal")),
        ("GET", None, "/apps/devel/z/x", Some("tier devel and permission portal")),
        // No app says anything of what is within another one.
        ("GET", None, "/out/in/deep/x", Some("tier devel")),
        ("GET", None, "/out/x", Some("tier devel")),
        // Without a rule in the config, the app's tier is all.
        ("GET", None, "/alone/x", Some("tier devel")),
        ("GET", Some("own.example.com"), "/x", Some("tier devel")),
        // A rule for every host is less than the app's own host.
        ("GET", Some("own.example.com"), "/wide/devel/a/inside/x", Some("tier public and tier devel")),
        ("GET", None, "/wide/c", Some("permission portal")),
        ("GET", None, "/other", None),
    ] {
        assert_eq!(asks(method, host, path).as_deref(), asked, "{method} {host:?} {path}");
    }
}
