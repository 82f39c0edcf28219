//! The arrows of the house: who may import whom, and who may touch the world.
//!
//! Walks the modules of the library from `src/lib.rs`, test modules left out, and resolves every path that stands in a
//! `use` or in the code.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Attribute, Expr, Item, ItemMod, ItemUse, Meta, Signature, UseTree};

/// One module of `src/`.
struct Room {
    name: &'static str,
    layer: u8,
    may_import: &'static [&'static str],
}

/// From the ground up. A new module needs a row here, and `src/lib.rs` shows the same map.
const HOUSE: &[Room] = &[
    Room { name: "types", layer: 0, may_import: &[] },
    Room { name: "policy", layer: 1, may_import: &["types"] },
    Room { name: "ui", layer: 1, may_import: &["types"] },
    Room { name: "token", layer: 2, may_import: &["types"] },
    Room { name: "session", layer: 3, may_import: &["types"] },
    Room { name: "directory", layer: 3, may_import: &["types"] },
    Room { name: "apps", layer: 3, may_import: &["types", "policy"] },
    Room { name: "oidc", layer: 4, may_import: &["types", "token", "session", "directory"] },
    Room { name: "management", layer: 4, may_import: &["types", "token", "directory"] },
    Room { name: "routes", layer: 4, may_import: &["types", "apps"] },
    Room { name: "scim", layer: 4, may_import: &["types", "directory"] },
    Room {
        name: "check",
        layer: 5,
        may_import: &["types", "ui", "policy", "token", "session", "directory", "apps", "oidc"],
    },
    Room {
        name: "config",
        layer: 6,
        may_import: &["types", "ui", "policy", "token", "session", "directory", "apps", "oidc", "management", "check"],
    },
    Room {
        name: "backend",
        layer: 6,
        may_import: &["types", "policy", "token", "session", "directory", "apps", "oidc", "management", "check"],
    },
    Room { name: "grpc", layer: 6, may_import: &["types", "session", "check"] },
    Room {
        name: "http",
        layer: 6,
        may_import: &[
            "types",
            "ui",
            "policy",
            "token",
            "session",
            "directory",
            "apps",
            "oidc",
            "management",
            "scim",
            "check",
        ],
    },
    Room {
        name: "app",
        layer: 7,
        may_import: &[
            "types",
            "ui",
            "policy",
            "token",
            "session",
            "directory",
            "apps",
            "oidc",
            "management",
            "routes",
            "scim",
            "check",
            "config",
            "backend",
            "grpc",
            "http",
        ],
    },
    Room {
        name: "cli",
        layer: 8,
        may_import: &[
            "types",
            "policy",
            "token",
            "session",
            "directory",
            "apps",
            "oidc",
            "management",
            "routes",
            "check",
            "config",
            "app",
        ],
    },
];

/// Below this layer everything is a function of its arguments.
const OUTER: u8 = 6;

/// What only the outer layers may name, with all that stands in it.
const WORLD: &[&str] = &[
    "tokio",
    "tonic",
    "tonic_health",
    "axum",
    "hyper",
    "hyper_util",
    "reqwest",
    "redis",
    "sqlx",
    "metrics",
    "tracing",
    "std::fs",
    "std::env",
    "std::process",
    "std::os",
    "std::thread::spawn",
    "std::thread::sleep",
    "std::thread::Builder",
    "std::time::SystemTime::now",
    "std::time::Instant::now",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "std::net::ToSocketAddrs",
];

#[test]
fn arrows_go_downwards_only() {
    let faults: Vec<String> = library().iter().flat_map(|module| faults(&module.path, &module.file)).collect();
    assert!(faults.is_empty(), "the layers of `HOUSE` do not hold:\n{}", faults.join("\n"));
}

#[test]
fn every_module_has_its_room() {
    let mut found: Vec<String> = library().into_iter().filter_map(|module| module.path.into_iter().next()).collect();
    found.sort();
    found.dedup();
    let mut rooms: Vec<&str> = HOUSE.iter().map(|room| room.name).collect();
    rooms.sort_unstable();
    assert_eq!(found, rooms);
    for room in HOUSE {
        for import in room.may_import {
            let below = HOUSE.iter().find(|other| other.name == *import).map(|other| other.layer);
            assert!(below.is_some_and(|below| below < room.layer), "{} may not import {import}", room.name);
        }
    }
}

#[test]
fn the_core_decides_without_waiting() {
    for module in library().iter().filter(|module| module.path.first().is_some_and(|name| is_pure(name))) {
        let mut awaits = Awaits(Vec::new());
        awaits.visit_file(&module.file);
        assert!(awaits.0.is_empty(), "{} waits: {:?}", module.path.join("::"), awaits.0);
    }
}

#[test]
fn broken_arrows_are_caught() {
    let cases = [
        (&["types"][..], "use crate::policy::Policy;", "crate::policy::Policy"),
        (&["token", "verify"], "use crate::{types::Reason, policy::Rule};", "crate::policy::Rule"),
        (&["policy", "rule"], "use super::super::token::Claims;", "crate::token::Claims"),
        (&["policy"], "fn f() { let _ = crate::check::Checker::new(); }", "crate::check::Checker::new"),
        (&["policy"], "fn f() { let _ = super::check::Checker::new(); }", "crate::check::Checker::new"),
        (&["grpc"], "struct S { held: Vec<crate::http::Server> }", "crate::http::Server"),
        (&["config"], "use crate as own; use crate::backend::system;", "crate::backend::system"),
        (&["cli"], "use crate::backend::system::SystemClock;", "crate::backend::system::SystemClock"),
        (&["check"], "use crate::*;", "crate::*"),
        (&["types"], "use std::{fmt, fs};", "std::fs"),
        (&["types"], "fn f() { std::env::var(\"X\").ok(); }", "std::env::var"),
        (&["types"], "use std::net; fn f() { net::TcpStream::connect(0); }", "std::net::TcpStream::connect"),
        (&["token"], "use std::time::{self, SystemTime}; fn f() { SystemTime::now(); }", "std::time::SystemTime::now"),
        (&["token"], "use std::time::SystemTime as Wall; fn f() { Wall::now(); }", "std::time::SystemTime::now"),
        (&["check"], "async fn f() { ::tokio::task::yield_now().await }", "tokio::task::yield_now"),
        (&["check"], "mod inner { fn f() { tracing::info!(\"x\"); } }", "tracing::info"),
        (&["policy"], "fn f(status: tonic::Status) {}", "tonic::Status"),
    ];
    for (path, source, named) in cases {
        let path: Vec<String> = path.iter().map(|&part| part.to_owned()).collect();
        let told = faults(&path, &syn::parse_file(source).expect("source"));
        assert!(told.iter().any(|fault| fault.ends_with(&format!("`{named}`"))), "{source}: {told:?}");
    }
}

#[test]
fn what_is_allowed_is_not_caught() {
    let cases = [
        (&["policy", "rule"][..], "use super::condition::Condition; use crate::types::Tier; use self::inner::X;"),
        (&["types"], "use std::net::IpAddr; use std::time::Duration; fn f(instant: std::time::SystemTime) {}"),
        (&["types"], "#[cfg(test)] mod tests { use std::fs; use crate::policy::Policy; }"),
        (&["backend"], "use std::fs; use tokio::net::TcpStream; use crate::token::KeySource;"),
        (&["token"], "mod tokio_free { pub fn now() {} } fn f() { tokio_free::now(); }"),
    ];
    for (path, source) in cases {
        let path: Vec<String> = path.iter().map(|&part| part.to_owned()).collect();
        assert_eq!(faults(&path, &syn::parse_file(source).expect("source")), Vec::<String>::new(), "{source}");
    }
}

/// A module of the library that is not for tests.
struct Module {
    /// Such as `policy`, `rule`; empty for `lib.rs`.
    path: Vec<String>,
    file: syn::File,
}

fn library() -> Vec<Module> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    read_module(&src.join("lib.rs"), &src, Vec::new(), &mut found);
    found.retain(|module| !module.path.is_empty());
    found
}

/// Reads a file, then the files of the modules it declares, which stand in `folder`.
fn read_module(path: &Path, folder: &Path, name: Vec<String>, found: &mut Vec<Module>) {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    for item in &file.items {
        let Item::Mod(module) = item else { continue };
        if module.content.is_some() || is_for_tests(&module.attrs) {
            continue;
        }
        let own = module.ident.to_string();
        let (path, inner) = (file_of(module, folder, &own), folder.join(&own));
        read_module(&path, &inner, [name.clone(), vec![own]].concat(), found);
    }
    found.push(Module { path: name, file });
}

fn file_of(module: &ItemMod, folder: &Path, name: &str) -> PathBuf {
    assert!(!module.attrs.iter().any(|attribute| attribute.path().is_ident("path")), "only tests may use #[path]");
    let flat = folder.join(format!("{name}.rs"));
    if flat.exists() { flat } else { folder.join(name).join("mod.rs") }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        matches!(&attribute.meta, Meta::List(list) if list.path.is_ident("cfg") && list.tokens.to_string() == "test")
    })
}

fn is_pure(name: &str) -> bool {
    // What is above waits for its ports: stores, providers, keys.
    HOUSE.iter().any(|room| room.name == name && room.layer < 3)
}

/// What `file`, the module at `path`, names and may not.
fn faults(path: &[String], file: &syn::File) -> Vec<String> {
    let Some(room) = path.first().and_then(|own| HOUSE.iter().find(|room| room.name == *own)) else {
        return vec![format!("  {} has no row in `HOUSE`", path.join("::"))];
    };
    let mut names = Names { module: path.to_vec(), aliases: vec![aliases_of(path, &file.items)], named: Vec::new() };
    names.visit_file(file);
    let mut named = names.named;
    named.sort();
    named.dedup();
    let broken = named.into_iter().filter(|named| {
        let parts: Vec<&str> = named.split("::").collect();
        match parts.as_slice() {
            ["crate"] => false,
            ["crate", "*", ..] => true,
            ["crate", other, ..] => *other != room.name && !room.may_import.contains(other),
            _ => room.layer < OUTER && WORLD.iter().any(|world| is_in(named, world)),
        }
    });
    broken.map(|named| format!("  {} names `{named}`", path.join("::"))).collect()
}

fn is_in(named: &str, world: &str) -> bool {
    named.strip_prefix(world).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// What each short name of a module stands for, by its `use`s.
fn aliases_of(module: &[String], items: &[Item]) -> BTreeMap<String, String> {
    let mut aliases = BTreeMap::new();
    for item in items {
        if let Item::Use(import) = item {
            flatten(&import.tree, &mut Vec::new(), &mut |path, name| {
                aliases.insert(name, resolve(module, &BTreeMap::new(), path));
            });
        }
    }
    aliases
}

/// Every path that a `use` brings, with the name it brings it under.
fn flatten(tree: &UseTree, before: &mut Vec<String>, found: &mut impl FnMut(&[String], String)) {
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            flatten(&path.tree, before, found);
            before.pop();
        }
        UseTree::Name(name) if name.ident == "self" => {
            found(before, before.last().cloned().unwrap_or_default());
        }
        UseTree::Name(name) => {
            found(&[before.clone(), vec![name.ident.to_string()]].concat(), name.ident.to_string());
        }
        UseTree::Rename(rename) => {
            found(&[before.clone(), vec![rename.ident.to_string()]].concat(), rename.rename.to_string());
        }
        UseTree::Glob(_) => found(&[before.clone(), vec!["*".to_owned()]].concat(), String::new()),
        UseTree::Group(group) => group.items.iter().for_each(|item| flatten(item, before, found)),
    }
}

/// The path from the root of its crate, as far as `use`s tell.
fn resolve(module: &[String], aliases: &BTreeMap<String, String>, path: &[String]) -> String {
    let Some((first, rest)) = path.split_first() else { return String::new() };
    let supers = path.iter().take_while(|part| *part == "super").count();
    let (start, rest) = match first.as_str() {
        "super" => {
            let up = module.split_at(module.len().saturating_sub(supers)).0;
            ([&["crate".to_owned()], up].concat().join("::"), path.split_at(supers).1)
        }
        "self" => ([&["crate".to_owned()], module].concat().join("::"), rest),
        "core" | "alloc" => ("std".to_owned(), rest),
        name => (aliases.get(name).cloned().unwrap_or_else(|| name.to_owned()), rest),
    };
    std::iter::once(start.as_str()).chain(rest.iter().map(String::as_str)).collect::<Vec<_>>().join("::")
}

/// Collects every path, resolved.
struct Names {
    module: Vec<String>,
    /// Of the module and of the inline modules around the place that is visited.
    aliases: Vec<BTreeMap<String, String>>,
    named: Vec<String>,
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes: &[Attribute] = match item {
            Item::Mod(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            _ => &[],
        };
        if !is_for_tests(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        let Some((_, items)) = &module.content else { return };
        self.module.push(module.ident.to_string());
        self.aliases.push(aliases_of(&self.module, items));
        visit::visit_item_mod(self, module);
        self.aliases.pop();
        self.module.pop();
    }

    fn visit_item_use(&mut self, import: &'ast ItemUse) {
        let (module, named) = (&self.module, &mut self.named);
        flatten(&import.tree, &mut Vec::new(), &mut |path, _| named.push(resolve(module, &BTreeMap::new(), path)));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let aliases = self.aliases.last().cloned().unwrap_or_default();
        self.named.push(resolve(&self.module, &aliases, &parts));
        visit::visit_path(self, path);
    }
}

struct Awaits(Vec<String>);

impl<'ast> Visit<'ast> for Awaits {
    fn visit_expr(&mut self, expression: &'ast Expr) {
        if matches!(expression, Expr::Await(_) | Expr::Async(_)) {
            self.0.push("an await or an async block".to_owned());
        }
        visit::visit_expr(self, expression);
    }

    fn visit_signature(&mut self, signature: &'ast Signature) {
        if signature.asyncness.is_some() {
            self.0.push(format!("async fn {}", signature.ident));
        }
    }
}
