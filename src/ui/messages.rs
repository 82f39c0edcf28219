//! What the pages say, in every language that there is.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use super::html::escape_html;
use super::language;

/// The languages that come with the service; the first has every message.
const OWN: [(&str, &str); 3] = [
    ("en", include_str!("messages/en.yaml")),
    ("de", include_str!("messages/de.yaml")),
    ("ko", include_str!("messages/ko.yaml")),
];

type Table = BTreeMap<String, String>;

/// Something to say: a message and what is filled into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    key: &'static str,
    values: Vec<(&'static str, String)>,
}

impl Text {
    /// The message called `key`, which the English file holds.
    #[must_use]
    pub const fn of(key: &'static str) -> Self {
        Self { key, values: Vec::new() }
    }

    /// Fills `value` in where the message says `{name}`.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.values.push((name, value.into()));
        self
    }
}

impl From<&'static str> for Text {
    fn from(key: &'static str) -> Self {
        Self::of(key)
    }
}

/// One language: its tag and its messages.
#[derive(Debug)]
pub struct Language {
    tag: Box<str>,
    own: Table,
    /// English as the operator has it, for what is missing.
    fallback: Option<Arc<Language>>,
}

impl Language {
    /// The value of `lang`.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The value of `dir`.
    #[must_use]
    pub fn direction(&self) -> &'static str {
        language::direction(&self.tag)
    }

    /// A text in this language.
    #[must_use]
    pub fn say(&self, text: &Text) -> String {
        let values: Vec<(&str, &str)> = text.values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.plain(text.key, &values)
    }

    /// The message `key` with `values` filled in, not escaped.
    pub(super) fn plain(&self, key: &str, values: &[(&str, &str)]) -> String {
        let mut out = String::new();
        pieces(self.message(key), |piece| match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Place(name) => {
                out.push_str(values.iter().find(|(held, _)| *held == name).map_or("", |(_, value)| value));
            }
        });
        out
    }

    /// The message `key` as HTML, with what is filled in set apart: its direction
    /// is its own, whatever language it is in.
    pub(super) fn html(&self, key: &str, values: &[(&str, &str)]) -> String {
        self.html_by(key, |name| {
            let value = values.iter().find(|(held, _)| *held == name).map_or("", |(_, value)| value);
            format!("<bdi class=\"value\">{}</bdi>", escape_html(value))
        })
    }

    /// The message `key` as HTML around `html`, which stands at its one place.
    pub(super) fn html_with(&self, key: &str, html: &str) -> String {
        self.html_by(key, |_| html.to_owned())
    }

    fn html_by(&self, key: &str, write: impl Fn(&str) -> String) -> String {
        let mut out = String::new();
        pieces(self.message(key), |piece| match piece {
            Piece::Text(text) => out.push_str(&escape_html(text)),
            Piece::Place(name) => out.push_str(&write(name)),
        });
        out
    }

    /// Whether there is such a message, in this language or in English.
    pub(super) fn knows(&self, key: &str) -> bool {
        self.own.contains_key(key) || self.fallback.as_ref().is_some_and(|fallback| fallback.knows(key))
    }

    fn message<'a>(&'a self, key: &'a str) -> &'a str {
        match (self.own.get(key), &self.fallback) {
            (Some(message), _) => message,
            (None, Some(fallback)) => fallback.message(key),
            // No key is made up at run time; a test looks for each that the code names.
            (None, None) => key,
        }
    }
}

/// Why a file of messages cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The name of the file is no language tag.
    #[error("`{tag}` is not a language tag such as `fr` or `zh-Hant`")]
    Tag {
        /// The name without its ending.
        tag: String,
    },
    /// It is not a map of texts.
    #[error("{0}")]
    Form(String),
    /// The pages have no such message.
    #[error("there is no message `{key}`")]
    Unknown {
        /// The key.
        key: String,
    },
    /// A message fills something in that it does not get.
    #[error("the message `{key}` asks for `{{{place}}}`, which it does not get")]
    Place {
        /// The key.
        key: String,
        /// The name in braces.
        place: String,
    },
}

impl MessageError {
    /// The key that it is about.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Unknown { key } | Self::Place { key, .. } => Some(key),
            Self::Tag { .. } | Self::Form(_) => None,
        }
    }

    /// The key that no page has.
    #[must_use]
    pub fn unknown_key(&self) -> Option<&str> {
        match self {
            Self::Unknown { key } => Some(key),
            Self::Place { .. } | Self::Tag { .. } | Self::Form(_) => None,
        }
    }
}

/// Every language that the pages speak.
#[derive(Debug, Clone)]
pub struct Messages {
    english: Arc<Language>,
    /// English first.
    languages: Vec<Arc<Language>>,
}

/// The messages as they come with the service.
static OWN_TABLES: LazyLock<Vec<(&'static str, Table)>> = LazyLock::new(|| {
    // A file that does not parse has no message, which the test of all languages sees.
    OWN.into_iter().map(|(tag, text)| (tag, read(text).unwrap_or_default())).collect()
});

/// English as it comes with the service: what programs are told.
static ENGLISH: LazyLock<Language> = LazyLock::new(|| {
    let own = OWN_TABLES.first().map(|(_, table)| table.clone()).unwrap_or_default();
    Language { tag: Box::from("en"), own, fallback: None }
});

impl Default for Messages {
    fn default() -> Self {
        Self::with(&BTreeMap::new())
    }
}

impl Messages {
    /// The languages of the service, with `more` on top: a table of messages for
    /// each tag, read by [`Self::read_file`].
    #[must_use]
    pub fn with(more: &BTreeMap<String, BTreeMap<String, String>>) -> Self {
        let over = |tag: &str, own: Table| -> Table {
            let mut table = own;
            table.extend(more.get(tag).cloned().unwrap_or_default());
            table
        };
        let english = Arc::new(Language { tag: Box::from("en"), own: over("en", ENGLISH.own.clone()), fallback: None });
        let mut languages = vec![Arc::clone(&english)];
        let mut add = |tag: &str, own: Table| {
            languages.push(Arc::new(Language { tag: Box::from(tag), own, fallback: Some(Arc::clone(&english)) }));
        };
        let shipped = || OWN_TABLES.iter().filter(|(tag, _)| *tag != "en");
        for (tag, table) in shipped() {
            add(tag, over(tag, table.clone()));
        }
        for (tag, table) in more.iter().filter(|(tag, _)| tag.as_str() != "en" && !shipped().any(|(own, _)| own == tag))
        {
            add(tag, table.clone());
        }
        Self { english, languages }
    }

    /// Reads a file of messages whose name, without its ending, is `tag`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read_file(tag: &str, text: &str) -> Result<BTreeMap<String, String>, Vec<MessageError>> {
        if !language::is_tag(tag) {
            return Err(vec![MessageError::Tag { tag: tag.to_owned() }]);
        }
        let table = read(text).map_err(|error| vec![MessageError::Form(error)])?;
        let faults: Vec<MessageError> = table.iter().flat_map(|(key, message)| faults(key, message)).collect();
        if faults.is_empty() { Ok(table) } else { Err(faults) }
    }

    /// What programs are told, whatever the operator's pages say.
    #[must_use]
    pub fn for_programs(text: &Text) -> String {
        ENGLISH.say(text)
    }

    /// The language for whoever sends this `Accept-Language`; English when none fits.
    #[must_use]
    pub fn choose(&self, accept_language: Option<&[u8]>) -> &Arc<Language> {
        let tags: Vec<&str> = self.languages.iter().map(|language| language.tag()).collect();
        let chosen = accept_language.and_then(|header| language::choose(header, &tags));
        chosen.and_then(|tag| self.languages.iter().find(|language| language.tag() == tag)).unwrap_or(&self.english)
    }

    /// The keys of all messages.
    pub fn keys() -> impl Iterator<Item = &'static str> {
        ENGLISH.own.keys().map(String::as_str)
    }
}

/// The languages that come with the service, as they are written.
#[cfg(test)]
pub(super) fn own_files() -> [(&'static str, &'static str); 3] {
    OWN
}

fn read(text: &str) -> Result<Table, String> {
    // A file of comments alone is an empty map.
    let table: Option<Table> = serde_saphyr::from_str(text).map_err(|error| {
        let told = error.to_string();
        let first = told.lines().next().unwrap_or_default();
        first.strip_prefix("error: ").unwrap_or(first).to_owned()
    })?;
    Ok(table.unwrap_or_default())
}

fn faults(key: &str, message: &str) -> Vec<MessageError> {
    let Some(english) = ENGLISH.own.get(key) else { return vec![MessageError::Unknown { key: key.to_owned() }] };
    let known = places(english);
    let asked = places(message).into_iter().filter(|place| !known.contains(place));
    asked.map(|place| MessageError::Place { key: key.to_owned(), place: place.to_owned() }).collect()
}

/// The names in braces.
pub(super) fn places(message: &str) -> Vec<&str> {
    let mut found = Vec::new();
    pieces(message, |piece| {
        if let Piece::Place(name) = piece {
            found.push(name);
        }
    });
    found
}

enum Piece<'a> {
    Text(&'a str),
    Place(&'a str),
}

/// The parts of a message; a brace that is not closed is text.
fn pieces<'a>(message: &'a str, mut each: impl FnMut(Piece<'a>)) {
    let mut rest = message;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, behind)) = after.split_once('}') else { break };
        each(Piece::Text(before));
        each(Piece::Place(name));
        rest = behind;
    }
    each(Piece::Text(rest));
}
