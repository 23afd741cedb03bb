//! Sets of characters by name: `\d`, `\p{Greek}`, `[:alpha:]`.

use std::fmt::Write as _;

use super::{braced, wrong};

/// The classes that may stand within brackets.
const CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

/// The categories of Unicode (`unicode.Categories` and `CategoryAliases` in Go), without the underscores.
const CATEGORIES: &str = "c cc cf cn co cs l lc ll lm lo lt lu m mc me mn n nd nl no p pc pd pe pf pi po ps s sc sk sm so \
    z zl zp zs casedletter closepunctuation combiningmark connectorpunctuation control currencysymbol dashpunctuation \
    decimalnumber enclosingmark finalpunctuation format initialpunctuation letter letternumber lineseparator \
    lowercaseletter mark mathsymbol modifierletter modifiersymbol nonspacingmark number openpunctuation other otherletter \
    othernumber otherpunctuation othersymbol paragraphseparator privateuse punctuation separator spaceseparator \
    spacingmark surrogate symbol titlecaseletter unassigned uppercaseletter cntrl digit punct";

/// The scripts whose names have four letters, as their codes have, which Go does not know.
const SHORT_SCRIPTS: &str = "ahom cham kawi lisu miao modi newa thai toto";

/// Translates the escape that `rest` opens with if it stands for a set of characters; gives its length.
pub(super) fn set(rest: &[char], out: &mut String) -> Result<Option<usize>, String> {
    match rest.get(1) {
        Some('d') => out.push_str("0-9"),
        Some('D') => out.push_str("[^0-9]"),
        Some('w') => out.push_str("0-9A-Za-z_"),
        Some('W') => out.push_str("[^0-9A-Za-z_]"),
        Some('s') => out.push_str(r"\t\n\x0C\r "),
        Some('S') => out.push_str(r"[^\t\n\x0C\r ]"),
        Some('p' | 'P') => return property(rest, out).map(Some),
        _ => return Ok(None),
    }
    Ok(Some(2))
}

/// Translates `\pL`, `\p{Greek}` and `\p{^Greek}`, whose `^` Rust writes as `\P`; gives its length.
///
/// Rust knows more properties than categories and scripts, and names for them that Go does not.
fn property(rest: &[char], out: &mut String) -> Result<usize, String> {
    let length = braced(rest).unwrap_or(rest.len().min(3));
    let inner = if rest.get(2) == Some(&'{') { rest.get(3..length - 1) } else { rest.get(2..length) };
    let inner: String = inner.unwrap_or_default().iter().collect();
    let (turned, name) = inner.strip_prefix('^').map_or((false, inner.as_str()), |name| (true, name));
    let plain = name.replace(['_', '-', ' '], "").to_ascii_lowercase();
    let letters = !plain.is_empty() && plain.bytes().all(|byte| byte.is_ascii_alphabetic());
    let is_in = |list: &str| list.split(' ').any(|known| known == plain);
    let kind = match plain.as_str() {
        "any" | "ascii" | "assigned" => "",
        _ if is_in(CATEGORIES) => "gc=",
        _ if letters && !plain.starts_with("is") && (plain.len() != 4 || is_in(SHORT_SCRIPTS)) => "sc=",
        _ => return Err(wrong("invalid character class range", &rest[..length])),
    };
    let letter = if (rest[1] == 'p') == turned { 'P' } else { 'p' };
    // Writing to a String cannot fail.
    let _ = write!(out, "\\{letter}{{{kind}{plain}}}");
    Ok(length)
}

/// Copies the `[:alpha:]` that `rest` opens with, if it does; gives its length.
pub(super) fn named(rest: &[char], out: &mut String) -> Result<Option<usize>, String> {
    let Some(inner) = rest.strip_prefix(&['[', ':']) else { return Ok(None) };
    let Some(end) = inner.windows(2).position(|pair| pair == [':', ']']) else { return Ok(None) };
    let name: String = inner[..end].iter().collect();
    let length = end + 4;
    if !CLASSES.contains(&name.strip_prefix('^').unwrap_or(&name)) {
        return Err(wrong("invalid character class range", &rest[..length]));
    }
    out.extend(&rest[..length]);
    Ok(Some(length))
}
