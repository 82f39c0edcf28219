//! The section `portal`: the operator's brand, words and templates on the pages.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::check::Check;
use super::fault::{Fault, quoted};
use super::file::{ConfigFile, LockedFile, PortalFile};
use super::node::push;
use crate::policy::nearest;
use crate::types::CanonicalPath;
use crate::ui::{Brand, Color, Colors, Contact, Logo, Messages, TemplateFault, Templates, Ui};

const POINTER: &str = "/portal";
/// The longest name and contact, in characters: they stand on one line.
const MAX_LINE: usize = 120;

/// Reads the files and folders that `portal` names; a relative path counts from
/// where the command runs.
pub trait ReadFiles {
    /// The bytes of a file.
    ///
    /// # Errors
    /// When it cannot be read.
    fn bytes(&self, path: &str) -> std::io::Result<Vec<u8>>;

    /// The files of a folder, each by its name and its bytes, in the order of
    /// their names; without folders in it and names that begin with `.`.
    ///
    /// # Errors
    /// When it or one of them cannot be read.
    fn folder(&self, path: &str) -> std::io::Result<Vec<(String, Vec<u8>)>>;
}

/// A config that may name no file.
#[derive(Debug, Clone, Copy)]
pub struct NoFiles;

impl ReadFiles for NoFiles {
    fn bytes(&self, _: &str) -> std::io::Result<Vec<u8>> {
        Err(std::io::ErrorKind::NotFound.into())
    }

    fn folder(&self, _: &str) -> std::io::Result<Vec<(String, Vec<u8>)>> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

/// The portal and the pages around it.
#[derive(Debug, Clone)]
pub struct Portal {
    /// How the pages look and speak.
    pub ui: Arc<Ui>,
    /// Whether apps that do not open are shown, as locked.
    pub show_locked: bool,
    /// Where else the portal is shown; a canonical path outside `base_path`.
    pub path: Option<String>,
}

pub(crate) fn read(file: &ConfigFile, base_path: &str, files: &dyn ReadFiles, check: &mut Check<'_>) -> Portal {
    let portal = &file.portal;
    let brand = Brand {
        name: line("name", portal.name.as_deref(), check).unwrap_or_else(|| Brand::default().name),
        logo: portal.logo.as_deref().and_then(|path| check.ok(read_logo(path, files))),
        colors: read_colors(portal, check),
        contact: line("contact", portal.contact.as_deref(), check).as_deref().map(Contact::parse),
    };
    let messages = portal.messages.as_deref().map(|path| read_messages(path, files, check)).unwrap_or_default();
    let templates = portal.templates.as_deref().and_then(|path| read_templates(path, files, check));
    let show_locked = match portal.locked {
        Some(LockedFile::Show) => true,
        Some(LockedFile::Hide) | None => false,
    };
    let ui = Arc::new(Ui::new(brand, messages, templates.unwrap_or_default()));
    let path = portal.path.as_deref().and_then(|path| check.ok(read_path(path, base_path, file)));
    Portal { ui, show_locked, path }
}

fn line(key: &str, written: Option<&str>, check: &mut Check<'_>) -> Option<String> {
    let pointer = push(POINTER, key);
    let text = check.text(&pointer, written?);
    let length = text.chars().count();
    if length > MAX_LINE {
        let fault = Fault::new(pointer, format!("`portal.{key}` has {length} characters, at most {MAX_LINE} fit"));
        check.fault(fault.hint("shorten it"));
    }
    Some(text)
}

fn unreadable(pointer: &str, path: &str, error: &std::io::Error) -> Fault {
    Fault::new(pointer, format!("{} cannot be read: {error}", quoted(path)))
}

fn read_logo(path: &str, files: &dyn ReadFiles) -> Result<Logo, Fault> {
    let pointer = push(POINTER, "logo");
    let bytes = files.bytes(path).map_err(|error| unreadable(&pointer, path, &error))?;
    Logo::read(&bytes).map_err(|error| Fault::new(pointer, format!("{} is no logo: {error}", quoted(path))))
}

fn read_colors(portal: &PortalFile, check: &mut Check<'_>) -> Colors {
    let pointer = push(POINTER, "colors");
    let mut color = |key: &str, written: Option<&str>, too_faint: fn(Color) -> Option<(u32, Color)>, pages: &str| {
        let (pointer, text) = (push(&pointer, key), written?);
        let color = check.ok(Color::parse(text).map_err(|error| {
            Fault::new(&pointer, format!("{} is {error}", quoted(text))).hint("six hexadecimal digits, in quotes")
        }))?;
        if let Some((contrast, better)) = too_faint(color) {
            let told = format!(
                "{} cannot be read on {pages} pages: its contrast is {}.{:02}, and 4.50 is the least",
                quoted(text),
                contrast / 100,
                contrast % 100
            );
            check.fault(Fault::new(&pointer, told).hint(format!("the nearest that can be read is `\"{better}\"`")));
        }
        Some(color)
    };
    let accent = color("accent", portal.colors.accent.as_deref(), Colors::too_faint_on_light, "light");
    let dark = color("accent_dark", portal.colors.accent_dark.as_deref(), Colors::too_faint_on_dark, "dark");
    let default = Colors::default();
    Colors {
        accent: accent.unwrap_or(default.accent),
        accent_dark: dark.or_else(|| accent.map(Colors::dark_for)).unwrap_or(default.accent_dark),
    }
}

/// The text of each file of a folder; what is not UTF-8 is a fault.
fn texts(pointer: &str, path: &str, files: &dyn ReadFiles, check: &mut Check<'_>) -> Option<Vec<(String, String)>> {
    let read = check.ok(files.folder(path).map_err(|error| unreadable(pointer, path, &error)))?;
    let text = |(name, bytes): (String, Vec<u8>)| match String::from_utf8(bytes) {
        Ok(text) => Some((name, text)),
        Err(_) => {
            check.fault(Fault::new(pointer, format!("{} is not text in UTF-8", quoted(&format!("{path}/{name}")))));
            None
        }
    };
    Some(read.into_iter().filter_map(text).collect())
}

fn read_messages(path: &str, files: &dyn ReadFiles, check: &mut Check<'_>) -> Messages {
    let pointer = push(POINTER, "messages");
    let mut more: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (name, text) in texts(&pointer, path, files, check).unwrap_or_default() {
        let Some(tag) = name.strip_suffix(".yaml").or_else(|| name.strip_suffix(".yml")) else {
            let fault = Fault::new(&pointer, format!("{} is no file of messages", quoted(&format!("{path}/{name}"))));
            check.fault(fault.hint("each is a language, such as `fr.yaml`"));
            continue;
        };
        match Messages::read_file(tag, &text) {
            Ok(table) => more.entry(tag.to_owned()).or_default().extend(table),
            Err(errors) => {
                for error in errors {
                    let line = error.key().and_then(|key| line_of(&text, key));
                    let fault = Fault::new(&pointer, format!("{}: {error}", place(path, &name, line)));
                    let similar = error.unknown_key().and_then(|key| nearest(key, Messages::keys()));
                    check.fault(fault.maybe_hint(similar.map(|similar| format!("did you mean `{similar}`?"))));
                }
            }
        }
    }
    Messages::with(&more)
}

fn read_templates(path: &str, files: &dyn ReadFiles, check: &mut Check<'_>) -> Option<Templates> {
    let pointer = push(POINTER, "templates");
    let texts = texts(&pointer, path, files, check)?;
    match Templates::with(&texts) {
        Ok(templates) => Some(templates),
        Err(faults) => {
            for TemplateFault { file, line, message } in faults {
                check.fault(Fault::new(&pointer, format!("{}: {message}", place(path, &file, line))));
            }
            None
        }
    }
}

fn place(folder: &str, file: &str, line: Option<usize>) -> String {
    let folder = folder.trim_end_matches('/');
    match line {
        Some(line) => format!("`{folder}/{file}:{line}`"),
        None => format!("`{folder}/{file}`"),
    }
}

/// The line on which the key of a message stands.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let stands = |line: &str| line.trim_start().trim_start_matches(['"', '\'']).starts_with(key);
    text.lines().position(stands).map(|position| position.saturating_add(1))
}

fn read_path(path: &str, base_path: &str, file: &ConfigFile) -> Result<String, Fault> {
    let pointer = push(POINTER, "path");
    let fault = |told: &str| Fault::new(&pointer, format!("the path {} {told}", quoted(path)));
    let canonical = CanonicalPath::parse(path.as_bytes()).map_err(|error| fault(&format!("is no path: {error}")))?;
    if canonical.as_str() != path || canonical.encoded().refusal().is_some() || path.contains(['?', '%']) {
        return Err(fault("is not written as requests are compared with it").hint("such as `/dashboard`"));
    }
    let below = path.strip_prefix(base_path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if below {
        return Err(fault("is below `base_path`").hint("the portal is at `<base_path>/` anyway"));
    }
    let logins = file.identity_providers.iter().filter_map(|provider| provider.login.as_ref());
    if logins.filter_map(|login| login.callback_path.as_deref()).any(|callback| callback == path) {
        return Err(fault("is the `callback_path` of a provider").hint("take another one"));
    }
    Ok(path.to_owned())
}
