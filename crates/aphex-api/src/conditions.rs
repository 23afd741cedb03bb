//! Conditions: their values, and the one rule by which they change.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::{Schema, SchemaGenerator, json_schema};

/// Type of the condition that only an object has whose name others carry in their labels.
pub const FOREIGN_OBJECTS: &str = "ForeignObjects";

/// What is known about a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Seen on the engine.
    True,
    /// Known to have failed.
    False,
    /// Not known yet; something is being waited for.
    Unknown,
}

impl State {
    /// The wire value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// Why a condition is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Everything it speaks of was seen on the engine. Nothing to do.
    Provisioned,
    /// Objects are being made or have not been seen yet. Wait.
    Provisioning,
    /// Something it needs does not exist yet; the message names it. Create it, or wait.
    WaitingFor,
    /// The spec cannot be carried out; the message names field and rule. Change the spec.
    InvalidSpec,
    /// Its namespace may not ask for this; the message says what is missing and who can give it. Ask them.
    NotAllowed,
    /// A name belongs to somebody else. Choose another name, or remove the other object.
    NameTaken,
    /// The engine or another service did not do what was asked; it will be tried again. Read the message.
    ProvisioningFailed,
    /// The object is being deleted. Wait, or do what the message says.
    Deleting,
    /// Webhooks arrive at the gateway's own address; no tunnel is used. Nothing to do.
    LocalExposure,
    /// Objects carry this object's name in their labels, and another's uid. Delete them, or take the labels off.
    ForeignObjects,
    /// What another exposure made is being taken back; the message says what is left. Wait, or do what it says.
    TakingBack,
    /// Repositories are looked at regularly. Nothing to do.
    Tracking,
    /// Some repositories could not be read; the status says which and why. Mend or remove them, or wait.
    Unreachable,
}

impl Reason {
    /// The wire value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provisioned => "Provisioned",
            Self::Provisioning => "Provisioning",
            Self::WaitingFor => "WaitingFor",
            Self::InvalidSpec => "InvalidSpec",
            Self::NotAllowed => "NotAllowed",
            Self::NameTaken => "NameTaken",
            Self::ProvisioningFailed => "ProvisioningFailed",
            Self::Deleting => "Deleting",
            Self::LocalExposure => "LocalExposure",
            Self::ForeignObjects => "ForeignObjects",
            Self::TakingBack => "TakingBack",
            Self::Tracking => "Tracking",
            Self::Unreachable => "Unreachable",
        }
    }

    /// What somebody can do about it; nothing when there is nothing to do.
    #[must_use]
    pub fn advice(self) -> Option<&'static str> {
        match self {
            Self::Provisioned | Self::LocalExposure | Self::Tracking => None,
            Self::Provisioning => Some("wait: it is being made"),
            Self::WaitingFor => Some("create what it waits for; it goes on by itself once that is there"),
            Self::InvalidSpec => Some(
                "change the spec as the message says, look at it with `aphex plan -f FILE`, and apply it again",
            ),
            Self::NotAllowed => Some("ask a platform administrator for what the message names"),
            Self::NameTaken => Some("choose another name, or remove the object that has it"),
            Self::ProvisioningFailed => Some(
                "it is tried again by itself; if the message stays, look at what it names and at the controller's log",
            ),
            Self::Deleting => Some("wait until it is gone, or remove what the message names"),
            Self::ForeignObjects => Some("delete the objects that the message names, or take the labels off"),
            Self::TakingBack => Some("wait until it is gone, or do what the message says"),
            Self::Unreachable => {
                Some("mend or remove what the status names; the repositories are asked again by themselves")
            }
        }
    }

    /// The reason of a wire value.
    #[must_use]
    pub fn from_wire(text: &str) -> Option<Self> {
        let all = [
            Self::Provisioned,
            Self::Provisioning,
            Self::WaitingFor,
            Self::InvalidSpec,
            Self::NotAllowed,
            Self::NameTaken,
            Self::ProvisioningFailed,
            Self::Deleting,
            Self::LocalExposure,
            Self::ForeignObjects,
            Self::TakingBack,
            Self::Tracking,
            Self::Unreachable,
        ];
        all.into_iter().find(|reason| reason.as_str() == text)
    }
}

/// A condition as it is found now, before it is known when it last changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Type, PascalCase on the wire.
    pub condition: &'static str,
    /// Whether it holds.
    pub state: State,
    /// Why.
    pub reason: Reason,
    /// Why, for people.
    pub message: String,
}

/// The new conditions: `lastTransitionTime` moves only where the status value differs from the old one.
///
/// Conditions of types that the findings do not name are dropped; the order is the findings'.
#[must_use]
pub fn merge(
    old: &[Condition],
    findings: Vec<Finding>,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let now = to_second(now);
    let since = |finding: &Finding| {
        old.iter()
            .find(|o| o.type_ == finding.condition && o.status == finding.state.as_str())
            .map_or(Time(now), |o| o.last_transition_time.clone())
    };
    findings
        .into_iter()
        .map(|finding| Condition {
            last_transition_time: since(&finding),
            type_: finding.condition.to_owned(),
            status: finding.state.as_str().to_owned(),
            reason: finding.reason.as_str().to_owned(),
            message: finding.message,
            observed_generation: generation,
        })
        .collect()
}

/// The condition of a type.
#[must_use]
pub fn find<'a>(conditions: &'a [Condition], condition: &str) -> Option<&'a Condition> {
    conditions.iter().find(|c| c.type_ == condition)
}

/// Kubernetes writes times to the second, so finer ones would differ from what is read back.
#[must_use]
pub fn to_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// The schema of a list of conditions, as Kubernetes' own kinds have it.
pub(crate) fn schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "description": "What is known about the object, by type; conditions are the truth, phase and message follow from them.",
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "lastTransitionTime", "reason", "message"],
            "properties": {
                "type": {
                    "type": "string", "maxLength": 316,
                    "description": "What the condition is about, in CamelCase."
                },
                "status": {
                    "type": "string", "enum": ["True", "False", "Unknown"],
                    "description": "Whether it holds; Unknown while waiting."
                },
                "observedGeneration": {
                    "type": "integer", "format": "int64", "minimum": 0,
                    "description": "The generation of the object that the condition speaks of."
                },
                "lastTransitionTime": {
                    "type": "string", "format": "date-time",
                    "description": "When the status last changed."
                },
                "reason": {
                    "type": "string", "minLength": 1, "maxLength": 1024, "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                    "description": "Why, for programs."
                },
                "message": { "type": "string", "maxLength": 32768, "description": "Why, for people." }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(state: State, message: &str) -> Finding {
        Finding { condition: "Ready", state, reason: Reason::Provisioning, message: message.to_owned() }
    }

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let first = merge(&[], vec![finding(State::Unknown, "one")], Some(1), at(100));
        let second = merge(&first, vec![finding(State::Unknown, "two")], Some(2), at(200));
        assert_eq!(second[0].last_transition_time.0, at(100));
        assert_eq!((second[0].message.as_str(), second[0].observed_generation), ("two", Some(2)));
        let third = merge(&second, vec![finding(State::True, "two")], Some(2), at(300));
        assert_eq!(third[0].last_transition_time.0, at(300));
        assert!(merge(&third, Vec::new(), Some(2), at(400)).is_empty());
    }

    #[test]
    fn times_are_kept_to_the_second() {
        let now = Timestamp::new(7, 999_999_999).unwrap();
        let merged = merge(&[], vec![finding(State::True, "")], None, now);
        assert_eq!(merged[0].last_transition_time.0, Timestamp::from_second(7).unwrap());
    }
}
