//! The variable `authorizer`: what the caller, or a service account, may do (`pkg/cel/library/authz.go`).

use std::sync::Arc;

use aphex_auth::{Attributes as Asked, Index, User, authorize};
use aphex_cel::{Extension, Opaque, Value as Cel};

use super::attributes::Attributes;
use crate::names;

/// The variable that asks about the object of the request.
pub(super) const REQUEST: &str = "authorizer.requestResource";

/// What a check costs: two of them fit into an expression.
const CHECK_COST: u64 = 350_000;
const NO_OVERLOAD: &str = "no such overload";

/// Whose rights are asked about.
#[derive(Clone)]
struct Authorizer {
    user: Arc<User>,
    roles: Arc<Index>,
}

struct PathCheck {
    authorizer: Authorizer,
    path: String,
}

struct GroupCheck {
    authorizer: Authorizer,
    group: String,
}

#[derive(Clone)]
struct ResourceCheck {
    authorizer: Authorizer,
    group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

struct Decision {
    allowed: bool,
    reason: String,
}

/// The value of `authorizer`.
pub(super) fn of_caller(attributes: &Attributes<'_>) -> Cel {
    opaque_authorizer(caller(attributes))
}

/// The value of `authorizer.requestResource`.
pub(super) fn of_request(attributes: &Attributes<'_>) -> Cel {
    let resource = attributes.resource();
    opaque_check(ResourceCheck {
        authorizer: caller(attributes),
        group: resource.group.clone(),
        resource: resource.plural.clone(),
        subresource: attributes.subresource().to_owned(),
        namespace: attributes.namespace.to_owned(),
        name: attributes.name.to_owned(),
    })
}

fn caller(attributes: &Attributes<'_>) -> Authorizer {
    let call = attributes.write.call;
    Authorizer { user: Arc::new(call.user.clone()), roles: call.server.access.roles.current() }
}

fn opaque_authorizer(authorizer: Authorizer) -> Cel {
    Cel::Opaque(Opaque::new("kubernetes.authorization.Authorizer", authorizer))
}

fn opaque_check(check: ResourceCheck) -> Cel {
    Cel::Opaque(Opaque::new("kubernetes.authorization.ResourceCheck", check))
}

fn get<T: 'static>(value: &Cel) -> Result<&T, String> {
    match value {
        Cel::Opaque(opaque) => opaque.get().ok_or_else(|| NO_OVERLOAD.to_owned()),
        _ => Err(NO_OVERLOAD.to_owned()),
    }
}

fn texts<T: 'static, const N: usize>(arguments: &[Cel]) -> Result<(&T, [&str; N]), String> {
    let (receiver, rest) = arguments.split_first().ok_or(NO_OVERLOAD)?;
    let texts: Option<Vec<&str>> = rest.iter().map(Cel::as_str).collect();
    let texts = texts.and_then(|texts| <[&str; N]>::try_from(texts).ok()).ok_or(NO_OVERLOAD)?;
    Ok((get(receiver)?, texts))
}

/// The functions of the library.
pub(super) fn functions() -> Vec<Extension> {
    let with = |name: &str, change: fn(&mut ResourceCheck, &str)| {
        Extension::new(name, move |arguments| {
            let (check, [text]) = texts::<ResourceCheck, 1>(arguments)?;
            let mut check = check.clone();
            change(&mut check, text);
            Ok(opaque_check(check))
        })
    };
    vec![
        Extension::new("path", path),
        Extension::new("group", group),
        Extension::new("serviceAccount", service_account),
        Extension::new("resource", resource),
        with("subresource", |check, text| text.clone_into(&mut check.subresource)),
        with("namespace", |check, text| text.clone_into(&mut check.namespace)),
        with("name", |check, text| text.clone_into(&mut check.name)),
        // RBAC knows nothing of selectors and decides on the wider question.
        with("fieldSelector", |_, _| {}),
        with("labelSelector", |_, _| {}),
        Extension::new("check", check).at_cost(CHECK_COST),
        decision("allowed", |decision| Cel::Bool(decision.allowed)),
        decision("reason", |decision| Cel::from(decision.reason.as_str())),
        decision("errored", |_| Cel::Bool(false)),
        decision("error", |_| Cel::from("")),
    ]
}

fn decision(name: &str, part: fn(&Decision) -> Cel) -> Extension {
    Extension::new(name, move |arguments| match arguments {
        [value] => Ok(part(get::<Decision>(value)?)),
        _ => Err(NO_OVERLOAD.to_owned()),
    })
}

fn path(arguments: &[Cel]) -> Result<Cel, String> {
    let (authorizer, [path]) = texts::<Authorizer, 1>(arguments)?;
    if path.trim().is_empty() {
        return Err("path must not be empty".to_owned());
    }
    let check = PathCheck { authorizer: authorizer.clone(), path: path.to_owned() };
    Ok(Cel::Opaque(Opaque::new("kubernetes.authorization.PathCheck", check)))
}

fn group(arguments: &[Cel]) -> Result<Cel, String> {
    let (authorizer, [group]) = texts::<Authorizer, 1>(arguments)?;
    let check = GroupCheck { authorizer: authorizer.clone(), group: group.to_owned() };
    Ok(Cel::Opaque(Opaque::new("kubernetes.authorization.GroupCheck", check)))
}

fn service_account(arguments: &[Cel]) -> Result<Cel, String> {
    let (authorizer, [namespace, name]) = texts::<Authorizer, 2>(arguments)?;
    if !names::subdomain(name).is_empty() {
        return Err("Invalid service account name".to_owned());
    }
    if !names::label(namespace).is_empty() {
        return Err("Invalid service account namespace".to_owned());
    }
    let user = Arc::new(User::service_account(namespace, name, ""));
    Ok(opaque_authorizer(Authorizer { user, roles: Arc::clone(&authorizer.roles) }))
}

fn resource(arguments: &[Cel]) -> Result<Cel, String> {
    let (group, [resource]) = texts::<GroupCheck, 1>(arguments)?;
    if resource.trim().is_empty() {
        return Err("resource must not be empty".to_owned());
    }
    Ok(opaque_check(ResourceCheck {
        authorizer: group.authorizer.clone(),
        group: group.group.clone(),
        resource: resource.to_owned(),
        subresource: String::new(),
        namespace: String::new(),
        name: String::new(),
    }))
}

fn check(arguments: &[Cel]) -> Result<Cel, String> {
    let decided = if let Ok((check, [verb])) = texts::<PathCheck, 1>(arguments) {
        authorize(&*check.authorizer.roles, &Asked::path(&check.authorizer.user, verb, &check.path))
    } else {
        let (check, [verb]) = texts::<ResourceCheck, 1>(arguments)?;
        let asked = Asked {
            version: "*",
            subresource: &check.subresource,
            namespace: &check.namespace,
            name: &check.name,
            ..Asked::resource(&check.authorizer.user, verb, &check.group, &check.resource)
        };
        authorize(&*check.authorizer.roles, &asked)
    };
    let decision = Decision { allowed: decided.allowed, reason: decided.reason };
    Ok(Cel::Opaque(Opaque::new("kubernetes.authorization.Decision", decision)))
}
