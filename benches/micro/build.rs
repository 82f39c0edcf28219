//! Tells the gate which compiler builds it: counts of two compilers are not compared.

#![allow(clippy::disallowed_methods, reason = "a build script asks the environment which compiler it is for")]

use std::process::Command;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let compiler = std::env::var_os("RUSTC").ok_or("cargo names the compiler in `RUSTC`")?;
    let output = Command::new(compiler).arg("--version").output()?;
    let text = String::from_utf8(output.stdout)?;
    let version = text.split_whitespace().nth(1).ok_or("`rustc --version` says a version")?;
    println!("cargo::rustc-env=TIERGATE_RUSTC={version}");
    println!("cargo::rerun-if-changed=build.rs");
    Ok(())
}
