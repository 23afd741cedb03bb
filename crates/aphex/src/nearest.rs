//! The name that somebody may have meant.

/// How like two names must be, from 0 to 1 (Jaro and Winkler).
const ALIKE: f64 = 0.8;

/// The name most like the wanted one; nothing when none is.
pub(crate) fn among(wanted: &str, names: impl IntoIterator<Item = String>) -> Option<String> {
    let likeness = |name: &str| {
        // A part of a name is what people type most, and above all its beginning.
        let (part, alike) = (wanted.len() >= 3, strsim::jaro_winkler(wanted, name));
        if part && (name.starts_with(wanted) || wanted.starts_with(name)) {
            alike + 2.0
        } else if part && (name.contains(wanted) || wanted.contains(name)) {
            alike + 1.0
        } else {
            alike
        }
    };
    let likely = names.into_iter().map(|name| (likeness(&name), name)).filter(|(like, _)| *like >= ALIKE);
    likely.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_understood_and_another_name_is_not() {
        let meant = |wanted: &str| among(wanted, ["hello-world", "checkout", "archon"].map(str::to_owned));
        assert_eq!(meant("helo-world").as_deref(), Some("hello-world"));
        assert_eq!(meant("hello").as_deref(), Some("hello-world"));
        assert_eq!(meant("chekcout").as_deref(), Some("checkout"));
        assert_eq!(meant("payments"), None);
        let ids = ["11111111-1111", "44444444-11111111"].map(str::to_owned);
        assert_eq!(among("1111111", ids).as_deref(), Some("11111111-1111"));
    }
}
