//! What the build takes in from others, held to the lists of `deny.toml` with nothing but cargo: licences, banned
//! crates, sources. `cargo deny check` reads the same file and knows the advisories too.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn every_crate_comes_from_crates_io() {
    let lock = read("Cargo.lock");
    let packages: Vec<&str> = lock.split("[[package]]").skip(1).collect();
    assert!(packages.len() > 100, "Cargo.lock was not understood");
    for package in packages {
        let name = quoted_after(package, "name = ").next().expect("a package has a name");
        let source = quoted_after(package, "source = ").next();
        let is_ours = ["tiergate", "tiergate-testbed", "tiergate-floor", "tiergate-micro"].contains(&name);
        let is_known = source.is_some_and(|from| from.starts_with("registry+") && from.ends_with("/crates.io-index"));
        assert!(is_ours || is_known, "{name} comes from {source:?}");
        assert!(is_ours || package.contains("checksum = "), "{name} has no checksum");
    }
}

#[test]
fn no_banned_crate_is_built() {
    let deny = read("deny.toml");
    let banned: Vec<&str> = quoted_after(&deny, "crate = ").collect();
    assert!(banned.contains(&"ring"), "deny.toml bans {banned:?}");
    for (name, _) in built() {
        assert!(!banned.contains(&name.as_str()), "deny.toml bans {name}; `cargo tree -i {name}` says what brings it");
    }
}

#[test]
fn every_licence_is_allowed() {
    let deny = read("deny.toml");
    let list = deny.split_once("\nallow = [").and_then(|(_, rest)| rest.split_once(']')).expect("a list of licences").0;
    let allowed: BTreeSet<&str> = list.split(['"', ',', '\n', ' ']).filter(|text| !text.is_empty()).collect();
    assert!(allowed.contains("MIT"), "deny.toml allows {allowed:?}");
    for (name, licence) in built() {
        assert!(permits(&licence, &allowed), "{name} has the licence `{licence}`");
    }
}

#[test]
fn licence_expressions_are_read_whole() {
    let allowed = BTreeSet::from(["MIT", "ISC"]);
    for good in ["MIT", "GPL-3.0 OR MIT", "MIT/Apache-2.0", "(GPL-3.0 OR ISC) AND MIT", "GPL-3.0 AND ISC OR MIT"] {
        assert!(permits(good, &allowed), "{good}");
    }
    let with_exception = "Apache-2.0 WITH LLVM-exception";
    for bad in ["none", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND GPL-3.0", "", "(MIT", with_exception] {
        assert!(!permits(bad, &allowed), "{bad}");
    }
}

/// Whether the SPDX expression can be met by `allowed` alone; what is not understood is not met.
fn permits(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    any_of(&mut words, allowed) == Some(true) && words.next().is_none()
}

type Words<'w> = std::iter::Peekable<std::str::SplitWhitespace<'w>>;

fn any_of(words: &mut Words<'_>, allowed: &BTreeSet<&str>) -> Option<bool> {
    let mut met = all_of(words, allowed)?;
    while words.next_if_eq(&"OR").is_some() {
        met |= all_of(words, allowed)?;
    }
    Some(met)
}

fn all_of(words: &mut Words<'_>, allowed: &BTreeSet<&str>) -> Option<bool> {
    let mut met = one(words, allowed)?;
    while words.next_if_eq(&"AND").is_some() {
        met &= one(words, allowed)?;
    }
    Some(met)
}

fn one(words: &mut Words<'_>, allowed: &BTreeSet<&str>) -> Option<bool> {
    let word = words.next()?;
    if word == "(" {
        let met = any_of(words, allowed)?;
        return words.next_if_eq(&")").map(|_| met);
    }
    if words.next_if_eq(&"WITH").is_some() {
        let exception = words.next()?;
        return Some(allowed.contains(format!("{word} WITH {exception}").as_str()));
    }
    Some(allowed.contains(word))
}

/// Name and licence of every crate that is built on this machine; Cargo.lock also lists those that no feature asks for.
fn built() -> Vec<(String, String)> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "tree",
            "--locked",
            "--offline",
            "--workspace",
            "--edges=normal,build,dev",
            "--prefix=none",
            "--format={p}\t{l}",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let built: Vec<(String, String)> = text
        .lines()
        .filter_map(|line| {
            let (package, licence) = line.split_once('\t')?;
            // A crate that was printed before ends with a mark.
            let licence = licence.strip_suffix("(*)").unwrap_or(licence).trim();
            Some((package.split(' ').next()?.to_owned(), licence.to_owned()))
        })
        .collect();
    assert!(built.len() > 100, "{} crates", built.len());
    built
}

/// The texts in quotes right behind `key`.
fn quoted_after<'a>(text: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(key).skip(1).filter_map(|rest| Some(rest.strip_prefix('"')?.split_once('"')?.0))
}

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
