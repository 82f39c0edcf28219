//! Tables of names that the policy holds, looked up on every check.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// By names that were written in the policy.
///
/// What clients send is only ever looked up in it, never kept: names that were
/// chosen to collide are the operator's own, so the hash is quick and without a
/// secret, and the same in every process.
pub(super) type ByName<T> = HashMap<Box<str>, T, BuildHasherDefault<NameHasher>>;

/// Eight bytes at a time, each time a multiplication folded onto itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct NameHasher(u64);

/// The fraction of the golden ratio in 64 bits.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

impl NameHasher {
    fn mix(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word).wrapping_mul(u128::from(ODD));
        // Both halves, so that high bytes of the word reach low bits of the hash too.
        self.0 = (product >> 64) as u64 ^ product as u64;
    }
}

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word) ^ ODD);
        }
        let mut last = [0; 8];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        self.mix(u64::from_le_bytes(last) ^ (bytes.len() as u64).rotate_right(8));
    }

    /// Ends a text in `Hash for str`; the length stands for it.
    fn write_u8(&mut self, _: u8) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::Hash as _;

    use super::*;

    fn hash(text: &str) -> u64 {
        let mut hasher = NameHasher::default();
        text.hash(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn names_as_policies_have_them_do_not_crowd() {
        let shapes: [fn(usize) -> String; 5] = [
            |number| format!("item-{number}"),
            |number| format!("{number}"),
            |number| format!("shop-{number}.example.com"),
            |number| format!(".shop-{number}.example.com"),
            |number| "a".repeat(number % 512) + &"b".repeat(number / 512),
        ];
        for shape in shapes {
            let names: HashSet<String> = (0..10_000).map(shape).collect();
            let hashes: HashSet<u64> = names.iter().map(|name| hash(name)).collect();
            assert_eq!(hashes.len(), names.len(), "{}", shape(7));
            // The bits by which a table of 16384 places is filled, and those by which it tells neighbours apart.
            for part in [|hash: u64| hash & 0x3fff, |hash: u64| hash >> 50] {
                let places: HashSet<u64> = hashes.iter().map(|hash| part(*hash)).collect();
                // Thrown at random, some 7500 would be filled.
                assert!(
                    places.len() * 16_384 > names.len() * 11_000,
                    "{} of {}: {}",
                    places.len(),
                    names.len(),
                    shape(7)
                );
            }
        }
    }

    #[test]
    fn a_blank_end_is_part_of_a_name() {
        assert_ne!(hash("a"), hash("a\0"));
        assert_ne!(hash(""), hash("\0"));
        assert_ne!(hash("12345678"), hash("12345678\0"));
    }
}
