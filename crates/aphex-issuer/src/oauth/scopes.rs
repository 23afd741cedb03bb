//! What a client asks for: facts about a person, and for whom its ID tokens are besides itself.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Error;

/// Before the id of another client, for whom the ID token is to be as well, as Dex has it ("Cross-client trust").
const AUDIENCE: &str = "audience:server:client_id:";
/// More would only make tokens long.
const MOST_AUDIENCES: usize = 8;

/// What a client may learn or do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    Openid,
    Profile,
    Email,
    Groups,
    OfflineAccess,
}

impl Scope {
    pub(crate) const ALL: [Self; 5] =
        [Self::Openid, Self::Profile, Self::Email, Self::Groups, Self::OfflineAccess];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Openid => "openid",
            Self::Profile => "profile",
            Self::Email => "email",
            Self::Groups => "groups",
            Self::OfflineAccess => "offline_access",
        }
    }
}

/// A set of scopes; kept as a list of words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub(crate) struct Scopes {
    known: Vec<Scope>,
    audiences: Vec<String>,
}

impl Scopes {
    /// Reads a list; an unknown scope is refused, as Dex does, and so is a list without `openid`.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        Self::of(text.split(' ').filter(|word| !word.is_empty()))
    }

    fn of<'a>(words: impl Iterator<Item = &'a str>) -> Result<Self, Error> {
        let (mut known, mut audiences) = (Vec::new(), Vec::new());
        for word in words {
            match word.strip_prefix(AUDIENCE) {
                Some(client) if !client.is_empty() => audiences.push(client.to_owned()),
                _ => {
                    let scope = Scope::ALL.into_iter().find(|scope| scope.as_str() == word);
                    known.push(scope.ok_or_else(Error::invalid_scope)?);
                }
            }
        }
        known.sort_unstable();
        known.dedup();
        audiences.sort_unstable();
        audiences.dedup();
        let right = known.first() == Some(&Scope::Openid) && audiences.len() <= MOST_AUDIENCES;
        if right { Ok(Self { known, audiences }) } else { Err(Error::invalid_scope()) }
    }

    pub(crate) fn has(&self, scope: Scope) -> bool {
        self.known.contains(&scope)
    }

    /// For whom ID tokens are wanted, by id; the client itself where nobody is named.
    pub(crate) fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// Whether every scope of the other is in this one.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let audiences = other.audiences.iter().all(|audience| self.audiences.contains(audience));
        audiences && other.known.iter().all(|scope| self.has(*scope))
    }

    fn words(&self) -> impl Iterator<Item = String> {
        let audiences = self.audiences.iter().map(|client| format!("{AUDIENCE}{client}"));
        self.known.iter().map(|scope| scope.as_str().to_owned()).chain(audiences)
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().collect::<Vec<_>>().join(" "))
    }
}

impl From<Scopes> for Vec<String> {
    fn from(scopes: Scopes) -> Self {
        scopes.words().collect()
    }
}

impl TryFrom<Vec<String>> for Scopes {
    type Error = Error;

    fn try_from(words: Vec<String>) -> Result<Self, Error> {
        Self::of(words.iter().map(String::as_str))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Code;
    use super::*;

    #[test]
    fn scopes_need_openid_and_refuse_what_is_unknown() {
        let scopes = Scopes::parse("email openid  groups email").unwrap();
        assert_eq!(scopes.to_string(), "openid email groups");
        assert!(scopes.covers(&Scopes::parse("openid groups").unwrap()));
        assert!(!scopes.covers(&Scopes::parse("openid profile").unwrap()));
        let many: Vec<String> = (0..9).map(|number| format!("{AUDIENCE}{number}")).collect();
        let many = format!("openid {}", many.join(" "));
        for wrong in [
            "",
            "email",
            "openid secrets",
            "OPENID",
            "openid\temail",
            "openid audience:server:client_id:",
            &many,
        ] {
            assert_eq!(Scopes::parse(wrong).unwrap_err().tell().0, Code::InvalidScope, "{wrong:?}");
        }
    }

    #[test]
    fn audiences_are_scopes_too_and_are_kept_as_words() {
        let scopes = Scopes::parse("openid audience:server:client_id:kubernetes").unwrap();
        assert_eq!(scopes.audiences(), ["kubernetes"]);
        let kept = serde_json::to_value(&scopes).unwrap();
        assert_eq!(kept, serde_json::json!(["openid", "audience:server:client_id:kubernetes"]));
        assert_eq!(serde_json::from_value::<Scopes>(kept).unwrap(), scopes);
        assert!(!Scopes::parse("openid").unwrap().covers(&scopes));
        assert!(serde_json::from_str::<Scopes>("[\"openid\",\"else\"]").is_err());
    }
}
