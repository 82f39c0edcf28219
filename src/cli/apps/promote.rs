//! `apps promote`: an app into another tier, by one word or one move.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{anyhow, bail};
use clap::Args;

use super::super::load::{self, Failure, Loaded};
use super::super::{ConfigArg, Exit};
use crate::app::{self, AppFile};
use crate::apps::{App, Entry, Found};
use crate::config::{AppPlace, AppText, check_names_no_tier, with_tier};
use crate::policy::nearest;

#[derive(Debug, Args)]
pub(in crate::cli) struct PromoteArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The app: its name, or `tier/name` where several have the name
    name: String,
    /// The tier it moves to
    #[arg(long, value_name = "TIER")]
    to: String,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// What is to be done.
enum Step {
    /// Another text in this file.
    Rewrite { path: PathBuf, old: String, new: String },
    /// A folder to another place.
    Move { from: PathBuf, to: PathBuf },
}

pub(in crate::cli) fn promote(args: &PromoteArgs) -> Result<Exit, Failure> {
    let loaded = load::with_apps(&args.config)?;
    let app = find(&loaded, &args.name).map_err(Failure::Usage)?;
    check_target(&loaded, &app, &args.to)?;
    let file = loaded.apps.files.iter().find(|file| file.id == app.id);
    let (step, path) = match file {
        Some(file) => in_its_file(&loaded, &app, file, &args.to)?,
        None => in_the_config(&loaded, &args.config, &app, &args.to)?,
    };
    let what = match &step {
        Step::Rewrite { path, .. } => format!("`tier` in {}", path.display()),
        Step::Move { from, to } => format!("{} to {}", from.display(), to.display()),
    };
    if !args.dry_run {
        match &step {
            Step::Rewrite { path, old, new } => app::replace_text(path, old, new),
            Step::Move { from, to } => app::move_folder(from, to),
        }
        .map_err(anyhow::Error::from)?;
    }
    let (name, from, to) = (&app.id.name, &app.id.tier, &args.to);
    let would = if args.dry_run { "would change" } else { "changed" };
    outln!("{name}: {from} -> {to}, path {} -> {path}", app.path);
    outln!("{would} {what}");
    let routes = &loaded.config.routes;
    if routes.envoy.is_none() && routes.nginx.is_none() {
        outln!("the proxy needs the new route too: run `tiergate proxy-config` again, or configure `routes`");
    }
    Ok(Exit::Done)
}

fn find(loaded: &Loaded, name: &str) -> anyhow::Result<Arc<App>> {
    let catalogue = &loaded.apps.catalogue;
    match catalogue.find(name) {
        Found::One(app) => Ok(Arc::clone(app)),
        Found::Several(apps) => {
            let ids: Vec<String> = apps.iter().map(|app| format!("`{}`", app.id)).collect();
            bail!("several apps are called `{name}`: say which of {}", ids.join(", "))
        }
        Found::None => {
            let ids: Vec<String> = catalogue.apps().iter().map(|app| app.id.to_string()).collect();
            let names = catalogue.apps().iter().map(|app| app.id.name.as_str());
            let known = ids.iter().map(String::as_str).chain(names);
            match nearest(name, known) {
                Some(similar) => bail!("there is no app `{name}`; did you mean `{similar}`?"),
                None => bail!("there is no app `{name}`; `tiergate apps list` shows all"),
            }
        }
    }
}

fn check_target(loaded: &Loaded, app: &App, to: &str) -> Result<(), Failure> {
    let tiers = loaded.config.policy.tiers();
    if tiers.index(to).is_none() {
        let names = tiers.iter().map(|tier| tiers.name(tier));
        let hint = nearest(to, names).map(|similar| format!("; did you mean `{similar}`?")).unwrap_or_default();
        return Err(Failure::Usage(anyhow!("there is no tier `{to}`{hint}")));
    }
    if app.id.tier.as_ref() == to {
        return Err(Failure::Other(anyhow!("`{}` is in `{to}` already", app.id)));
    }
    if let Some(there) = loaded.apps.catalogue.with_id(&format!("{to}/{}", app.id.name)) {
        let version = |app: &App| app.version.as_ref().map(|version| format!(" ({version})")).unwrap_or_default();
        let (old, new) = (version(there), version(app));
        return Err(Failure::Other(anyhow!(
            "`{}`{old} is in that tier already, and `{}`{new} would take its place: promote that one or remove {} first",
            there.id,
            app.id,
            there.source
        )));
    }
    Ok(())
}

/// The step for an app with a file or folder, and the path it will have.
fn in_its_file(loaded: &Loaded, app: &App, file: &AppFile, to: &str) -> anyhow::Result<(Step, String)> {
    let (from, name) = (app.id.tier.as_ref(), app.id.name.as_str());
    let (step, text) = match &file.folder {
        None => {
            let new = with_tier(&file.text, None, from, to).map_err(|error| in_file(&file.path, &error))?;
            (Step::Rewrite { path: file.path.clone(), old: file.text.to_string(), new: new.clone() }, new)
        }
        Some(folder) => {
            check_names_no_tier(&file.text, from).map_err(|error| in_file(&file.path, &error))?;
            let apps = folder.parent().and_then(Path::parent).unwrap_or(Path::new("."));
            (Step::Move { from: folder.clone(), to: apps.join(to).join(name) }, file.text.to_string())
        }
    };
    let place = match &file.folder {
        None => AppPlace::File { stem: file.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default() },
        Some(_) => AppPlace::Folder { tier: to, name },
    };
    let shown = file.path.display().to_string();
    let read = loaded.config.read_app(&AppText { file: &shown, text: &text, place }, &loaded.variables);
    let entry = Arc::new(read.map_err(|errors| anyhow!("`{}` could not be in `{to}`:\n{errors}", app.id))?);
    if entry.app.id.tier.as_ref() != to || entry.app.id.name != app.id.name {
        bail!("`{}` would become `{}`: change its file by hand", app.id, entry.app.id);
    }
    let others = loaded.apps.files.iter().filter(|other| other.id != app.id).map(|other| Arc::clone(&other.entry));
    let entries: Vec<Arc<Entry>> = others.chain([Arc::clone(&entry)]).collect();
    let assembled = loaded.config.assemble(&entries);
    if let Some((_, conflict)) =
        assembled.conflicts.iter().find(|(position, _)| position.saturating_add(1) == entries.len())
    {
        bail!("`{}` could not be in `{to}`: {conflict}; {}", app.id, conflict.hint());
    }
    Ok((step, entry.app.path.to_string()))
}

/// The step for an app in the config itself, and the path it will have.
fn in_the_config(loaded: &Loaded, arg: &ConfigArg, app: &App, to: &str) -> anyhow::Result<(Step, String)> {
    let position = app.source.strip_prefix("apps[").and_then(|rest| rest.strip_suffix(']')?.parse().ok());
    let (Some(position), Some((path, old))) = (position, load::config_text(arg)?) else {
        bail!("`{}` is written in {}, which cannot be changed here", app.id, app.source);
    };
    let new = with_tier(&old, Some(position), &app.id.tier, to).map_err(|error| in_file(&path, &error))?;
    let config = load::as_if(&path, &new, &loaded.variables)
        .map_err(|errors| anyhow!("`{}` could not be in `{to}`:\n{errors}", app.id))?;
    let apps = app::load_apps(&config, &loaded.variables);
    let Some(moved) = apps.catalogue.with_id(&format!("{to}/{}", app.id.name)) else {
        bail!("`{}` would not be in `{to}` then: change {} by hand", app.id, path.display());
    };
    if apps.catalogue.apps().len() != loaded.apps.catalogue.apps().len() {
        bail!("other apps would be lost: `{}` would be in their way", moved.id);
    }
    Ok((Step::Rewrite { path, old, new }, moved.path.to_string()))
}

fn in_file(path: &Path, error: &dyn std::error::Error) -> anyhow::Error {
    anyhow!("{}: {error}", path.display())
}
