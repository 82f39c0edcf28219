//! Personal access tokens and opaque tokens, end to end: made in the page, shown
//! through real proxies, and taken away again.

mod opaque;
mod personal;
mod stage;
