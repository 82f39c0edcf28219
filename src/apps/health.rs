//! The port of the apps' health.

use super::app::App;

/// How an app is, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It answered its health path with success when it was last asked.
    Up,
    /// It did not.
    Down,
    /// It names no health path, or was not asked so far.
    Unknown,
}

impl Health {
    /// The word for programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Unknown => "unknown",
        }
    }
}

/// Says how apps are. Nothing is decided by it.
///
/// Contract: answers at once from what is known, and never waits for an app.
pub trait AppHealth: Send + Sync {
    /// How `app` is.
    fn of(&self, app: &App) -> Health;
}
