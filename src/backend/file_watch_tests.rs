use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tempfile::TempDir;

use super::*;

/// Longer than any wake takes on a busy machine.
const LONG: Duration = Duration::from_secs(10);

struct Watched {
    watch: FileWatch,
    wakes: Receiver<()>,
    place: TempDir,
}

impl Watched {
    fn new() -> Self {
        let (wake, wakes) = channel();
        let watch = FileWatch::start(move || {
            let _ = wake.send(());
        })
        .unwrap();
        Self { watch, wakes, place: TempDir::new().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn follow(&mut self, directories: &[(&str, Option<&[&str]>)]) {
        let looked_at: Vec<LookedAt> = directories
            .iter()
            .map(|(directory, names)| LookedAt {
                directory: self.path(directory),
                names: names.map(|names| names.iter().map(OsString::from).collect()),
            })
            .collect();
        self.watch.follow(&looked_at).unwrap();
        while self.wakes.try_recv().is_ok() {}
    }

    #[track_caller]
    fn wakes(&self) {
        self.wakes.recv_timeout(LONG).unwrap();
        while self.wakes.recv_timeout(Duration::from_millis(20)).is_ok() {}
    }

    /// Events come in order: one that wakes shows that those before it did not.
    #[track_caller]
    fn sleeps(&self, beacon: &str) {
        fs::write(self.path(beacon), "x").unwrap();
        self.wakes();
    }
}

#[test]
fn wakes_for_what_matters_only() {
    let mut watched = Watched::new();
    watched.follow(&[("", Some(&["app.yaml"]))]);
    fs::write(watched.path("app.yaml"), "x").unwrap();
    watched.wakes();
    fs::rename(watched.path("app.yaml"), watched.path("other")).unwrap();
    watched.wakes();
    fs::rename(watched.path("other"), watched.path("app.yaml")).unwrap();
    watched.wakes();
    std::os::unix::fs::symlink("x", watched.path("..data")).unwrap();
    watched.wakes();
    fs::remove_file(watched.path("app.yaml")).unwrap();
    watched.wakes();
    fs::write(watched.path("database"), "x").unwrap();
    fs::read(watched.path("database")).unwrap();
    assert!(watched.wakes.recv_timeout(Duration::from_millis(200)).is_err(), "another file wakes");
    watched.sleeps("app.yaml");
    fs::read(watched.path("app.yaml")).unwrap();
    assert!(watched.wakes.recv_timeout(Duration::from_millis(200)).is_err(), "reading wakes");
}

#[test]
fn follows_a_directory_that_comes_goes_and_is_replaced() {
    let mut watched = Watched::new();
    let all: &[(&str, Option<&[&str]>)] = &[("a/b", None)];
    watched.follow(all);
    fs::create_dir(watched.path("a")).unwrap();
    watched.wakes();
    watched.follow(all);
    fs::create_dir(watched.path("a/b")).unwrap();
    watched.wakes();
    watched.follow(all);
    for round in 0..20 {
        fs::write(watched.path("a/b/x"), "x").unwrap();
        watched.wakes();
        if round % 2 == 0 {
            fs::remove_dir_all(watched.path("a/b")).unwrap();
        } else {
            fs::rename(watched.path("a"), watched.path(&format!("old-{round}"))).unwrap();
        }
        watched.wakes();
        fs::create_dir_all(watched.path("a/b")).unwrap();
        // In its place stands another one, maybe of the same number.
        watched.follow(all);
    }
}
