//! What a request wants to do, and how Kubernetes words its refusal.

use crate::quote::quoted;
use crate::user::User;

/// What a request wants to do, in the terms authorization decides on.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a> {
    /// Who asks.
    pub user: &'a User,
    /// The verb: `get`, `list`, `create`, ..., or a lower-case HTTP method for a path.
    pub verb: &'a str,
    /// The API group, empty for the core group.
    pub group: &'a str,
    /// The API version; no rule looks at it.
    pub version: &'a str,
    /// The resource in plural, without its subresource.
    pub resource: &'a str,
    /// The subresource, empty for the object itself.
    pub subresource: &'a str,
    /// The namespace, empty at cluster scope and for lists over all namespaces.
    pub namespace: &'a str,
    /// The object's name, empty where there is none (list, create, ...).
    pub name: &'a str,
    /// The path of a request that is not about a resource.
    pub path: Option<&'a str>,
}

impl<'a> Attributes<'a> {
    /// A request about a resource; set namespace, name and subresource with struct update syntax.
    pub fn resource(user: &'a User, verb: &'a str, group: &'a str, resource: &'a str) -> Self {
        Self {
            user,
            verb,
            group,
            version: "",
            resource,
            subresource: "",
            namespace: "",
            name: "",
            path: None,
        }
    }

    /// A request about a path that is no resource, such as `/healthz`.
    pub fn path(user: &'a User, verb: &'a str, path: &'a str) -> Self {
        Self { path: Some(path), ..Self::resource(user, verb, "", "") }
    }

    /// The cause inside a Forbidden error: `User "x" cannot list resource ...`, then the reason.
    pub fn refusal(&self, reason: &str) -> String {
        let text = sanitized(&self.plain_refusal());
        if reason.is_empty() { text } else { format!("{text}: {reason}") }
    }

    /// The whole message of the Forbidden error: `configmaps is forbidden: User "x" cannot ...`.
    ///
    /// As apiserver's endpoints/handlers/responsewriters/errors.go with apimachinery's
    /// `NewForbidden`.
    pub fn forbidden_message(&self, reason: &str) -> String {
        let cause = self.refusal(reason);
        let (resource, name) = match self.path {
            Some(_) => ("", ""),
            None => (self.resource, self.name),
        };
        if resource.is_empty() && self.group.is_empty() {
            return format!("forbidden: {cause}");
        }
        let mut subject = resource.to_owned();
        if !self.group.is_empty() {
            subject.push('.');
            subject.push_str(self.group);
        }
        if name.is_empty() {
            format!("{subject} is forbidden: {cause}")
        } else {
            format!("{subject} {} is forbidden: {cause}", quoted(name))
        }
    }

    fn plain_refusal(&self) -> String {
        let user = quoted(&self.user.name);
        if let Some(path) = self.path {
            return format!("User {user} cannot {} path {}", self.verb, quoted(path));
        }
        let resource = if self.subresource.is_empty() {
            quoted(self.resource)
        } else {
            quoted(&format!("{}/{}", self.resource, self.subresource))
        };
        let scope = if self.namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace {}", quoted(self.namespace))
        };
        format!(
            "User {user} cannot {} resource {resource} in API group {} {scope}",
            self.verb,
            quoted(self.group)
        )
    }
}

/// Names come from the client; a message must not look like HTML to a browser.
fn sanitized(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_read_as_those_of_kubernetes() {
        let user = User::new("x", ["g"]);
        let list = Attributes::resource(&user, "list", "", "configmaps");
        let cases = [
            (
                Attributes { namespace: "ns", ..list },
                r#"configmaps is forbidden: User "x" cannot list resource "configmaps" in API group "" in the namespace "ns""#,
            ),
            (
                list,
                r#"configmaps is forbidden: User "x" cannot list resource "configmaps" in API group "" at the cluster scope"#,
            ),
            (
                Attributes {
                    namespace: "ns",
                    name: "web",
                    subresource: "scale",
                    ..Attributes::resource(&user, "get", "apps", "deployments")
                },
                r#"deployments.apps "web" is forbidden: User "x" cannot get resource "deployments/scale" in API group "apps" in the namespace "ns""#,
            ),
            (Attributes::path(&user, "get", "/foo"), r#"forbidden: User "x" cannot get path "/foo""#),
        ];
        for (attributes, want) in cases {
            assert_eq!(attributes.forbidden_message(""), want);
        }
    }

    #[test]
    fn markup_in_names_is_defused_and_reasons_follow() {
        let user = User::new("<b>&", ["g"]);
        let attributes = Attributes::path(&user, "get", "/x");
        assert_eq!(
            attributes.forbidden_message("RBAC: because"),
            r#"forbidden: User "&lt;b&gt;&amp;" cannot get path "/x": RBAC: because"#
        );
    }
}
