//! Why a target or a host is refused.

/// Why a target or a host was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TargetError {
    /// The target is longer than [`super::resource::MAX_TARGET_BYTES`].
    #[error("the target is longer than 8192 bytes")]
    TooLong,
    /// The path has more than [`super::resource::MAX_SEGMENTS`] segments.
    #[error("the path has more than 256 segments")]
    TooManySegments,
    /// The target does not start with `/`.
    #[error("the target is not in origin form: it must start with `/`")]
    NotOriginForm,
    /// The target starts with `//`.
    #[error("the target starts with `//`, which some programs read as a host")]
    LeadingDoubleSlash,
    /// A byte up to 0x20 or 0x7f.
    #[error("the target holds a control character or a space")]
    ControlOrSpace,
    /// A byte from 0x80.
    #[error("the target holds a raw byte outside ASCII")]
    RawNonAscii,
    /// A raw `\`.
    #[error("the path holds a backslash")]
    Backslash,
    /// A raw `;`.
    #[error("the path holds `;`, which some programs read as a path parameter")]
    Semicolon,
    /// A raw `#`.
    #[error("the target holds `#`")]
    Fragment,
    /// `%` without two hexadecimal digits.
    #[error("the path holds `%` without two hexadecimal digits")]
    BadPercent,
    /// An encoded control character.
    #[error("the path holds an encoded control character")]
    EncodedControl,
    /// `%2F` where no rule lets it stand.
    #[error("the path holds an encoded `/`")]
    EncodedSlash,
    /// `%5C`.
    #[error("the path holds an encoded backslash")]
    EncodedBackslash,
    /// `%25` where no rule lets it stand, or a double encoding.
    #[error("the path holds an encoded `%`")]
    EncodedPercent,
    /// `%3B` where no rule lets it stand.
    #[error("the path holds an encoded `;`")]
    EncodedSemicolon,
    /// `%3F` where no rule lets it stand.
    #[error("the path holds an encoded `?`")]
    EncodedQuestion,
    /// `%23` where no rule lets it stand.
    #[error("the path holds an encoded `#`")]
    EncodedHash,
    /// The decoded bytes are not UTF-8.
    #[error("the path does not decode to valid UTF-8")]
    InvalidUtf8,
    /// A `.` or `..` segment in any spelling.
    #[error("the path holds a `.` or `..` segment")]
    DotSegment,
    /// A character that Unicode compatibility folding turns into `/`, `\`, `.`, `%`, `;`, `?` or `#`.
    #[error("the path holds a character that can be folded into path syntax")]
    UnicodeStructural,
    /// The host is not a plain name or address with an optional port.
    #[error("the host is not a plain name or address with an optional port")]
    BadHost,
}

impl TargetError {
    /// One constant word for logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLong => "too-long",
            Self::TooManySegments => "too-many-segments",
            Self::NotOriginForm => "not-origin-form",
            Self::LeadingDoubleSlash => "leading-double-slash",
            Self::ControlOrSpace => "control-or-space",
            Self::RawNonAscii => "raw-non-ascii",
            Self::Backslash => "backslash",
            Self::Semicolon => "semicolon",
            Self::Fragment => "fragment",
            Self::BadPercent => "bad-percent",
            Self::EncodedControl => "enc-control",
            Self::EncodedSlash => "enc-slash",
            Self::EncodedBackslash => "enc-backslash",
            Self::EncodedPercent => "enc-percent",
            Self::EncodedSemicolon => "enc-semicolon",
            Self::EncodedQuestion => "enc-question",
            Self::EncodedHash => "enc-hash",
            Self::InvalidUtf8 => "invalid-utf8",
            Self::DotSegment => "dot-segment",
            Self::UnicodeStructural => "nfkc-structural",
            Self::BadHost => "bad-host",
        }
    }
}
