//! `apps promote`, of each kind of app.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use super::stage::{Apps, Stage, app, run};

fn promote(config: &Path, arguments: &[&str]) -> (i32, String, String) {
    run(&[&["apps", "promote", "-c", config.to_str().unwrap()], arguments].concat())
}

#[test]
fn a_drop_in_changes_by_one_word() {
    let apps = Apps::new();
    let text = "# the hazard app\nupstream: \"http://127.0.0.1:9\"  # here\r\ntier: 'devel'   # so far\n\nversion: 3\n";
    apps.write("deep/hazard.yaml", text);
    fs::rename(apps.path("deep"), apps.directory().with_extension("elsewhere")).unwrap();
    symlink("../apps.elsewhere/hazard.yaml", apps.path("hazard.yaml")).unwrap();
    let target = apps.directory().with_extension("elsewhere").join("hazard.yaml");
    fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).unwrap();
    let text = text.replace("version: 3", "version: '3'");
    fs::write(&target, &text).unwrap();
    let config = apps.config_file("");

    let (code, out, _) = promote(&config, &["hazard", "--to", "stable", "--dry-run"]);
    assert_eq!(code, 0);
    assert!(out.contains("hazard: devel -> stable, path /apps/devel/hazard -> /apps/stable/hazard"), "{out}");
    assert_eq!(fs::read_to_string(&target).unwrap(), text, "a dry run changes nothing");

    let (code, out, told) = promote(&config, &["devel/hazard", "--to", "stable"]);
    assert_eq!(code, 0, "{out}{told}");
    assert_eq!(fs::read_to_string(&target).unwrap(), text.replace("'devel'", "'stable'"));
    assert!(out.contains("run `tiergate proxy-config` again"), "{out}");
    assert_eq!(fs::metadata(&target).unwrap().mode() & 0o777, 0o640);
    assert!(fs::symlink_metadata(apps.path("hazard.yaml")).unwrap().is_symlink());

    let (code, _, told) = promote(&config, &["hazard", "--to", "stable"]);
    assert_eq!(code, 1);
    assert!(told.contains("`stable/hazard` is in `stable` already"), "{told}");
}

#[test]
fn a_folder_moves_and_a_config_changes_in_place() {
    let apps = Apps::new();
    apps.write("devel/maps/app.yaml", "upstream: http://127.0.0.1:9\n");
    let config = apps.config_file("apps:\n  - { name: one, tier: devel, upstream: \"http://h:1\" } # a\n  - { name: two, tier: devel, upstream: \"http://h:2\" } # b\n");
    let before = fs::read_to_string(&config).unwrap();
    let (code, _, told) = promote(&config, &["maps", "--to", "stable"]);
    assert_eq!(code, 0, "{told}");
    assert!(apps.path("stable/maps/app.yaml").is_file() && !apps.path("devel/maps").exists());
    let (code, _, told) = promote(&config, &["two", "--to", "public"]);
    assert_eq!(code, 0, "{told}");
    let expected = before.replace("name: two, tier: devel", "name: two, tier: public");
    assert_eq!(fs::read_to_string(&config).unwrap(), expected);
}

#[test]
fn what_would_go_wrong_is_refused_and_nothing_is_changed() {
    let apps = Apps::new();
    let config = apps.config_file("");
    apps.write("a.yaml", &app("devel", "version: '2'"));
    apps.write("a-old.yaml", &app("stable", "name: a\nversion: '1'"));
    apps.write("fixed.yaml", &app("devel", "path: /apps/devel/elsewhere"));
    apps.write("taken.yaml", &app("stable", "path: /apps/public/moving"));
    apps.write("moving.yaml", &app("devel", ""));
    apps.write("variable.yaml", "tier: ${APP_TIER:-devel}\nupstream: http://h\n");
    apps.write("devel/said/app.yaml", "tier: devel\nupstream: http://h\n");
    let cases: [(&[&str], i32, &[&str]); 10] = [
        (&["a", "--to", "public"], 2, &["say which of `stable/a`, `devel/a`"]),
        (&["devel/a", "--to", "stable"], 1, &["`stable/a` (1) is in that tier already", "`devel/a` (2)", "a-old.yaml"]),
        (&["fixed", "--to", "stable"], 1, &["fixed.yaml", "the `path` names the tier `devel`", "`{tier}`"]),
        (&["moving", "--to", "public"], 1, &["served at this path already"]),
        (&["variable", "--to", "stable"], 1, &["on line 1 is not written as plain `devel`"]),
        (&["said", "--to", "stable"], 1, &["said/app.yaml"]),
        (&["moving", "--to", "stabel"], 2, &["did you mean `stable`?"]),
        (&["movin", "--to", "stable"], 2, &["did you mean `moving`?"]),
        (&["nothing-like-it", "--to", "stable"], 2, &["tiergate apps list"]),
        (&["moving", "--to", "devel"], 1, &["is in `devel` already"]),
    ];
    let files = ["a.yaml", "a-old.yaml", "fixed.yaml", "moving.yaml", "variable.yaml", "devel/said/app.yaml"];
    let read = || files.map(|name| fs::read_to_string(apps.path(name)).unwrap());
    let before = read();
    for (arguments, expected, texts) in cases {
        let (code, out, told) = promote(&config, arguments);
        assert_eq!((code, out.as_str()), (expected, ""), "{arguments:?}: {told}");
        for text in texts {
            assert!(told.contains(text), "{arguments:?}: {text} is not in {told}");
        }
    }
    assert_eq!(read(), before);
}

#[test]
fn of_two_at_once_one_wins_and_the_other_is_told() {
    for kind in ["x.yaml", "devel/x/app.yaml"] {
        let apps = Apps::new();
        let config = apps.config_file("");
        let text = if kind == "x.yaml" { app("devel", "") } else { "upstream: http://h\n".to_owned() };
        apps.write(kind, &text);
        let mut codes: Vec<i32> = std::thread::scope(|scope| {
            let config = &config;
            let tries: Vec<_> =
                ["stable", "public"].map(|to| scope.spawn(move || promote(config, &["devel/x", "--to", to]).0)).into();
            tries.into_iter().map(|one| one.join().unwrap()).collect()
        });
        codes.sort_unstable();
        // The later one finds either the change itself or what it left: no such app any more.
        assert!(codes == [0, 1] || codes == [0, 2], "{kind}: {codes:?}");
    }
}

#[test]
fn a_running_service_follows_a_promotion() {
    let apps = Apps::new();
    let config = apps.config_file("");
    apps.write("x.yaml", &app("devel", ""));
    let stage = Stage::start(apps);
    assert_eq!((stage.status("/apps/devel/x"), stage.status("/apps/public/x")), (401, 403));
    let (code, _, told) = promote(&config, &["x", "--to", "public"]);
    assert_eq!(code, 0, "{told}");
    stage.becomes("/apps/public/x", 200);
    assert_eq!(stage.status("/apps/devel/x"), 403);
}
