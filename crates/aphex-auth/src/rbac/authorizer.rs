//! The decision: the union of the rules of every binding that names the user or its groups.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::RoleSource;
use super::objects::{Binding, PolicyRule, RoleRef, Subject};
use crate::attributes::Attributes;
use crate::quote::quoted;
use crate::user::User;

/// Whether a request is allowed and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether it is allowed.
    pub allowed: bool,
    /// The binding that allows it; on denial empty, or the roles that could not be resolved.
    pub reason: String,
}

/// The rules that apply to a user, with the references that could not be resolved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// The rules, in the order of their bindings; duplicates stay.
    pub rules: Vec<PolicyRule>,
    /// One text for each binding whose role is not there.
    pub errors: Vec<String>,
}

/// Decides on a request.
pub fn authorize(roles: &dyn RoleSource, request: &Attributes<'_>) -> Decision {
    if request.user.is_master() {
        return Decision { allowed: true, reason: String::new() };
    }
    let mut allowed = None;
    let mut errors = Vec::new();
    // A path is no part of a namespace, whatever the request says.
    let namespace = if request.path.is_some() { "" } else { request.namespace };
    visit(roles, request.user, namespace, |binding, subject, rules| {
        match rules {
            Ok(rules) if rules.iter().any(|rule| rule.allows(request)) => {
                allowed = Some(format!("RBAC: allowed by {}", binding.describe(subject)));
                return ControlFlow::Break(());
            }
            Ok(_) => {}
            Err(error) => errors.push(error),
        }
        ControlFlow::Continue(())
    });
    match allowed {
        Some(reason) => Decision { allowed: true, reason },
        None => Decision { allowed: false, reason: denial(&errors) },
    }
}

/// The rules that apply to a user in a namespace, cluster-wide ones first.
pub fn rules_for(roles: &dyn RoleSource, user: &User, namespace: &str) -> Rules {
    let mut found = Rules::default();
    visit(roles, user, namespace, |_, _, rules| {
        match rules {
            Ok(rules) => found.rules.extend(rules.iter().cloned()),
            Err(error) => found.errors.push(error),
        }
        ControlFlow::Continue(())
    });
    found
}

/// The rules of the role a binding of that namespace refers to (empty: a cluster role binding).
pub fn rules_of_reference(
    roles: &dyn RoleSource,
    reference: &RoleRef,
    namespace: &str,
) -> Result<Arc<[PolicyRule]>, String> {
    let (role, resource) = match reference.kind.as_str() {
        "Role" => (roles.role(namespace, &reference.name), "role"),
        "ClusterRole" => (roles.cluster_role(&reference.name), "clusterrole"),
        kind => return Err(format!("unsupported role reference kind: {}", quoted(kind))),
    };
    match role {
        Some(role) => Ok(Arc::clone(&role.rules)),
        None => Err(format!("{resource}.rbac.authorization.k8s.io {} not found", quoted(&reference.name))),
    }
}

/// Calls back for each binding that applies, with the rules it gives.
fn visit(
    roles: &dyn RoleSource,
    user: &User,
    namespace: &str,
    mut visitor: impl FnMut(&Binding, &Subject, Result<Arc<[PolicyRule]>, String>) -> ControlFlow<()>,
) {
    let mut bindings = roles.cluster_role_bindings(user);
    for round in 0..2 {
        for binding in &bindings {
            let Some(subject) = binding.subject_for(user) else {
                continue;
            };
            let rules = rules_of_reference(roles, &binding.role_ref, &binding.namespace);
            if visitor(binding, subject, rules).is_break() {
                return;
            }
        }
        if round == 1 || namespace.is_empty() {
            return;
        }
        bindings = roles.role_bindings(namespace, user);
    }
}

fn denial(errors: &[String]) -> String {
    if errors.is_empty() { String::new() } else { format!("RBAC: {}", joined(errors)) }
}

/// Errors as Go prints an aggregate: each once, in order, in brackets when there are several.
pub fn joined(errors: &[String]) -> String {
    let mut once: Vec<&str> = Vec::new();
    for error in errors {
        if !once.contains(&error.as_str()) {
            once.push(error);
        }
    }
    match once.as_slice() {
        [only] => (*only).to_owned(),
        several => format!("[{}]", several.join(", ")),
    }
}
