//! One file changes, and the running service follows.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::time::Duration;

use super::stage::{Apps, Stage, app, run};

#[test]
fn an_app_comes_changes_breaks_is_mended_moves_and_goes() {
    let stage = Stage::start(Apps::new());
    let path = "/apps/devel/hazard/x";
    assert_eq!(stage.status(path), 403);
    let mut took = Vec::new();
    let first = stage.policy();

    stage.apps.write("hazard.yaml", &app("devel", ""));
    took.push(stage.becomes(path, 401));
    assert_eq!(stage.metric("tiergate_apps", &[]), 1.0);
    assert_ne!(stage.policy(), first);

    stage.apps.write("hazard.yaml", &app("public", "path: /apps/devel/hazard"));
    took.push(stage.becomes(path, 200));

    let reloads = stage.reloads("ok");
    stage.apps.write("hazard.yaml", "tier: public\nupstream: ftp://x\n");
    stage.says(&["hazard.yaml", "\"line\":2", "\"column\":11", "neither an http nor an https URL"]);
    stage.apps.write("hazard.yaml", "tier: public\nupstream: ftp://x\ntitel: x\n");
    stage.says(&["hazard.yaml", "\"line\":3", "did you mean `title`?", "last good version stays"]);
    assert_eq!(stage.status(path), 200, "the last good version stays");
    assert_eq!((stage.metric("tiergate_apps", &[]), stage.metric("tiergate_app_files_bad", &[])), (1.0, 1.0));
    assert_eq!((stage.reloads("ok"), stage.reloads("invalid")), (reloads, 2.0), "nothing was swapped");

    stage.apps.write("other.yaml", &app("public", ""));
    took.push(stage.becomes("/apps/public/other", 200));
    assert_eq!(stage.said(&["titel"]), 1, "a fault is told once");

    stage.apps.write("hazard.yaml", &app("public", "path: /apps/devel/hazard"));
    stage.says(&["hazard.yaml", "refused no longer"]);
    stage.apps.write("bad.yaml", "tier: gold\nupstream: http://x\n");
    stage.says(&["bad.yaml", "there is no such app"]);
    stage.apps.remove("bad.yaml");
    stage.says(&["bad.yaml", "the refused app file is gone"]);
    assert_eq!(stage.metric("tiergate_app_files_bad", &[]), 0.0);

    // One step takes it out of one tier and into another.
    stage.apps.write("hazard.yaml", &app("stable", ""));
    took.push(stage.becomes("/apps/stable/hazard", 401));
    assert_eq!(stage.status(path), 403, "the old path is gone");

    stage.apps.rename("hazard.yaml", "renamed.yaml");
    took.push(stage.becomes("/apps/stable/renamed", 401));
    assert_eq!(stage.status("/apps/stable/hazard"), 403);

    stage.apps.remove("renamed.yaml");
    took.push(stage.becomes("/apps/stable/renamed", 403));
    assert_eq!(stage.metric("tiergate_apps", &[]), 1.0);

    took.sort();
    println!("a change took {took:?}");
    assert!(took[took.len() / 2] < Duration::from_secs(2), "{took:?}");

    let decisions = stage.decisions("/apps/stable/hazard");
    let tiers: Vec<_> = decisions.iter().map(|line| line["tier"].as_str().map(str::to_owned)).collect();
    assert!(tiers.contains(&Some("stable".to_owned())) && tiers.contains(&None), "{tiers:?}");
}

#[test]
fn a_service_starts_without_the_apps_that_are_faulty() {
    let apps = Apps::new();
    apps.write("good.yaml", &app("public", ""));
    apps.write("bad.yaml", "tier: gold\nupstream: http://x\n");
    apps.write("twin.yaml", &app("public", "name: good"));
    let config = apps.config_file("");
    let (code, out, told) = run(&["config", "check", "-c", &config.display().to_string()]);
    assert_eq!((code, out.as_str()), (78, ""), "{told}");
    assert!(told.contains("bad.yaml:1:7: there is no tier `gold`"), "{told}");
    assert!(
        told.contains("twin.yaml: there is an app `public/good` already (`") && told.contains("good.yaml`)"),
        "{told}"
    );
    let stage = Stage::start(apps);
    assert_eq!(stage.status("/apps/public/good"), 200);
    stage.says(&["bad.yaml", "there is no such app"]);
    assert_eq!(stage.metric("tiergate_app_files_bad", &[]), 2.0);
    stage.apps.write("bad.yaml", &app("public", ""));
    stage.becomes("/apps/public/bad", 200);
    // Its twin goes, and the other one can come.
    stage.apps.remove("good.yaml");
    stage.says(&["twin.yaml", "refused no longer"]);
    assert_eq!(stage.status("/apps/public/good"), 200);
}

#[test]
fn a_new_file_takes_nothing_from_an_app_that_is_there() {
    let apps = Apps::new();
    apps.write("m.yaml", &app("devel", "path: /m"));
    apps.write("n.yaml", &app("devel", "path: /n"));
    let stage = Stage::start(apps);
    // It comes first by its name, and would open the path to everybody.
    stage.apps.write("a.yaml", &app("public", "path: /m"));
    stage.says(&["a.yaml", "the app `devel/m` is served at this path already", "m.yaml`)"]);
    assert_eq!(stage.status("/m"), 401);
    // One that is there and changes into the place of another stays as it was.
    stage.apps.write("n.yaml", &app("public", "path: /m"));
    stage.says(&["n.yaml", "served at this path already", "last good version stays"]);
    assert_eq!((stage.status("/m"), stage.status("/n")), (401, 401));
    // Two that change places in one step are in nobody's way.
    stage.apps.remove("a.yaml");
    stage.apps.write("n.yaml", &app("devel", "path: /n"));
    stage.says(&["n.yaml", "refused no longer"]);
    for (name, path) in [("m", "/n"), ("n", "/m")] {
        let new = stage.apps.path(&format!("{name}.yaml.new"));
        fs::write(&new, app("public", &format!("path: {path}"))).unwrap();
        fs::rename(new, stage.apps.path(&format!("{name}.yaml"))).unwrap();
    }
    stage.becomes("/m", 200);
    stage.becomes("/n", 200);
    assert_eq!(stage.metric("tiergate_app_files_bad", &[]), 0.0);
}

#[test]
fn folders_are_apps_too() {
    let apps = Apps::new();
    apps.write("devel/hazard/app.yaml", "title: Hazard\n");
    apps.write("public/page/index.html", "x");
    let stage = Stage::start_with(apps, "apps_defaults: { upstream: \"http://{name}:8000\" }\n", |builder| builder);
    assert_eq!((stage.status("/apps/devel/hazard"), stage.status("/apps/public/page")), (401, 200));
    stage.apps.rename("devel/hazard", "public/hazard");
    stage.becomes("/apps/public/hazard", 200);
    assert_eq!(stage.status("/apps/devel/hazard"), 403);
    // What the app itself writes beside its file changes nothing.
    let reloads = stage.reloads("ok");
    stage.apps.write("public/hazard/app.log", "x");
    stage.apps.write("public/hazard/app.yaml", "tier: stable\n");
    stage.says(&["hazard/app.yaml", "the tier is not that of the folder, `public`"]);
    assert_eq!((stage.status("/apps/public/hazard"), stage.reloads("ok")), (200, reloads));
    fs::remove_dir_all(stage.apps.path("public")).unwrap();
    stage.becomes("/apps/public/page", 403);
    stage.apps.write("stable/new/readme", "x");
    stage.becomes("/apps/stable/new", 401);
    // The directory itself goes and comes back.
    fs::rename(stage.apps.directory(), stage.apps.directory().with_extension("away")).unwrap();
    stage.becomes("/apps/stable/new", 403);
    fs::rename(stage.apps.directory().with_extension("away"), stage.apps.directory()).unwrap();
    stage.becomes("/apps/stable/new", 401);
    stage.apps.write("public/again/x", "x");
    stage.becomes("/apps/public/again", 200);
}

#[test]
fn however_an_editor_saves() {
    let apps = Apps::new();
    apps.write("x.yaml", &app("devel", ""));
    let stage = Stage::start(apps);
    let path = stage.apps.path("x.yaml");
    let is = |tier: &str| {
        stage.becomes(&format!("/apps/{tier}/x"), if tier == "public" { 200 } else { 401 });
        stage.until("the other one is gone", || {
            stage.status(if tier == "public" { "/apps/devel/x" } else { "/apps/public/x" }) == 403
        });
    };
    is("devel");
    // In place, in two pieces.
    let mut file = fs::OpenOptions::new().write(true).truncate(true).open(&path).unwrap();
    file.write_all(b"tier: pub").unwrap();
    file.write_all(b"lic\nupstream: http://127.0.0.1:9\n").unwrap();
    drop(file);
    is("public");
    // Beside it, then over it.
    fs::write(stage.apps.path(".x.yaml.tmp123"), app("devel", "")).unwrap();
    fs::rename(stage.apps.path(".x.yaml.tmp123"), &path).unwrap();
    is("devel");
    // The old one becomes the backup, the new one is written in its place.
    fs::rename(&path, stage.apps.path("x.yaml~")).unwrap();
    fs::write(&path, app("public", "")).unwrap();
    is("public");
    fs::remove_file(stage.apps.path("x.yaml~")).unwrap();
    // The same size within one tick of the clock.
    for tier in ["stable", "public", "stable", "public", "stable"] {
        fs::write(&path, app(tier, "")).unwrap();
    }
    stage.becomes("/apps/stable/x", 401);
    // With the old times set back.
    let times = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, app("devel!", "").replace('!', "")).unwrap();
    fs::File::open(&path).unwrap().set_modified(times).unwrap();
    is("devel");
    assert_eq!(stage.metric("tiergate_app_files_bad", &[]), 0.0);
}

#[test]
fn a_config_map_is_swapped_as_kubernetes_does() {
    let apps = Apps::new();
    apps.write("..2026_01/x.yaml", &app("devel", ""));
    apps.write("..2026_01/y.yaml", &app("devel", ""));
    symlink("..2026_01", apps.path("..data")).unwrap();
    for name in ["x.yaml", "y.yaml"] {
        symlink(format!("..data/{name}"), apps.path(name)).unwrap();
    }
    let stage = Stage::start(apps);
    assert_eq!(stage.status("/apps/devel/x"), 401);
    stage.apps.write("..2026_02/x.yaml", &app("public", ""));
    stage.apps.write("..2026_02/z.yaml", &app("public", ""));
    symlink("..data/z.yaml", stage.apps.path("z.yaml")).unwrap();
    symlink("..2026_02", stage.apps.path("..data_tmp")).unwrap();
    fs::rename(stage.apps.path("..data_tmp"), stage.apps.path("..data")).unwrap();
    fs::remove_file(stage.apps.path("y.yaml")).unwrap();
    fs::remove_dir_all(stage.apps.path("..2026_01")).unwrap();
    stage.becomes("/apps/public/x", 200);
    stage.becomes("/apps/public/z", 200);
    stage.becomes("/apps/devel/y", 403);
}

#[test]
fn many_files_at_once_are_one_change_or_few() {
    let stage = Stage::start(Apps::new());
    let before = stage.reloads("ok");
    for number in 0..200 {
        stage.apps.write(&format!("app-{number}.yaml"), &app("public", ""));
    }
    stage.until("all of them are there", || stage.metric("tiergate_apps", &[]) == 200.0);
    let reloads = stage.reloads("ok") - before;
    assert!((1.0..=8.0).contains(&reloads), "{reloads} reloads");
    assert!((0..200).all(|number| stage.status(&format!("/apps/public/app-{number}/")) == 200));
    for number in 0..200 {
        stage.apps.remove(&format!("app-{number}.yaml"));
    }
    stage.until("none of them is there", || stage.metric("tiergate_apps", &[]) == 0.0);
}
