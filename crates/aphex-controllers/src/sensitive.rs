//! Text that must not be seen: it can be used, and neither printed nor logged.

use std::fmt;

/// A secret; `Debug` hides it, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Sensitive(String);

impl Sensitive {
    /// Hides a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for where it has to be used.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Sensitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_is_not_printed() {
        let secret = Sensitive::new("open sesame");
        assert_eq!(format!("{:?}", Some(&secret)), "Some([hidden])");
        assert_eq!(secret.reveal(), "open sesame");
    }
}
