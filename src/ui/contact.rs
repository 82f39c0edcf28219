//! Whom to ask: a name, an e-mail address or a link.

use serde::Serialize;

/// Whom to ask, as text and, where it is one, as a link. The text is as it was
/// written and may be hostile; the link is of a kind that runs nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Contact {
    text: String,
    href: Option<String>,
}

impl Contact {
    /// Reads an e-mail address, an `https://` or `http://` URL, or any other text.
    #[must_use]
    pub fn parse(written: &str) -> Self {
        let text = written.trim();
        let href = if is_email(text) {
            Some(format!("mailto:{text}"))
        } else {
            // As a browser would write it: quotes and blanks in it are encoded.
            let url =
                url::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "https" | "http") && url.has_host());
            url.map(String::from)
        };
        Self { text: text.to_owned(), href }
    }

    /// What people read.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where it leads; `None` for a mere name.
    #[must_use]
    pub fn href(&self) -> Option<&str> {
        self.href.as_deref()
    }
}

/// Only what needs no encoding in a `mailto:` (RFC 6068 section 2): no header
/// can be slipped in.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let is_word = |part: &str, more: &[u8]| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
    };
    is_word(local, b"._+-") && is_word(domain, b".-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_become_links() {
        for (written, href) in [
            ("maps@example.com", Some("mailto:maps@example.com")),
            (" ops+apps@example.com ", Some("mailto:ops+apps@example.com")),
            ("https://example.com/ask?x=1", Some("https://example.com/ask?x=1")),
            ("http://wiki.example.com/", Some("http://wiki.example.com/")),
            ("The map team", None),
            ("javascript:alert(1)", None),
            ("JaVaScRiPt://example.com/%0aalert(1)", None),
            ("data:text/html,x", None),
            ("a@example.com?bcc=b@example.com", None),
            ("a@b@example.com", None),
            ("mailto:a@example.com", None),
            ("https://", None),
            ("//example.com/", None),
            ("/x", None),
            ("", None),
        ] {
            assert_eq!(Contact::parse(written).href(), href, "{written}");
        }
        assert_eq!(Contact::parse(" The map team ").text(), "The map team");
    }
}
