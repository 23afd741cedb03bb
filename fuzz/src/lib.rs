//! What the targets share: how one input is cut into the texts that a target wants, and an issuer to ask.

pub mod provider;

/// The byte between two texts of an input: none of the formats has it.
pub const CUT: u8 = 0;

/// The texts of an input; nothing where it is no UTF-8. Texts that are missing are empty, the last has the rest.
pub fn texts<const N: usize>(data: &[u8]) -> Option<[&str; N]> {
    let text = std::str::from_utf8(data).ok()?;
    let mut found = text.splitn(N, char::from(CUT));
    Some(std::array::from_fn(|_| found.next().unwrap_or_default()))
}
