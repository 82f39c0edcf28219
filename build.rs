//! Compiles the service's own messages; `protox` needs no `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = "proto/tiergate/session/v1/session.proto";
    println!("cargo::rerun-if-changed={file}");
    let messages = protox::compile([file], ["proto"])?;
    let mut config = prost_build::Config::new();
    // They hold tokens: nothing prints them.
    config.skip_debug(["."]);
    config.compile_fds(messages)?;
    Ok(())
}
