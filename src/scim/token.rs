//! The words of a filter.

use super::error::ScimError;
use super::filter::{Operator, invalid};
use super::path::is_name;

/// One word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token<'t> {
    Open,
    Close,
    OpenSelect,
    CloseSelect,
    /// A name, an operator, a number, `true`.
    Word(&'t str),
    /// What stood in double quotes.
    Text(String),
    End,
}

/// The words of a text, one after the other.
pub(super) struct Tokens<'t> {
    rest: &'t str,
}

impl<'t> Tokens<'t> {
    pub(super) const fn new(text: &'t str) -> Self {
        Self { rest: text }
    }

    /// The next one.
    pub(super) fn take(&mut self) -> Result<Token<'t>, ScimError> {
        self.rest = self.rest.trim_start_matches(' ');
        let mut chars = self.rest.chars();
        let single = match chars.next() {
            None => return Ok(Token::End),
            Some('"') => return self.take_text().map(Token::Text),
            Some('(') => Some(Token::Open),
            Some(')') => Some(Token::Close),
            Some('[') => Some(Token::OpenSelect),
            Some(']') => Some(Token::CloseSelect),
            Some(_) => None,
        };
        if let Some(single) = single {
            self.rest = chars.as_str();
            return Ok(single);
        }
        let end = self.rest.find([' ', '"', '(', ')', '[', ']']).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        if word.chars().any(|c| !c.is_ascii_graphic()) {
            return Err(invalid("there is a character outside of quotes that no filter has"));
        }
        self.rest = rest;
        Ok(Token::Word(word))
    }

    /// Takes the next word, where it is this one.
    pub(super) fn takes(&mut self, wanted: &Token<'_>) -> Result<bool, ScimError> {
        let before = self.rest;
        let is_it = self.take()? == *wanted;
        if !is_it {
            self.rest = before;
        }
        Ok(is_it)
    }

    /// Takes the next word, where it is this one without case.
    pub(super) fn takes_word(&mut self, wanted: &str) -> Result<bool, ScimError> {
        let before = self.rest;
        let is_it = matches!(self.take()?, Token::Word(word) if word.eq_ignore_ascii_case(wanted));
        if !is_it {
            self.rest = before;
        }
        Ok(is_it)
    }

    /// Takes `.name`, where it follows at once.
    pub(super) fn take_part(&mut self) -> Result<Option<&'t str>, ScimError> {
        if !self.rest.starts_with('.') {
            return Ok(None);
        }
        match self.take()? {
            Token::Word(word) => match word.strip_prefix('.').filter(|name| is_name(name)) {
                Some(name) => Ok(Some(name)),
                None => Err(invalid("after `].` stands the name of an attribute")),
            },
            Token::Open | Token::Close | Token::OpenSelect | Token::CloseSelect | Token::Text(_) | Token::End => {
                Ok(None)
            }
        }
    }

    /// Whether the next word is an operator.
    pub(super) fn is_before_comparison(&self) -> Result<bool, ScimError> {
        let next = Self { rest: self.rest }.take()?;
        Ok(matches!(next, Token::Word(word) if word.eq_ignore_ascii_case("pr") || Operator::parse(word).is_some()))
    }

    /// Text in double quotes, as JSON writes it (RFC 7159 section 7).
    fn take_text(&mut self) -> Result<String, ScimError> {
        let mut is_escaped = false;
        let end = self.rest.char_indices().skip(1).find_map(|(place, c)| {
            let ends = c == '"' && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            ends.then(|| place.saturating_add(1))
        });
        let (quoted, rest) = end
            .and_then(|end| self.rest.split_at_checked(end))
            .ok_or_else(|| invalid("a text has no closing quote"))?;
        self.rest = rest;
        serde_json::from_str(quoted).map_err(|_| invalid("a text is not written as JSON writes text"))
    }
}
