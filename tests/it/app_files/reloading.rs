//! The config itself changes, and the running service follows, or says why not.

use std::fs;

use tiergate_testbed::request;

use super::stage::{Apps, Stage, app};

const OPEN: &str = "rules: [{ path: /page, tier: public }]\n";
const CLOSED: &str = "rules: [{ path: /page, tier: devel }]\n";

fn write_config(stage: &Stage, more: &str) {
    stage.service.write_config(&stage.apps.config(more)).unwrap();
}

#[test]
fn the_config_is_swapped_whole_or_not_at_all() {
    let apps = Apps::new();
    apps.write("x.yaml", &app("devel", ""));
    let stage = Stage::start_with(apps, CLOSED, |builder| builder);
    assert_eq!((stage.status("/page"), stage.status("/apps/devel/x")), (401, 401));

    write_config(&stage, OPEN);
    stage.becomes("/page", 200);
    assert_eq!(stage.status("/apps/devel/x"), 401, "the apps stay");

    let policy = stage.policy();
    write_config(&stage, "rules: [{ path: /page, tier: gold }]\nrulez: []\n");
    stage.says(&["there is no tier `gold`", "\"line\":8", "the last good one stays"]);
    stage.says(&["rulez", "the last good one stays"]);
    assert_eq!((stage.status("/page"), stage.policy()), (200, policy.clone()));
    stage.until("it is counted", || stage.reloads("invalid") == 1.0);

    // Neither the rule nor the rest of it is taken.
    write_config(&stage, &format!("{CLOSED}base_path: /elsewhere\nlimits: {{ token_cache: 7 }}\n"));
    stage.says(&["needs a restart", "base_path, limits"]);
    assert_eq!((stage.status("/page"), stage.policy()), (200, policy));
    assert_eq!(stage.reloads("restart_needed"), 1.0);

    // The apps are followed all the same.
    stage.apps.write("y.yaml", &app("public", ""));
    stage.becomes("/apps/public/y", 200);

    write_config(&stage, CLOSED);
    stage.becomes("/page", 401);
    assert_eq!(stage.status("/apps/public/y"), 200);
}

#[test]
fn tiers_that_change_judge_every_app_anew() {
    let apps = Apps::new();
    apps.write("x.yaml", &app("public", ""));
    apps.write("y.yaml", &app("devel", ""));
    let stage = Stage::start(apps);
    assert_eq!((stage.status("/apps/public/x"), stage.status("/apps/devel/y")), (200, 401));
    let other = stage.apps.config("").replace("public: { grant: anyone }", "open: { grant: anyone }");
    stage.service.write_config(&other).unwrap();
    stage.becomes("/apps/public/x", 403);
    stage.says(&["x.yaml", "there is no tier `public`"]);
    assert_eq!(stage.status("/apps/devel/y"), 401);
    stage.apps.write("x.yaml", &app("open", ""));
    stage.becomes("/apps/open/x", 200);
    let metrics = stage.service.metrics().unwrap();
    assert!(metrics.contains("tier=\"open\"") && metrics.contains("tier=\"public\""), "{metrics}");
}

#[test]
fn a_hang_up_reads_everything_anew() {
    let stage = Stage::start(Apps::new());
    assert_eq!(stage.reloads("ok"), 0.0);
    stage.service.process.hang_up();
    stage.until("it is counted", || stage.reloads("ok") == 1.0);
    stage.service.process.hang_up();
    stage.until("it is counted", || stage.reloads("ok") == 2.0);
}

#[test]
fn files_that_the_config_reads_are_followed() {
    let more = "rules: [{ path: /page, tier: \"${PAGE_TIER}\" }]\nsessions: { store: memory, secrets_file: secret }\n";
    let stage = Stage::start_with(Apps::new(), more, |builder| {
        builder.file(".env", "PAGE_TIER=public\n").file("secret", "thirty two bytes of a good secret\n")
    });
    assert_eq!(stage.status("/page"), 200);
    let beside = stage.service.config_path().parent().unwrap().to_owned();
    fs::write(beside.join(".env"), "PAGE_TIER=devel\n").unwrap();
    stage.becomes("/page", 401);
    // What is in it can only be applied by a restart, and nobody has to be told what it is.
    fs::write(beside.join("secret"), "another thirty two bytes as secret\n").unwrap();
    stage.says(&["needs a restart", "sessions"]);
    assert_eq!(stage.said(&["another thirty two"]), 0);
    fs::remove_file(beside.join("secret")).unwrap();
    stage.says(&["the file `secret` cannot be read", "the last good one stays"]);
    assert_eq!(stage.status("/page"), 401);
}

#[test]
fn what_decides_about_answers_changes_at_once() {
    let stage = Stage::start_with(Apps::new(), OPEN, |builder| builder);
    let ask = |path: &str| {
        let headers = [
            ("X-Forwarded-Method", "GET"),
            ("X-Forwarded-Proto", "http"),
            ("X-Forwarded-Host", "localhost"),
            ("X-Forwarded-Uri", path),
        ];
        request(stage.service.http(), "GET", "/authz/forward-auth", &headers).unwrap()
    };
    assert!(ask("/page").header("X-Special").is_none());
    let more = "identity_headers: { strip: [X-Special] }\nerrors: { json_template: '{\"code\": {{ status }} }' }\n";
    write_config(&stage, &format!("{OPEN}{more}"));
    stage.until("a further header is taken out", || ask("/page").header("X-Special").is_some());
    assert_eq!(ask("/nowhere").text(), "{\"code\": 403 }");
}
