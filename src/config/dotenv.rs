//! `.env`: more variables, which the real environment overrules.
//!
//! ```text
//! # a comment
//! NAME=value              # blanks end the value; only a comment may follow
//! export NAME='a $value'  # as it stands, up to the next quote
//! NAME="two\nlines"       # with the escapes \n \" \\ \$
//! ```
//!
//! A `$` is a `$` everywhere: nothing is filled in, or a password with one in
//! it would silently become another.

use std::collections::BTreeMap;

use super::fault::{ConfigError, ConfigErrors, Place};

/// Adds what the text of a `.env` file sets to `environment`, whose own
/// variables win.
///
/// # Errors
/// Every line that sets no variable; its text is not repeated, it may hold a secret.
pub fn with_dotenv(
    name: &str,
    text: &str,
    environment: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, ConfigErrors> {
    let mut variables = BTreeMap::new();
    let mut errors = Vec::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (number, line) in (1u64..).zip(text.lines()) {
        match read(line) {
            Ok(Some((variable, value))) => {
                variables.insert(variable.to_owned(), value);
            }
            Ok(None) => {}
            Err(slip) => errors.push(slip.at(number, line)),
        }
    }
    if !errors.is_empty() {
        return Err(ConfigErrors::listed(name, errors));
    }
    variables.extend(environment);
    Ok(variables)
}

/// What is wrong with a line, and what of it was not read any more.
struct Slip<'l> {
    rest: &'l str,
    message: &'static str,
    hint: &'static str,
}

impl Slip<'_> {
    fn at(&self, number: u64, line: &str) -> ConfigError {
        let before = line.len().saturating_sub(self.rest.len());
        let column = line.get(..before).map_or(0, |before| before.chars().count());
        let column = u64::try_from(column).unwrap_or(0).saturating_add(1);
        ConfigError {
            place: Place::File { line: number, column },
            message: self.message.to_owned(),
            hint: Some(self.hint.to_owned()),
            other: None,
        }
    }
}

/// The variable that a line sets; `None` for one that says nothing.
fn read(line: &str) -> Result<Option<(&str, String)>, Slip<'_>> {
    let line = line.trim_start();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let exported = line.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t']));
    let setting = exported.unwrap_or(line).trim_start();
    let no_setting = Slip { rest: setting, message: "this line sets no variable", hint: "a line is `NAME=value`" };
    let Some((name, value)) = setting.split_once('=') else { return Err(no_setting) };
    let name = name.trim_end();
    let is_name = |name: &str| {
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'))
            && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
    };
    if !is_name(name) {
        return Err(no_setting);
    }
    let value = value.trim_start();
    let (text, rest) = if let Some(quoted) = value.strip_prefix('\'') {
        let (text, rest) = quoted.split_once('\'').ok_or(unclosed(value))?;
        (text.to_owned(), rest)
    } else if let Some(quoted) = value.strip_prefix('"') {
        unescape(quoted)?.ok_or(unclosed(value))?
    } else {
        bare(value)
    };
    let left = rest.trim_start();
    if left.is_empty() || (left.starts_with('#') && left.len() < rest.len()) {
        return Ok(Some((name, text)));
    }
    let hint = "put a value with blanks into single quotes; a comment starts with a blank and `#`";
    Err(Slip { rest: left, message: "there is more behind the value", hint })
}

fn unclosed(rest: &str) -> Slip<'_> {
    let hint = "close it on the same line; `\\n` in double quotes starts a new one";
    Slip { rest, message: "the quote is not closed", hint }
}

/// A value without quotes, and what follows the blanks behind it.
fn bare(value: &str) -> (String, &str) {
    if value.starts_with('#') {
        // `NAME= # comment`; the blank before it is trimmed off already.
        return (String::new(), "");
    }
    let end = value.find([' ', '\t']).unwrap_or(value.len());
    let (text, rest) = value.split_at_checked(end).unwrap_or((value, ""));
    (text.to_owned(), rest)
}

/// A text up to the quote that closes it, and what follows; `None` without one.
fn unescape(quoted: &str) -> Result<Option<(String, &str)>, Slip<'_>> {
    let mut text = String::new();
    let mut rest = quoted;
    while let Some((before, special)) = rest.find(['"', '\\']).and_then(|at| rest.split_at_checked(at)) {
        text.push_str(before);
        if let Some(behind) = special.strip_prefix('"') {
            return Ok(Some((text, behind)));
        }
        let mut behind = special.chars();
        behind.next();
        text.push(match behind.next() {
            Some('n') => '\n',
            Some(same @ ('"' | '\\' | '$')) => same,
            Some(_) | None => {
                let hint = "the escapes are `\\n`, `\\\"`, `\\\\` and `\\$`; in single quotes `\\` is a text";
                return Err(Slip { rest: special, message: "a `\\` without an escape that is known", hint });
            }
        });
        rest = behind.as_str();
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(line: &str) -> String {
        let mut variables =
            with_dotenv(".env", line, BTreeMap::new()).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(variables.len(), 1, "{line}");
        variables.remove("A").unwrap()
    }

    #[test]
    fn the_real_environment_wins() {
        let real = BTreeMap::from([("A".to_owned(), "real".to_owned())]);
        let text = "\u{feff}A=file\r\n# comment\r\n\r\nexport B='two words'\r\nC=\"x\"\r\n\tD.e = 5\r\n";
        let merged = with_dotenv(".env", text, real).unwrap();
        let told: Vec<(&str, &str)> = merged.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(told, [("A", "real"), ("B", "two words"), ("C", "x"), ("D.e", "5")]);
    }

    #[test]
    fn a_dollar_is_a_dollar() {
        for (line, value) in [
            ("A=ab$cd", "ab$cd"),
            ("A=${HOME}", "${HOME}"),
            ("A='ab$cd'", "ab$cd"),
            ("A=\"ab$cd\"", "ab$cd"),
            ("A=\"ab\\$cd\"", "ab$cd"),
        ] {
            assert_eq!(one(line), value, "{line}");
        }
    }

    #[test]
    fn values_end_where_they_should() {
        for (line, value) in [
            ("A=", ""),
            ("A= # nothing", ""),
            ("A=x # comment", "x"),
            ("A=x#y", "x#y"),
            ("A=a=b==", "a=b=="),
            ("A=x   ", "x"),
            ("A='# \" \\n' # comment", "# \" \\n"),
            (r#"A="a\nb\"c\\d # e""#, "a\nb\"c\\d # e"),
            ("A=it's", "it's"),
            ("A=a\nA=b", "b"),
            ("export A=x", "x"),
        ] {
            assert_eq!(one(line), value, "{line}");
        }
    }

    #[test]
    fn every_broken_line_is_told_without_its_text() {
        let text = "A=1\nSECRET hunter2\n=hunter2\nB='hunter2\nC=\"hunter2\\x\"\nD=my hunter2\nE='a'hunter2\n1=hunter2\nexport\nF='a'#hunter2\n";
        let errors = with_dotenv(".env", text, BTreeMap::new()).unwrap_err();
        let places: Vec<Place> = errors.errors().iter().map(|error| error.place.clone()).collect();
        let expected = [(2, 1), (3, 1), (4, 3), (5, 11), (6, 6), (7, 6), (8, 1), (9, 1), (10, 6)];
        assert_eq!(places, expected.map(|(line, column)| Place::File { line, column }));
        assert!(!errors.to_string().contains("hunter2"), "{errors}");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "([A-Z='\"\\\\ #\n$é]|export |\\PC){0,40}") {
            if let Err(errors) = with_dotenv(".env", &text, BTreeMap::new()) {
                prop_assert!(!errors.errors().is_empty());
            }
        }

        #[test]
        fn single_quotes_keep_what_is_in_them(value in "[^'\r\n]{0,40}") {
            prop_assert_eq!(one(&format!("A='{value}'")), value);
        }

        #[test]
        fn double_quotes_keep_what_is_escaped_in_them(value in "[^\r]{0,40}") {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            prop_assert_eq!(one(&format!("A=\"{escaped}\"")), value);
        }
    }
}
