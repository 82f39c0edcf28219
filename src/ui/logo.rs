//! The logo of a brand: a small picture that stands in each page itself, so
//! that it is there under every host, and for Envoy, whose checks carry text only.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The largest logo, in bytes: every page holds it.
pub(super) const MAX_BYTES: usize = 64 * 1024;

/// A picture as a `data:` URL. In an `img` no format runs a script or loads
/// anything, SVG included (SVG 2 section 2.2, secure static mode).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logo(Box<str>);

/// Why a file is no logo.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogoError {
    /// It is too large.
    #[error("it has {bytes} bytes, and at most {MAX_BYTES} stand in a page")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Its bytes are of no known kind.
    #[error("it is not an SVG, PNG, JPEG, GIF or WebP picture")]
    Kind,
    /// An SVG that holds more than a picture.
    #[error("the SVG holds `{found}`, and a logo is only a picture")]
    Active {
        /// What it holds.
        found: &'static str,
    },
}

/// What makes a program of an SVG. None runs in an `img`; a logo that has it is
/// not what the operator meant.
const ACTIVE: [&str; 6] = ["<script", "javascript:", "<foreignobject", "<iframe", "<!entity", " onload"];

impl Logo {
    /// Reads a picture by its bytes, whatever its file is called.
    ///
    /// # Errors
    /// When it is too large, of another kind, or more than a picture.
    pub fn read(bytes: &[u8]) -> Result<Self, LogoError> {
        if bytes.len() > MAX_BYTES {
            return Err(LogoError::TooLarge { bytes: bytes.len() });
        }
        let kind = match bytes {
            [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => "image/png",
            [0xff, 0xd8, 0xff, ..] => "image/jpeg",
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => "image/gif",
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "image/webp",
            _ => svg(bytes)?,
        };
        Ok(Self(format!("data:{kind};base64,{}", STANDARD.encode(bytes)).into_boxed_str()))
    }

    /// The value of `src`.
    #[must_use]
    pub fn as_url(&self) -> &str {
        &self.0
    }
}

fn svg(bytes: &[u8]) -> Result<&'static str, LogoError> {
    let text = std::str::from_utf8(bytes).map_err(|_| LogoError::Kind)?.trim_start_matches('\u{feff}').trim_start();
    let lower = text.to_ascii_lowercase();
    if !lower.starts_with('<') || !lower.contains("<svg") {
        return Err(LogoError::Kind);
    }
    match ACTIVE.into_iter().find(|active| lower.contains(active)) {
        Some(found) => Err(LogoError::Active { found: found.trim() }),
        None => Ok("image/svg+xml"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logo_is_known_by_its_bytes() {
        let kind =
            |bytes: &[u8]| Logo::read(bytes).map(|logo| logo.as_url().split(';').next().unwrap_or_default().to_owned());
        assert_eq!(kind(b"\x89PNG\r\n\x1a\nrest"), Ok("data:image/png".to_owned()));
        assert_eq!(kind(b"\xff\xd8\xff\xe0"), Ok("data:image/jpeg".to_owned()));
        assert_eq!(kind(b"GIF89a"), Ok("data:image/gif".to_owned()));
        assert_eq!(kind(b"RIFF\0\0\0\0WEBPVP8"), Ok("data:image/webp".to_owned()));
        assert_eq!(kind(b"\xef\xbb\xbf <?xml version=\"1.0\"?><SVG/>"), Ok("data:image/svg+xml".to_owned()));
        for other in [&b""[..], b"<html>", b"text", b"\x89PNG", b"<svg \xff", b"GIF88a"] {
            assert_eq!(kind(other), Err(LogoError::Kind), "{other:?}");
        }
        assert_eq!(kind(&vec![0; MAX_BYTES + 1]), Err(LogoError::TooLarge { bytes: MAX_BYTES + 1 }));
    }

    #[test]
    fn an_svg_that_runs_something_is_no_logo() {
        for (svg, held) in [
            ("<svg><script>x</script></svg>", "<script"),
            ("<svg><SCRIPT href='x'/></svg>", "<script"),
            ("<svg onload='x'/>", "onload"),
            ("<svg><a href=\"JavaScript:x\"/></svg>", "javascript:"),
            ("<svg><foreignObject/></svg>", "<foreignobject"),
            ("<!DOCTYPE svg [<!ENTITY x 'y'>]><svg/>", "<!entity"),
        ] {
            assert_eq!(Logo::read(svg.as_bytes()), Err(LogoError::Active { found: held }), "{svg}");
        }
    }
}
