//! What usernames, e-mail addresses and names of groups may be.
//!
//! Both become identities on an API server that adds no prefix: nothing may look like its own `system:`
//! names, and nothing may look like another's to people (hence ASCII, and no regard to case).

use super::error::Error;

/// Django's limit, which Authentik has.
const MOST_USERNAME: usize = 150;
/// RFC 5321, section 4.5.3.1.3, less the brackets.
const MOST_EMAIL: usize = 254;
/// RFC 5321, section 4.5.3.1.1.
const MOST_LOCAL_PART: usize = 64;
const MOST_NAME: usize = 200;
const MOST_GROUP: usize = 80;

/// The form in which logins are compared.
pub(super) fn folded(login: &str) -> String {
    login.trim().to_lowercase()
}

pub(super) fn check_username(username: &str) -> Result<(), Error> {
    let letters = username.chars().all(|c| c.is_ascii_alphanumeric() || "@.+-_".contains(c));
    if username.is_empty() || username.len() > MOST_USERNAME || !letters {
        return Err(Error::invalid(
            "username",
            format!("Must be 1 to {MOST_USERNAME} characters: letters, digits and @ . + - _ only."),
        ));
    }
    Ok(())
}

/// Accepts the empty address: not everybody has one.
pub(super) fn check_email(email: &str) -> Result<(), Error> {
    if email.is_empty() {
        return Ok(());
    }
    let wrong = || Error::invalid("email", "Enter a valid email address, such as ada@example.com.");
    let (local, domain) = email.rsplit_once('@').ok_or_else(wrong)?;
    let dotted = |text: &str, label: &dyn Fn(&str) -> bool| text.split('.').all(label);
    let atom = |label: &str| {
        // RFC 5322, section 3.2.3, of which quoted strings are left out.
        !label.is_empty()
            && label.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c))
    };
    let host = |label: &str| {
        let edges = !label.starts_with('-') && !label.ends_with('-');
        (1..=63).contains(&label.len())
            && edges
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    let fits = email.len() <= MOST_EMAIL && local.len() <= MOST_LOCAL_PART;
    if fits && dotted(local, &atom) && dotted(domain, &host) { Ok(()) } else { Err(wrong()) }
}

pub(super) fn check_display_name(name: &str) -> Result<(), Error> {
    if name.chars().count() > MOST_NAME || name.chars().any(char::is_control) {
        return Err(Error::invalid(
            "name",
            format!("Must be at most {MOST_NAME} characters without control characters."),
        ));
    }
    Ok(())
}

pub(super) fn check_group(name: &str) -> Result<(), Error> {
    let letters = name.chars().all(|c| c.is_ascii_alphanumeric() || " .:@/+-_".contains(c));
    if name.is_empty() || name.len() > MOST_GROUP || !letters || name.trim() != name {
        return Err(Error::invalid(
            "name",
            format!("Must be 1 to {MOST_GROUP} characters: letters, digits, spaces and . : @ / + - _ only."),
        ));
    }
    if name.to_ascii_lowercase().starts_with("system:") {
        return Err(Error::invalid(
            "name",
            "Must not begin with system:, which Kubernetes keeps for itself.",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_mail_without_its_oddities() {
        for good in ["", "a@b", "ada.lovelace+x@example.com", "o'neil@ex-ample.co.uk"] {
            assert!(check_email(good).is_ok(), "{good}");
        }
        let long = format!("{}@example.com", "a".repeat(65));
        for bad in [
            "ada",
            "@b",
            "a@",
            "a..b@c.d",
            "a@b..c",
            "a@-b.c",
            "ä@b.c",
            "a b@c.d",
            "a\n@b.c",
            "system:x@b.c",
            &long,
        ] {
            assert!(check_email(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_group_can_be_one_of_kubernetes_own() {
        for bad in ["system:masters", "System:masters", "", " a", "a\t", "ädmins"] {
            assert!(check_group(bad).is_err(), "{bad}");
        }
        assert!(check_group("team:payments").is_ok());
    }

    #[test]
    fn usernames_are_plain() {
        assert!(check_username("ada@example.com").is_ok());
        for bad in ["", "system:admin", "a b", "adä"] {
            assert!(check_username(bad).is_err(), "{bad}");
        }
    }
}
