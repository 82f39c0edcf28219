//! What is measured, a file for each kind of question.

pub(crate) mod behind;
pub(crate) mod cold;
pub(crate) mod direct;
pub(crate) mod directory;
pub(crate) mod growth;
pub(crate) mod instructions;
pub(crate) mod memory;
pub(crate) mod micro;
pub(crate) mod proxied;
pub(crate) mod sessions;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Map, Value};
use tempfile::TempDir;
use tiergate_testbed::{Provider, TokenSpec};

use crate::envoy::Filter;
use crate::plot::Plot;
use crate::request::Recorded;
use crate::rounds::Series;
use crate::service::{Service, readme_config};
use crate::table::Row;

/// How long tokens of a run count.
pub(crate) const TOKEN_SECONDS: i64 = 2 * 3600;

/// What all phases use.
pub(crate) struct Bench {
    /// The service's release binary.
    pub(crate) tiergate: PathBuf,
    /// The binary of `benches/floor`.
    pub(crate) floor: PathBuf,
    /// Less of everything, to see that it works and roughly where it stands.
    pub(crate) is_quick: bool,
    pub(crate) provider: Provider,
    /// The demo's token.
    pub(crate) token: String,
    /// The check that Envoy makes of the request.
    pub(crate) recorded: Recorded,
    /// The check that it makes without `encode_raw_headers`.
    pub(crate) recorded_map: Recorded,
    pub(crate) scratch: TempDir,
}

/// What a run has found.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) rows: Vec<Row>,
    /// By phase: every series, for the results file.
    pub(crate) series: Map<String, Value>,
    /// What was made to grow: its name, what it is, and the cost.
    pub(crate) grown: Vec<(&'static str, &'static str, growth::Points)>,
    pub(crate) plots: Vec<Plot>,
    pub(crate) users: Vec<UserFigure>,
}

/// What one call of the user directory takes, in milliseconds.
pub(crate) struct UserFigure {
    pub(crate) database: String,
    pub(crate) what: String,
    pub(crate) median: f64,
    /// 95 of 100 calls take no longer.
    pub(crate) most: f64,
}

impl Bench {
    pub(crate) fn new(tiergate: &Path, floor: &Path, is_quick: bool) -> Result<Self> {
        let provider = Provider::start()?;
        // The demo's token, but good for the whole run.
        let token = provider.mint(&TokenSpec::for_account("devel").expires_in(TOKEN_SECONDS))?;
        let scratch = tempfile::tempdir()?;
        let recorded = Recorded::take(floor, &token, scratch.path(), Filter::ExtAuthz)?;
        let recorded_map = Recorded::take(floor, &token, scratch.path(), Filter::ExtAuthzMap)?;
        // Building a bench in between may put another build of it in its place.
        let measured = scratch.path().join("tiergate");
        std::fs::copy(tiergate, &measured).with_context(|| format!("cannot copy {}", tiergate.display()))?;
        let (tiergate, floor) = (measured, std::path::absolute(floor)?);
        Ok(Self { tiergate, floor, is_quick, provider, token, recorded, recorded_map, scratch })
    }

    /// `full` of a whole run, `quick` of a quick one.
    pub(crate) fn choose<T>(&self, full: T, quick: T) -> T {
        if self.is_quick { quick } else { full }
    }

    /// The service with the README's config.
    pub(crate) fn service(&self) -> Result<Service> {
        Service::start(&self.tiergate, &readme_config(&self.provider)?)
    }

    /// A file with these bytes.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.scratch.path().join(name);
        std::fs::write(&path, bytes)?;
        Ok(path)
    }

    /// The check of the demo's token, as a file for `h2load`.
    pub(crate) fn message(&self) -> Result<PathBuf> {
        self.file("message", &self.recorded.framed()?)
    }
}

impl Found {
    pub(crate) fn keep(&mut self, phase: &str, series: &[Series]) {
        self.series.insert(phase.to_owned(), series.iter().map(Series::json).collect());
    }
}
