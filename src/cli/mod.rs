//! Layer 8: what people call. Results go to stdout, messages to stderr.
//!
//! Exit codes: 0 done or allowed, 1 failed or denied, 2 wrong usage, 78
//! invalid config or policy.

#![expect(clippy::print_stderr, reason = "the command line is the one place that prints")]

/// Writes a result to stdout. Whoever stopped reading it has what they wanted.
macro_rules! out {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = write!(std::io::stdout().lock(), $($text)*);
    }};
}

/// [`out`] with a line end.
macro_rules! outln {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout().lock(), $($text)*);
    }};
}

mod apps;
mod config_check;
mod healthcheck;
mod load;
mod policy_explain;
mod policy_test;
mod proxy_config;
mod serve;
mod session;
mod token_inspect;
mod user;
mod what_if;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// External authorization for Envoy, nginx and any forward-auth proxy.
#[derive(Debug, Parser)]
#[command(name = "tiergate", version, about, long_about = None, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service
    Serve(ConfigArg),
    /// Check the config file, or print its schema
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Ask the policy what it decides, and why
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Print a complete config for a proxy in front of the apps
    ProxyConfig(proxy_config::ProxyConfigArgs),
    /// List the apps, check them, move one to another tier
    #[command(subcommand)]
    Apps(AppsCommand),
    /// Look into a token
    #[command(subcommand)]
    Token(TokenCommand),
    /// See who is signed in, and end sessions
    #[command(subcommand)]
    Session(SessionCommand),
    /// See the user directory, and bring users into it
    #[command(subcommand)]
    User(UserCommand),
    /// Exit 0 when the running service is ready (for a container's HEALTHCHECK)
    Healthcheck(ConfigArg),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Parse and validate everything; print every error with its place
    Check(ConfigArg),
    /// Print the JSON Schema of the config file
    Schema,
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    /// Say what is decided about one request, and why
    Explain(policy_explain::ExplainArgs),
    /// Run policy cases and print a diff for each failure
    Test(policy_test::TestArgs),
}

#[derive(Debug, Subcommand)]
enum AppsCommand {
    /// List the apps
    List(apps::ListArgs),
    /// Ask each app whether it is up, and the policy which rule decides about it
    Check(apps::CheckArgs),
    /// Move an app to another tier: its file changes by one word, or its folder moves
    Promote(apps::PromoteArgs),
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Show header, claims, key, every check, and the tiers a token gives
    Inspect(token_inspect::InspectArgs),
}

#[derive(Debug, Subcommand)]
enum SessionCommand {
    /// List the live sessions
    List(session::ListArgs),
    /// End sessions, at once and on every replica
    Revoke(session::RevokeArgs),
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// List the users
    List(user::ListArgs),
    /// Show all that is known of a user
    Show(user::ShowArgs),
    /// Bring users in from a file of JSON lines
    Import(user::ImportArgs),
    /// Make the tables of the user directory, or bring them up to date
    Migrate(ConfigArg),
    /// Take over what a provider's management API says of its users
    Sync(user::SyncArgs),
}

/// Which config a command reads.
#[derive(Debug, Clone, Args)]
struct ConfigArg {
    /// The config file; without it ./tiergate.yaml, and without that the environment alone
    #[arg(short = 'c', long = "config", value_name = "FILE", env = "TIERGATE_CONFIG")]
    config: Option<PathBuf>,
}

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    /// Done, or allowed.
    Done = 0,
    /// Failed, or denied.
    Failed = 1,
    /// Called wrongly.
    Usage = 2,
    /// The config or the policy is invalid (`EX_CONFIG` of sysexits.h).
    Invalid = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Runs the program with its arguments; the exit code says how it ended.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let command = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli.command,
        Err(error) => {
            // Help and version go to stdout and are no failure; clap knows which is which.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Done }.into();
        }
    };
    let ended = match command {
        Command::Serve(arg) => serve::run(&arg),
        Command::Config(ConfigCommand::Check(arg)) => config_check::run(&arg),
        Command::Config(ConfigCommand::Schema) => config_check::schema(),
        Command::Policy(PolicyCommand::Explain(args)) => policy_explain::run(&args),
        Command::Policy(PolicyCommand::Test(args)) => policy_test::run(&args),
        Command::ProxyConfig(args) => proxy_config::run(&args),
        Command::Apps(AppsCommand::List(args)) => apps::list(&args),
        Command::Apps(AppsCommand::Check(args)) => apps::check(&args),
        Command::Apps(AppsCommand::Promote(args)) => apps::promote(&args),
        Command::Token(TokenCommand::Inspect(args)) => token_inspect::run(&args),
        Command::Session(SessionCommand::List(args)) => session::list(&args),
        Command::Session(SessionCommand::Revoke(args)) => session::revoke(&args),
        Command::User(UserCommand::List(args)) => user::list(&args),
        Command::User(UserCommand::Show(args)) => user::show(&args),
        Command::User(UserCommand::Import(args)) => user::import(&args),
        Command::User(UserCommand::Migrate(arg)) => user::migrate(&arg),
        Command::User(UserCommand::Sync(args)) => user::sync(&args),
        Command::Healthcheck(arg) => healthcheck::run(&arg),
    };
    match ended {
        Ok(exit) => exit.into(),
        Err(load::Failure::Config(errors)) => {
            eprintln!("{errors}");
            Exit::Invalid.into()
        }
        Err(failure @ (load::Failure::Unreadable { .. } | load::Failure::Value(_))) => {
            eprintln!("error: {failure}");
            Exit::Invalid.into()
        }
        Err(failure @ load::Failure::Usage(_)) => {
            eprintln!("error: {failure}");
            Exit::Usage.into()
        }
        Err(load::Failure::Other(error)) => {
            eprintln!("error: {error:#}");
            Exit::Failed.into()
        }
    }
}

#[cfg(test)]
mod tests;
