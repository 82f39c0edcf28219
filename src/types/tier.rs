//! Tiers as bit positions, sets of tiers as one machine word.

/// The place of a tier in the configured order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TierIndex(u8);

impl TierIndex {
    /// The most tiers one policy can hold.
    pub const MAX_TIERS: usize = 128;

    /// The index of the tier at `position`, or `None` past [`Self::MAX_TIERS`].
    #[must_use]
    pub fn new(position: usize) -> Option<Self> {
        if position >= Self::MAX_TIERS {
            return None;
        }
        u8::try_from(position).ok().map(Self)
    }

    /// The position in the configured order.
    #[must_use]
    pub fn position(self) -> usize {
        usize::from(self.0)
    }
}

/// A set of tiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct TierSet(u128);

impl TierSet {
    /// No tier.
    pub const EMPTY: Self = Self(0);

    /// The set of this one tier.
    #[must_use]
    pub fn of(tier: TierIndex) -> Self {
        Self(1u128 << tier.0)
    }

    /// Whether `tier` is in the set.
    #[must_use]
    pub fn contains(self, tier: TierIndex) -> bool {
        self.0 & Self::of(tier).0 != 0
    }

    /// Both sets together.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both sets.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether every tier of this set is also in `other`.
    #[must_use]
    pub fn is_subset(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// Whether the set holds no tier.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The tiers of the set in configured order.
    pub fn iter(self) -> impl Iterator<Item = TierIndex> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let position = u8::try_from(rest.trailing_zeros()).ok().filter(|_| rest != 0)?;
            rest &= rest.wrapping_sub(1);
            Some(TierIndex(position))
        })
    }
}
