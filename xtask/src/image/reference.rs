//! Names of images, written out as containerd knows them.

use std::fmt;
use std::str::FromStr;

/// A full name and a tag: `docker.io/library/aphex` and `1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    name: String,
    tag: String,
}

impl Reference {
    /// The tag.
    pub(crate) fn tag(&self) -> &str {
        &self.tag
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.tag)
    }
}

impl FromStr for Reference {
    type Err = String;

    /// Short names are completed as Docker completes them: `aphex` is `docker.io/library/aphex:latest`.
    fn from_str(text: &str) -> Result<Self, String> {
        let refused = |why: &str| format!("{text:?} is no reference of an image: {why}");
        if text.contains('@') {
            return Err(refused("an image that is being made has no digest yet, so write name:tag"));
        }
        let (name, tag) = match text.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, tag),
            _ => (text, "latest"),
        };
        if !is_tag(tag) {
            return Err(refused("a tag has letters, digits, '_', '.' and '-', 128 at most"));
        }
        let first = name.split('/').next().unwrap_or_default();
        let has_registry = name.contains('/') && (first == "localhost" || first.contains(['.', ':']));
        let path = if has_registry { &name[first.len() + 1..] } else { name };
        if !path.split('/').all(is_component) {
            return Err(refused("its name has lower-case letters and digits, joined by '.', '_' or '-'"));
        }
        let name = match (has_registry, name.contains('/')) {
            (true, _) => name.to_owned(),
            (false, true) => format!("docker.io/{name}"),
            (false, false) => format!("docker.io/library/{name}"),
        };
        Ok(Self { name, tag: tag.to_owned() })
    }
}

fn is_tag(tag: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    tag.len() <= 128 && tag.starts_with(word) && tag.chars().all(|c| word(c) || c == '.' || c == '-')
}

fn is_component(part: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    part.starts_with(alphanumeric)
        && part.ends_with(alphanumeric)
        && part.chars().all(|c| alphanumeric(c) || matches!(c, '.' | '_' | '-'))
}

#[cfg(test)]
mod tests {
    use super::Reference;

    fn full(text: &str) -> Result<String, String> {
        text.parse::<Reference>().map(|reference| reference.to_string())
    }

    #[test]
    fn short_names_are_completed() {
        assert_eq!(full("aphex").unwrap(), "docker.io/library/aphex:latest");
        assert_eq!(full("me/aphex:1").unwrap(), "docker.io/me/aphex:1");
        assert_eq!(full("localhost/aphex:1").unwrap(), "localhost/aphex:1");
        assert_eq!(full("localhost:5000/aphex").unwrap(), "localhost:5000/aphex:latest");
        assert_eq!(full("ghcr.io/a/b:v1.2").unwrap(), "ghcr.io/a/b:v1.2");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for wrong in ["", "A/b", "a//b", "a:-b", "a:b c", "a@sha256:00", "-a", "localhost/"] {
            assert!(full(wrong).is_err(), "{wrong:?}");
        }
    }
}
