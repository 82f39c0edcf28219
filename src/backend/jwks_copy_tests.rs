use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use super::{CopyError, JwksCopy};
use crate::backend::system::SystemRandom;
use crate::token::test_keys::{ISSUER, jwks, now};
use crate::types::UnixTime;

const MAX_STALE: Duration = Duration::from_secs(3600);

fn copy(directory: &std::path::Path) -> JwksCopy {
    JwksCopy::new(directory, ISSUER, "https://idp.example.com/jwks".to_owned())
}

fn refusal(copy: &JwksCopy, at: UnixTime) -> CopyError {
    copy.load(MAX_STALE, at).expect_err("refused")
}

#[test]
fn a_copy_comes_back_with_its_age() {
    let directory = tempfile::tempdir().unwrap();
    let copy = copy(&directory.path().join("new/dir"));
    assert!(copy.load(MAX_STALE, now()).unwrap().is_none(), "no copy is no fault");
    let document = jwks().to_string();
    copy.store(document.as_bytes(), now(), &SystemRandom).unwrap();
    copy.store(document.as_bytes(), now(), &SystemRandom).unwrap();
    let (keys, age) = copy.load(MAX_STALE, now().plus(Duration::from_secs(90))).unwrap().unwrap();
    assert_eq!((keys.usable(), age), (5, Duration::from_secs(90)));

    let files: Vec<_> = fs::read_dir(directory.path().join("new/dir")).unwrap().map(Result::unwrap).collect();
    assert_eq!(files.len(), 1, "no temporary file stays");
    assert_eq!(files[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!files[0].file_name().to_string_lossy().contains("example"), "named by a hash");
}

#[test]
fn a_copy_that_cannot_be_trusted_is_not_used() {
    let directory = tempfile::tempdir().unwrap();
    let copy = copy(directory.path());
    copy.store(jwks().to_string().as_bytes(), now(), &SystemRandom).unwrap();
    assert!(matches!(refusal(&copy, now().minus(Duration::from_secs(1))), CopyError::Future));
    assert!(matches!(refusal(&copy, now().plus(Duration::from_secs(3601))), CopyError::TooOld));

    let moved = JwksCopy::new(directory.path(), ISSUER, "https://other.example.com/jwks".to_owned());
    assert!(matches!(refusal(&moved, now()), CopyError::Foreign));

    fs::set_permissions(&copy.file, fs::Permissions::from_mode(0o620)).unwrap();
    assert!(matches!(refusal(&copy, now()), CopyError::Writable));
    fs::set_permissions(&copy.file, fs::Permissions::from_mode(0o600)).unwrap();

    let text = fs::read_to_string(&copy.file).unwrap();
    for broken in ["", "{}", text.split_at(text.len() / 2).0, &text.replace("\\\"keys\\\"", "\\\"k\\\"")] {
        fs::write(&copy.file, broken).unwrap();
        assert!(matches!(refusal(&copy, now()), CopyError::Malformed));
    }
}
