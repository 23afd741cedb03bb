//! Random identifiers: object uids (RFC 9562 version 4) and suffixes of generated names.

use rand::Rng;

/// What generated names end in: no vowels, no look-alikes (`k8s.io/apimachinery/pkg/util/rand`).
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX: usize = 5;

/// A random uid.
pub fn v4() -> String {
    let mut bytes: [u8; 16] = rand::rng().random();
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let mut text = String::with_capacity(36);
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        for digit in [byte >> 4, byte & 0x0f] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    text
}

/// A name made of a prefix, cut so that the whole fits a label, and five random characters.
pub fn generated_name(prefix: &str) -> String {
    let mut end = prefix.len().min(63 - SUFFIX);
    while !prefix.is_char_boundary(end) {
        end -= 1;
    }
    let mut rng = rand::rng();
    let suffix: String =
        (0..SUFFIX).map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())])).collect();
    format!("{}{suffix}", &prefix[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_have_version_four_and_differ() {
        let uid = v4();
        assert_eq!(uid.len(), 36);
        assert_eq!(&uid[14..15], "4");
        assert_ne!(uid, v4());
    }

    #[test]
    fn generated_names_fit_a_label() {
        assert_eq!(generated_name("web-").len(), 9);
        assert_eq!(generated_name(&"x".repeat(80)).len(), 63);
    }
}
