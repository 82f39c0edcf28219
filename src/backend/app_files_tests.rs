use std::ffi::OsStr;
use std::fs::{create_dir_all, remove_dir_all, remove_file, rename, write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use tempfile::TempDir;

use super::*;

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        create_dir_all(self.path(name).parent().unwrap()).unwrap();
        write(self.path(name), text).unwrap();
    }

    fn files(&self) -> AppFiles {
        AppFiles::new(vec![self.0.path().to_owned()], None)
    }

    /// `key: text`, or `key! why`, in the order in which they are found.
    fn seen(&self, files: &mut AppFiles) -> Vec<String> {
        files.scan().found.iter().map(|found| self.shown(found)).collect()
    }

    fn shown(&self, found: &FoundApp) -> String {
        let key = found.key.strip_prefix(self.0.path()).unwrap().to_string_lossy().into_owned();
        match &found.text {
            Ok(text) => format!("{key}: {text}"),
            Err(why) => format!("{key}! {why}"),
        }
    }
}

#[test]
fn finds_drop_ins_before_folders_each_by_name() {
    let place = Place::new();
    for name in ["b.yaml", "a.yml", "stable/maps/app.yaml", "devel/zebra/app.yml", "devel/ants/app.yaml"] {
        place.write(name, name);
    }
    let scan = place.files().scan();
    let found: Vec<(String, FoundPlace)> =
        scan.found.iter().map(|found| (place.shown(found), found.place.clone())).collect();
    let file = |stem: &str| FoundPlace::File { stem: stem.to_owned() };
    let folder = |tier: &str, name: &str| FoundPlace::Folder { tier: tier.to_owned(), name: name.to_owned() };
    let expected = [
        ("a.yml: a.yml", file("a")),
        ("b.yaml: b.yaml", file("b")),
        ("devel/ants: devel/ants/app.yaml", folder("devel", "ants")),
        ("devel/zebra: devel/zebra/app.yml", folder("devel", "zebra")),
        ("stable/maps: stable/maps/app.yaml", folder("stable", "maps")),
    ];
    assert_eq!(found, expected.map(|(text, place)| (text.to_owned(), place)));
    assert!(scan.notices.is_empty(), "{:?}", scan.notices);
    let looked_at: Vec<(PathBuf, bool)> =
        scan.looked_at.iter().map(|at| (at.directory.clone(), at.names.is_none())).collect();
    let all = [
        ("", true),
        ("devel", true),
        ("devel/ants", false),
        ("devel/zebra", false),
        ("stable", true),
        ("stable/maps", false),
    ];
    assert_eq!(looked_at, all.map(|(name, is_whole)| (place.0.path().join(name), is_whole)));
}

#[test]
fn passes_over_what_others_leave_beside_the_files() {
    let place = Place::new();
    for name in [
        ".hidden.yaml",
        ".x.yaml.swp",
        "x.yaml~",
        "#x.yaml#",
        "#x.yaml",
        "x.yaml.bak",
        "x.yaml.tmp",
        "x.YAML",
        "4913",
        "README.md",
        "yaml",
        ".yaml",
        ".git/x/app.yaml",
        "__pycache__/x/app.yaml",
        "devel/.venv/app.yaml",
        "devel/x/deeper/app.yaml",
        "devel/app.yaml",
    ] {
        place.write(name, "x");
    }
    symlink("somebody@host.1234", place.path(".#x.yaml")).unwrap();
    let scan = place.files().scan();
    assert_eq!(scan.found, [], "{scan:?}");
    assert_eq!(scan.notices.len(), 1, "{:?}", scan.notices);
    assert!(scan.notices.iter().any(|notice| notice.contains("devel/x`: no `app.yaml` is there")));
}

#[test]
fn follows_the_links_of_a_mounted_config_map() {
    let place = Place::new();
    place.write("..2026_01/a.yaml", "one");
    symlink("..2026_01", place.path("..data")).unwrap();
    symlink("..data/a.yaml", place.path("a.yaml")).unwrap();
    let mut files = place.files();
    assert_eq!(place.seen(&mut files), ["a.yaml: one"]);
    place.write("..2026_02/a.yaml", "two");
    symlink("..2026_02", place.path("..data_tmp")).unwrap();
    rename(place.path("..data_tmp"), place.path("..data")).unwrap();
    remove_dir_all(place.path("..2026_01")).unwrap();
    assert_eq!(place.seen(&mut files), ["a.yaml: two"]);
}

#[test]
fn says_why_a_file_cannot_be_read() {
    let place = Place::new();
    place.write("latin.yaml", b"title: caf\xe9");
    place.write("long.yaml", vec![b'#'; 1024 * 1024 + 1]);
    place.write("just.yaml", vec![b'#'; 1024 * 1024]);
    symlink("nowhere", place.path("dangling.yaml")).unwrap();
    symlink("loop.yaml", place.path("loop.yaml")).unwrap();
    let _socket = UnixListener::bind(place.path("socket.yaml")).unwrap();
    let fifo = std::process::Command::new("mkfifo").arg(place.path("pipe.yaml")).status().unwrap();
    assert!(fifo.success());
    create_dir_all(place.path("folder.yaml/x")).unwrap();
    write(place.0.path().join(OsStr::from_bytes(b"\xff.yaml")), "x").unwrap();
    place.write("devel/two/app.yaml", "x");
    place.write("devel/two/app.yml", "x");
    create_dir_all(place.path("devel/odd/app.yaml")).unwrap();
    let scan = place.files().scan();
    let why: Vec<(String, Unreadable)> = scan
        .found
        .iter()
        .filter_map(|found| Some((found.key.file_name()?.to_string_lossy().into_owned(), found.text.clone().err()?)))
        .collect();
    assert!(matches!(why.iter().find(|(name, _)| name == "loop.yaml"), Some((_, Unreadable::Failed(_)))), "{why:?}");
    let expected = [
        ("dangling.yaml", Unreadable::Dangling),
        ("latin.yaml", Unreadable::NotText(10)),
        ("long.yaml", Unreadable::TooLong(1024 * 1024 + 1)),
        ("pipe.yaml", Unreadable::NotAFile),
        ("socket.yaml", Unreadable::NotAFile),
        ("\u{fffd}.yaml", Unreadable::Name),
        ("odd", Unreadable::NotAFile),
        ("two", Unreadable::TwoFiles),
    ];
    let others: Vec<(String, Unreadable)> = why.into_iter().filter(|(name, _)| name != "loop.yaml").collect();
    assert_eq!(others, expected.map(|(name, why)| (name.to_owned(), why)));
    assert_eq!(scan.found.iter().filter(|found| found.text.is_ok()).count(), 1, "just.yaml");
    assert_eq!(scan.notices.len(), 1, "{:?}", scan.notices);
}

#[test]
fn a_folder_without_a_file_is_an_app_where_the_defaults_make_one() {
    let place = Place::new();
    for folder in ["devel/hazard", "devel/My_App", "devle/x", "devel/_x"] {
        create_dir_all(place.path(folder)).unwrap();
    }
    let mut files = AppFiles::new(vec![place.0.path().to_owned()], Some(vec!["devel".to_owned()]));
    let scan = files.scan();
    assert_eq!(scan.found.iter().map(|found| place.shown(found)).collect::<Vec<_>>(), ["devel/hazard: "]);
    assert_eq!(scan.notices.len(), 1);
    for ignored in ["My_App", "devle/x", "_x"] {
        assert!(scan.notices.iter().all(|notice| notice.contains(ignored)), "{:?}", scan.notices);
    }
    // A file makes it no other app.
    place.write("devel/hazard/app.yaml", "title: x");
    assert_eq!(place.seen(&mut files), ["devel/hazard: title: x"]);
    files.look_in(vec![place.0.path().to_owned()], None);
    remove_file(place.path("devel/hazard/app.yaml")).unwrap();
    assert_eq!(place.seen(&mut files), Vec::<String>::new());
}

/// Same size, same inode, same times: what a clock that ticks slowly lets through.
#[test]
fn sees_a_change_within_one_tick_of_the_clock() {
    let place = Place::new();
    let mut files = place.files();
    for round in 0..50 {
        place.write("x.yaml", format!("round {:02}", round));
        assert_eq!(place.seen(&mut files), [format!("x.yaml: round {round:02}")]);
    }
}

/// As on a file system whose clock stood still between two writes.
#[test]
fn reads_a_young_file_again_though_nothing_tells_of_a_change() {
    let place = Place::new();
    place.write("x.yaml", "one");
    let mut files = place.files();
    files.scan();
    place.write("x.yaml", "two");
    let stamp = Stamp::of(&fs::metadata(place.path("x.yaml")).unwrap());
    files.known.values_mut().for_each(|known| known.stamp = stamp);
    assert_eq!(place.seen(&mut files), ["x.yaml: two"]);
}

#[test]
fn opens_no_file_again_that_did_not_change() {
    let place = Place::new();
    place.write("x.yaml", "one");
    let mut files = place.files();
    let first = files.scan();
    // As if it had been written long ago.
    for known in files.known.values_mut() {
        known.is_settled = true;
    }
    let second = files.scan();
    let text = |scan: &Scan| scan.found.first().unwrap().text.clone().unwrap();
    assert!(Arc::ptr_eq(&text(&first), &text(&second)));
    // A time that was set back changes the other time.
    place.write("x.yaml", "two");
    let file = fs::File::open(place.path("x.yaml")).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_secs(1)).unwrap();
    assert_eq!(text(&files.scan()).as_ref(), "two");
}

#[test]
fn only_old_times_are_trusted() {
    let now = Duration::from_secs(1000);
    let at = |modified: i64, changed: i64| Stamp {
        device: 1,
        inode: 1,
        size: 1,
        modified: (modified, 0),
        changed: (changed, 0),
    };
    for (stamp, is_settled) in
        [(at(997, 997), true), (at(998, 997), false), (at(1, 998), false), (at(2000, 1), false), (at(1, 1), true)]
    {
        assert_eq!(stamp.is_settled(now), is_settled, "{stamp:?}");
    }
    for (changed, is_fresh) in [(999, false), (1000, true), (1001, true), (1003, false)] {
        assert_eq!(at(1, changed).is_fresh(now), is_fresh, "{changed}");
    }
}

#[test]
fn a_directory_that_is_not_there_holds_nothing_until_it_comes() {
    let place = Place::new();
    let mut files = AppFiles::new(vec![place.path("later")], None);
    let scan = files.scan();
    assert!(scan.found.is_empty());
    assert_eq!(scan.notices.len(), 1);
    assert_eq!(scan.looked_at.len(), 1);
    place.write("later/x.yaml", "x");
    assert_eq!(place.seen(&mut files), ["later/x.yaml: x"]);
    remove_dir_all(place.path("later")).unwrap();
    assert_eq!(place.seen(&mut files), Vec::<String>::new());
}

/// A file in the place of a directory stands for any trouble in reading one.
#[test]
fn trouble_with_a_directory_takes_no_app_away() {
    let place = Place::new();
    place.write("apps/x.yaml", "x");
    place.write("apps/devel/y/app.yaml", "y");
    place.write("other/z.yaml", "z");
    let mut files = AppFiles::new(vec![place.path("apps"), place.path("other")], None);
    let all = ["apps/x.yaml: x", "apps/devel/y: y", "other/z.yaml: z"];
    assert_eq!(place.seen(&mut files), all);
    rename(place.path("apps"), place.path("away")).unwrap();
    place.write("apps", "no directory");
    for _ in 0..2 {
        let scan = files.scan();
        assert_eq!(scan.found.iter().map(|found| place.shown(found)).collect::<Vec<_>>(), all);
        assert!(scan.notices.iter().any(|notice| notice.contains("cannot be read")), "{:?}", scan.notices);
    }
    remove_file(place.path("apps")).unwrap();
    rename(place.path("away"), place.path("apps")).unwrap();
    remove_file(place.path("apps/x.yaml")).unwrap();
    assert_eq!(place.seen(&mut files), ["apps/devel/y: y", "other/z.yaml: z"]);
}
