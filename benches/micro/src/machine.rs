//! On what a count was made. Counts of two kinds of machine are not compared.

use std::fmt;

/// What the count of instructions hangs on besides the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The architecture, with what of its extensions the code under valgrind
    /// found: memory and digests are handled by other instructions with them.
    pub processor: String,
    /// The compiler, such as `1.95.0`; rust-toolchain.toml pins it.
    pub rustc: String,
    /// The first number of valgrind's version.
    pub valgrind: String,
}

impl Machine {
    /// Reads what [`fmt::Display`] writes.
    #[must_use]
    pub fn parse(key: &str) -> Option<Self> {
        let (processor, rest) = key.split_once(", rustc ")?;
        let (rustc, valgrind) = rest.split_once(", valgrind ")?;
        Some(Self { processor: processor.to_owned(), rustc: rustc.to_owned(), valgrind: valgrind.to_owned() })
    }

    /// Whether only the compiler is another one.
    #[must_use]
    pub fn is_of_kind(&self, other: &Self) -> bool {
        self.processor == other.processor && self.valgrind == other.valgrind
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processor, rustc, valgrind } = self;
        write!(f, "{processor}, rustc {rustc}, valgrind {valgrind}")
    }
}

/// The compiler that made this program.
pub const RUSTC: &str = env!("TIERGATE_RUSTC");

/// The processor as this process sees it. Valgrind shows the program one of a
/// few processors, whatever the real one can: no AVX-512, no SHA extensions.
#[must_use]
pub fn processor() -> String {
    let mut text = std::env::consts::ARCH.to_owned();
    for (name, is_there) in extensions() {
        if is_there {
            text.push('+');
            text.push_str(name);
        }
    }
    text
}

#[cfg(target_arch = "x86_64")]
fn extensions() -> Vec<(&'static str, bool)> {
    use std::arch::is_x86_feature_detected as has;
    vec![("avx", has!("avx")), ("avx2", has!("avx2")), ("bmi2", has!("bmi2")), ("adx", has!("adx"))]
}

#[cfg(target_arch = "aarch64")]
fn extensions() -> Vec<(&'static str, bool)> {
    use std::arch::is_aarch64_feature_detected as has;
    vec![("aes", has!("aes")), ("sha2", has!("sha2")), ("sve", has!("sve"))]
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn extensions() -> Vec<(&'static str, bool)> {
    Vec::new()
}
