//! The smaller sections, as valid values.

use std::time::Duration;

use super::check::Check;
use super::fault::{Fault, quoted};
use super::file::{CompatFile, ErrorsFile, LimitsFile, LogFile, LogFormatFile, LogLevelFile};
use crate::check::{ErrorTemplate, TemplateError};
use crate::policy::nearest;
use crate::token::IssuerSettings;

/// Other programs whose endpoint paths are served too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compat {
    /// `/oauth2/auth` and its kin.
    pub oauth2_proxy: bool,
    /// `/api/authz/forward-auth` and its kin.
    pub authelia: bool,
}

impl Compat {
    pub(crate) fn read(written: &[CompatFile]) -> Self {
        Self {
            oauth2_proxy: written.contains(&CompatFile::Oauth2Proxy),
            authelia: written.contains(&CompatFile::Authelia),
        }
    }
}

/// Upper bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections held open at once, for each listener; at least 1.
    pub max_connections: u32,
    /// Verified tokens remembered; 0 for none.
    pub token_cache: u32,
    /// The longest time between `iat` and `exp` that a token may have.
    pub max_token_lifetime: Duration,
}

impl Limits {
    pub(crate) fn read(file: &LimitsFile, check: &mut Check<'_>) -> Self {
        Self {
            max_connections: file.max_connections.unwrap_or(10_000),
            token_cache: file.token_cache.unwrap_or(10_000),
            max_token_lifetime: check.duration(
                "/limits/max_token_lifetime",
                file.max_token_lifetime.as_ref(),
                IssuerSettings::DEFAULT_MAX_LIFETIME,
                Duration::from_secs(60)..=Duration::from_secs(30 * 24 * 60 * 60),
            ),
        }
    }
}

/// The service's own log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// How lines are written.
    pub format: LogFormat,
    /// The least important level that is written.
    pub level: LogLevel,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// The least important level that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Failures.
    Error,
    /// And what may become one.
    Warn,
    /// And what the service does.
    Info,
    /// And how.
    Debug,
    /// And everything else.
    Trace,
}

impl LogLevel {
    /// The level's name in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl Log {
    pub(crate) fn read(file: &LogFile) -> Self {
        let format = match file.format {
            None | Some(LogFormatFile::Json) => LogFormat::Json,
            Some(LogFormatFile::Text) => LogFormat::Text,
        };
        let level = match file.level {
            Some(LogLevelFile::Error) => LogLevel::Error,
            Some(LogLevelFile::Warn) => LogLevel::Warn,
            None | Some(LogLevelFile::Info) => LogLevel::Info,
            Some(LogLevelFile::Debug) => LogLevel::Debug,
            Some(LogLevelFile::Trace) => LogLevel::Trace,
        };
        Self { format, level }
    }
}

/// What a template sees.
const TEMPLATE_VARIABLES: [&str; 7] = ["status", "title", "reason", "message", "required", "request_id", "login_url"];

pub(crate) fn read_error_template(file: &ErrorsFile, check: &mut Check<'_>) -> Option<ErrorTemplate> {
    const POINTER: &str = "/errors/json_template";
    let text = file.json_template.as_deref()?;
    let unknown = unknown_variables(text);
    for name in &unknown {
        let fault = Fault::new(POINTER, format!("the template asks for {}, which it does not get", quoted(name)));
        check.fault(match nearest(name, TEMPLATE_VARIABLES) {
            Some(similar) => fault.hint(format!("did you mean `{similar}`?")),
            None => fault.hint(format!("it sees {}", TEMPLATE_VARIABLES.map(|name| format!("`{name}`")).join(", "))),
        });
    }
    if !unknown.is_empty() {
        return None;
    }
    let template = ErrorTemplate::parse(text).map_err(|error| match error {
        TemplateError::Render(error) => {
            let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
            let line = error.line().map(|line| format!(" on its line {line}")).unwrap_or_default();
            Fault::new(POINTER, format!("the template fails{line}: {what}")).hint("such as `\"{{ message }}\"`")
        }
        TemplateError::NotJson { source, .. } => {
            let fault = Fault::new(POINTER, format!("what the template gives is not JSON: {source}"));
            fault.hint("only texts stand in quotes: `{\"error\": {{ status }}, \"message\": \"{{ message }}\"}`")
        }
    });
    check.ok(template)
}

/// The names a template uses that it neither gets nor sets; none when it does
/// not parse.
fn unknown_variables(text: &str) -> Vec<String> {
    let environment = minijinja::Environment::new();
    let Ok(template) = environment.template_from_str(text) else { return Vec::new() };
    let provided: Vec<&str> =
        TEMPLATE_VARIABLES.into_iter().chain(environment.globals().map(|(name, _)| name)).collect();
    let mut unknown: Vec<String> =
        template.undeclared_variables(false).into_iter().filter(|name| !provided.contains(&name.as_str())).collect();
    unknown.sort();
    unknown
}
