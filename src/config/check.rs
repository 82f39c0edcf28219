//! What every section's check needs: where faults go, and the readers of
//! durations, lists and secrets that they share.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::duration::{DurationText, in_words};
use super::fault::{Fault, quoted};
use super::node::push;
use crate::types::Secret;

/// Reads the text of a secret file, or of a key set.
pub type ReadSecret<'a> = &'a dyn Fn(&str) -> std::io::Result<String>;

/// The state of one check of a whole config.
pub(crate) struct Check<'a> {
    pub(crate) faults: Vec<Fault>,
    pub(crate) notices: Vec<String>,
    /// Sections that are too broken to draw conclusions from.
    broken: &'a BTreeSet<String>,
    read_secret: ReadSecret<'a>,
}

impl<'a> Check<'a> {
    pub(crate) fn new(broken: &'a BTreeSet<String>, read_secret: ReadSecret<'a>) -> Self {
        Self { faults: Vec::new(), notices: Vec::new(), broken, read_secret }
    }

    /// Whether what `section` lacks is really not written.
    pub(crate) fn is_sound(&self, section: &str) -> bool {
        !self.broken.contains(section)
    }

    pub(crate) fn fault(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    pub(crate) fn notice(&mut self, notice: impl Into<String>) {
        self.notices.push(notice.into());
    }

    /// The value, or the fault noted and `fallback`.
    pub(crate) fn or<T>(&mut self, result: Result<T, Fault>, fallback: T) -> T {
        self.ok(result).unwrap_or(fallback)
    }

    /// The value, or the fault noted.
    pub(crate) fn ok<T>(&mut self, result: Result<T, Fault>) -> Option<T> {
        result.map_err(|fault| self.faults.push(fault)).ok()
    }

    /// A duration within `range`, or `default` when none is written.
    pub(crate) fn duration(
        &mut self,
        pointer: &str,
        written: Option<&DurationText>,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        let Some(written) = written else { return default };
        let Some(duration) = written.read() else {
            let fault = Fault::new(pointer, format!("{} is not a duration", quoted(&written.0)));
            self.fault(fault.hint(format!("a whole number and a unit, such as `{}`", in_words(default))));
            return default;
        };
        if duration < *range.start() {
            let fault = Fault::new(pointer, format!("{} is too short", quoted(&written.0)));
            self.fault(fault.hint(format!("at least `{}`", in_words(*range.start()))));
        } else if duration > *range.end() {
            let fault = Fault::new(pointer, format!("{} is too long", quoted(&written.0)));
            self.fault(fault.hint(format!("at most `{}`", in_words(*range.end()))));
        }
        duration
    }

    /// A text with something in it and no blank around it.
    pub(crate) fn text(&mut self, pointer: &str, written: &str) -> String {
        if written.trim().is_empty() {
            self.fault(Fault::new(pointer, format!("`{}` is empty", super::node::in_words(pointer))));
        } else if written.trim() != written || written.chars().any(char::is_control) {
            let fault =
                Fault::new(pointer, format!("{} has blanks around it or control characters in it", quoted(written)));
            self.fault(fault.hint("remove them"));
        }
        written.to_owned()
    }

    /// A file or directory name.
    pub(crate) fn path(&mut self, pointer: &str, written: &str) -> PathBuf {
        PathBuf::from(self.text(pointer, written))
    }

    /// Tells when a file cannot be read that may well come later.
    pub(crate) fn look_at_file(&mut self, pointer: &str, path: &str) {
        if let Err(error) = (self.read_secret)(path) {
            let key = super::node::in_words(pointer);
            self.notice(format!("the file {} of `{key}` cannot be read: {error}", quoted(path)));
        }
    }

    /// A list in which every text is there once; `default` when none is written.
    pub(crate) fn list(&mut self, pointer: &str, written: Option<&[String]>, default: &[&str]) -> Vec<String> {
        let Some(written) = written else { return default.iter().map(|text| (*text).to_owned()).collect() };
        if written.is_empty() {
            let name = super::node::in_words(pointer);
            self.fault(Fault::new(pointer, format!("`{name}` is an empty list")).hint("name at least one"));
        }
        let mut seen: Vec<String> = Vec::new();
        for (position, text) in written.iter().enumerate() {
            let here = push(pointer, &position.to_string());
            let text = self.text(&here, text);
            if seen.contains(&text) {
                self.fault(Fault::new(here, format!("{} stands twice in the list", quoted(&text))).hint("remove one"));
            } else {
                seen.push(text);
            }
        }
        seen
    }

    /// A secret that is written under `key` or in the file that `<key>_file` names.
    pub(crate) fn secret(
        &mut self,
        pointer: &str,
        key: &str,
        inline: Option<&str>,
        file: Option<&str>,
    ) -> Option<(Secret, String)> {
        let file_key = format!("{key}_file");
        let here = push(pointer, key);
        let file_here = push(pointer, &file_key);
        let (text, here) = match (inline, file) {
            (None, None) => return None,
            (Some(_), Some(_)) => {
                let fault = Fault::new(file_here, format!("both `{key}` and `{file_key}` are written"));
                self.fault(fault.hint("keep one of them"));
                return None;
            }
            (Some(text), None) => (text.to_owned(), here),
            (None, Some(path)) => match (self.read_secret)(path) {
                Ok(text) => (
                    text.strip_suffix('\n').map_or(text.as_str(), |line| line.trim_end_matches('\r')).to_owned(),
                    file_here,
                ),
                Err(error) => {
                    self.fault(Fault::new(file_here, format!("the file {} cannot be read: {error}", quoted(path))));
                    return None;
                }
            },
        };
        if text.trim().is_empty() {
            self.fault(Fault::new(here, format!("`{key}` is empty")).hint("an empty secret protects nothing"));
            return None;
        }
        Some((Secret::new(text), here))
    }
}

/// Whether `text` is made of lower-case letters, digits and `-`.
pub(crate) fn is_short_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 63
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}
