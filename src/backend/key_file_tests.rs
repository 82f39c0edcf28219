use std::collections::HashSet;

use super::*;
use crate::backend::system::SystemRandom;

fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = beside(&folder.path().join("tiergate.db"));
    (folder, path)
}

fn names(folder: &Path) -> Vec<OsString> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
}

#[test]
fn the_first_start_makes_a_key_and_every_later_one_finds_it() {
    let (folder, path) = place();
    assert_eq!(path.file_name().unwrap(), "tiergate.db.key");
    assert!(matches!(read(&path), Err(KeyFileError::Unreadable { .. })));
    let key = read_or_create(&path, &SystemRandom).unwrap();
    assert_eq!(STANDARD.decode(key.expose()).unwrap().len(), 32);
    assert!(read_or_create(&path, &SystemRandom).unwrap() == key);
    assert!(read(&path).unwrap() == key);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(names(folder.path()), ["tiergate.db.key"]);
    let (_other, elsewhere) = place();
    assert!(read_or_create(&elsewhere, &SystemRandom).unwrap() != key);
}

#[test]
fn starts_at_the_same_moment_agree_on_one_key() {
    for _ in 0..20 {
        let (folder, path) = place();
        let start = std::sync::Barrier::new(8);
        let keys: HashSet<String> = std::thread::scope(|scope| {
            let one = || {
                start.wait();
                read_or_create(&path, &SystemRandom).unwrap().expose().to_owned()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(keys.len(), 1);
        assert_eq!(names(folder.path()), ["tiergate.db.key"]);
    }
}

#[test]
fn a_key_that_others_may_open_is_refused() {
    for mode in [0o640, 0o604, 0o660, 0o601, 0o610, 0o620] {
        let (_folder, path) = place();
        read_or_create(&path, &SystemRandom).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let refused = read_or_create(&path, &SystemRandom).unwrap_err();
        assert!(matches!(refused, KeyFileError::Exposed(_)), "{mode:o}: {refused:?}");
        assert!(refused.to_string().contains(&format!("`chmod 600 {}`", path.display())), "{refused}");
    }
}

#[test]
fn what_is_no_key_is_refused_and_stays() {
    let short = STANDARD.encode([1; 31]);
    for text in [&b""[..], b"\n", b"secret", short.as_bytes(), b"\xff\xfe", &[b'A'; 5000]] {
        let (_folder, path) = place();
        write_new(&path, "").unwrap();
        fs::write(&path, text).unwrap();
        let refused = read_or_create(&path, &SystemRandom);
        assert!(matches!(refused, Err(KeyFileError::Malformed(_))), "{refused:?}");
        assert_eq!(fs::read(&path).unwrap(), text);
    }
    let (folder, _) = place();
    let nowhere = folder.path().join("missing/tiergate.db.key");
    assert!(matches!(read_or_create(&nowhere, &SystemRandom), Err(KeyFileError::Unwritable { .. })));
}
