//! Sizes and costs as ranges, and arithmetic on them that stops at the largest number.

/// From the least to the most something can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The least.
    pub min: u64,
    /// The most.
    pub max: u64,
}

impl Range {
    /// Anything at all.
    pub(crate) const UNKNOWN: Self = Self { min: 0, max: u64::MAX };
    /// What joining starts from.
    pub(crate) const EMPTY: Self = Self { min: u64::MAX, max: 0 };
    /// Nothing.
    pub(crate) const ZERO: Self = Self::exactly(0);

    pub(crate) const fn new(min: u64, max: u64) -> Self {
        Self { min, max }
    }

    pub(crate) const fn exactly(number: u64) -> Self {
        Self { min: number, max: number }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    pub(crate) fn times(self, other: Self) -> Self {
        Self { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }

    /// Times a factor, rounded up.
    pub(crate) fn scaled(self, factor: f64) -> Self {
        Self { min: scale(self.min, factor), max: scale(self.max, factor) }
    }

    pub(crate) fn union(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "costs are reckoned in floating point, as the engine that sets them does"
)]
fn scale(number: u64, factor: f64) -> u64 {
    // The cast stops at the largest number.
    (number as f64 * factor).ceil() as u64
}
