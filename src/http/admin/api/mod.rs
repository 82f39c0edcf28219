//! The administrator's JSON API.

pub(in crate::http::admin) mod problem;

use std::sync::Arc;

use super::{AdminDesk, Administrator};
use crate::check::Page;
use crate::http::pages::Visit;

/// The API.
pub struct Api {
    desk: Arc<AdminDesk>,
    base: String,
}

impl Api {
    /// The API at `base`.
    #[must_use]
    pub fn new(desk: Arc<AdminDesk>, base: String) -> Self {
        Self { desk, base }
    }

    pub(super) async fn answer(&self, visit: &Visit<'_>, administrator: &Administrator, below: &str) -> Page {
        let _ = &self.base;
        match (visit.method(), below) {
            ("GET", "/me") => problem::view(200, &self.desk.me(administrator)),
            _ => problem::not_there(visit),
        }
    }
}
