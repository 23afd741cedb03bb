//! What others wrote, as it may stand on a terminal.
//!
//! A payload may say anything: escapes that colour, move or rename, and newlines behind which it speaks in our name. What is
//! no plain text is shown as it would be written in a program (`\n`, `\x1b`); the colours that we give stay.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::LazyLock;

/// Stands for the escape character in what we colour. No other process has the same, so nobody can write it beforehand.
static INK: LazyLock<String> = LazyLock::new(|| format!("\u{1b}{:032x}", rand::random::<u128>()));

/// A text in a colour, as ANSI calls it. [`shown`] makes it visible.
pub(super) fn inked(text: &str, code: &str) -> String {
    let ink = INK.as_str();
    format!("{ink}[{code}m{text}{ink}[0m")
}

/// A value as a part of one line: newlines and tabs too are no plain text.
pub(crate) fn value(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_plain) { Cow::Borrowed(text) } else { Cow::Owned(escaped(text, is_plain, &INK)) }
}

/// Lines of ours as they are written out, in their colours.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    let may_stay = |letter: char| matches!(letter, '\n' | '\t') || is_plain(letter);
    if text.chars().all(may_stay) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(escaped(text, may_stay, "\u{1b}"))
    }
}

/// Escapes all but what may stay, with something in place of the ink.
fn escaped(text: &str, may_stay: impl Fn(char) -> bool, ink: &str) -> String {
    let mut plain = String::with_capacity(text.len() + 8);
    for (index, part) in text.split(INK.as_str()).enumerate() {
        if index > 0 {
            plain.push_str(ink);
        }
        for letter in part.chars() {
            if may_stay(letter) { plain.push(letter) } else { escape(letter, &mut plain) }
        }
    }
    plain
}

fn escape(letter: char, plain: &mut String) {
    // Writing to a String cannot fail.
    let _ = match letter {
        '\n' | '\r' | '\t' => write!(plain, "{}", letter.escape_default()),
        ..'\u{80}' => write!(plain, "\\x{:02x}", u32::from(letter)),
        _ => write!(plain, "\\u{{{:x}}}", u32::from(letter)),
    };
}

/// Whether a terminal shows it, and shows it where it stands: no control character, and none that turns the direction.
fn is_plain(letter: char) -> bool {
    !letter.is_control()
        && !matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_value_does_to_a_terminal_is_written_out() {
        let forged = "x\u{1b}[31m…\u{1b}]0;owned\u{7}\nVerdict\tCreated\r\u{9b}1A\u{202e}é";
        assert_eq!(value(forged), "x\\x1b[31m…\\x1b]0;owned\\x07\\nVerdict\\tCreated\\r\\u{9b}1A\\u{202e}é");
        assert!(matches!(value("refs/heads/grün"), Cow::Borrowed(_)));
    }

    #[test]
    fn colours_of_ours_stay_and_others_do_not() {
        let ours = inked("word\u{1b}[31m", "1");
        assert_eq!(shown(&format!("{ours}\nnext\tline")), "\u{1b}[1mword\\x1b[31m\u{1b}[0m\nnext\tline");
        // Escaped once or twice, it is the same.
        assert_eq!(shown(&value(&ours)), shown(&ours));
    }
}
