//! Layer 3: the catalogue: which apps there are, where they are served, whom
//! they are for. Pure: files are read and watched elsewhere.
//!
//! ```text
//! App + RuleSet = Entry ──Catalogue::assemble──▶ Catalogue and Policy, of one make
//! ```

mod app;
mod catalogue;
mod health;
mod names;
mod path;
mod upstream;

pub use app::{App, Icon, Prefix, RouteTag};
pub use catalogue::{Assembled, Catalogue, Conflict, Entry, Found};
pub use health::{AppHealth, Health};
pub use names::{AppId, AppName, AppNameError};
pub use path::{AppPath, AppPathError};
pub use upstream::{Upstream, UpstreamError};
