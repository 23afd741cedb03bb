//! From the claims of a token to a user, by claims or by CEL expressions.

use std::collections::BTreeMap;

use aphex_cel::{Environment, Key, Limits, Map as CelMap, Program, Value as Cel};
use serde_json::{Map, Value};

use super::configuration::{ClaimMappings, ClaimOrExpression, Jwt, PrefixedClaimOrExpression};
use crate::quote::quoted;
use crate::user::{CREDENTIAL_ID, User};

/// Claims of a token.
type Claims = Map<String, Value>;

/// Where a value comes from.
#[derive(Debug)]
enum Source {
    Claim { name: String, prefix: String },
    Expression(Program),
}

/// A condition with what to say when it does not hold.
#[derive(Debug)]
struct Condition {
    program: Program,
    message: String,
}

/// A configuration's mappings and rules, ready to use.
#[derive(Debug)]
pub(super) struct Mapping {
    username: Source,
    groups: Option<Source>,
    uid: Option<Source>,
    extra: Vec<(String, Program)>,
    required: Vec<(String, String)>,
    claim_rules: Vec<Condition>,
    user_rules: Vec<Condition>,
}

impl Mapping {
    /// Compiles what a configuration says; gives every problem with the field's path.
    pub(super) fn compile(jwt: &Jwt) -> Result<Self, Vec<String>> {
        let mut compiler = Compiler::default();
        let ClaimMappings { username, groups, uid, extra } = &jwt.claim_mappings;
        let username = compiler.prefixed("claimMappings.username", username);
        let groups = compiler.prefixed("claimMappings.groups", groups);
        let ClaimOrExpression { claim, expression } = uid.clone();
        let uid = PrefixedClaimOrExpression { claim, prefix: None, expression };
        let uid = compiler.prefixed("claimMappings.uid", &uid);
        let extra = extra.iter().enumerate().filter_map(|(at, extra)| {
            let path = format!("claimMappings.extra[{at}].valueExpression");
            Some((extra.key.clone(), compiler.compile(&path, &extra.value_expression, "claims")?))
        });
        let extra = extra.collect();
        let (mut required, mut claim_rules, mut user_rules) = (Vec::new(), Vec::new(), Vec::new());
        for (at, rule) in jwt.claim_validation_rules.iter().enumerate() {
            if rule.expression.is_empty() {
                required.push((rule.claim.clone(), rule.required_value.clone()));
                continue;
            }
            let path = format!("claimValidationRules[{at}].expression");
            claim_rules.extend(compiler.condition(&path, &rule.expression, &rule.message, "claims"));
        }
        for (at, rule) in jwt.user_validation_rules.iter().enumerate() {
            let path = format!("userValidationRules[{at}].expression");
            user_rules.extend(compiler.condition(&path, &rule.expression, &rule.message, "user"));
        }
        match username {
            Some(username) if compiler.problems.is_empty() => {
                Ok(Self { username, groups, uid, extra, required, claim_rules, user_rules })
            }
            _ => Err(compiler.problems),
        }
    }

    /// The user that the claims stand for; the error is in upstream's words.
    pub(super) fn user(&self, claims: &Claims) -> Result<User, String> {
        let cel = Cel::from_json(&Value::Object(claims.clone()));
        let mut user = User::new(self.username(claims, &cel)?, self.groups(claims, &cel)?);
        user.uid = self.uid(claims, &cel)?;
        user.extra = self.extra(claims, &cel)?;
        for (claim, value) in &self.required {
            let held = claims
                .get(claim)
                .ok_or_else(|| format!("oidc: required claim {claim} not present in ID token"))?;
            let held = held.as_str().ok_or_else(|| format!("oidc: parse claim {claim}: not a string"))?;
            if held != value {
                return Err(format!(
                    "oidc: required claim {claim} value does not match. Got = {held}, want = {value}"
                ));
            }
        }
        hold(&self.claim_rules, "claims", &cel)
            .map_err(|why| format!("oidc: error evaluating claim validation expression: {why}"))?;
        if !self.user_rules.is_empty() {
            hold(&self.user_rules, "user", &user_value(&user))
                .map_err(|why| format!("oidc: error evaluating user info validation rule: {why}"))?;
        }
        Ok(user)
    }

    fn username(&self, claims: &Claims, cel: &Cel) -> Result<String, String> {
        let name = match &self.username {
            Source::Expression(program) => {
                let value = run(program, "claims", cel)
                    .map_err(|why| format!("oidc: error evaluating username claim expression: {why}"))?;
                let name = value.as_str().ok_or("oidc: error evaluating username claim expression: username claim expression must return a string")?;
                if name.is_empty() {
                    return Err("oidc: empty username via CEL expression is not allowed".to_owned());
                }
                name.to_owned()
            }
            Source::Claim { name: claim, prefix } => {
                let held = text(claims, claim)
                    .map_err(|why| format!("oidc: parse username claims {}: {why}", quoted(claim)))?;
                if claim == "email" {
                    check_email(claims)?;
                }
                format!("{prefix}{held}")
            }
        };
        // Stricter than upstream, which leaves it to userValidationRules: no person is a part of the system.
        if name.starts_with("system:") {
            return Err("oidc: usernames beginning with system: are reserved".to_owned());
        }
        if name.is_empty() {
            return Err("oidc: the username is empty".to_owned());
        }
        Ok(name)
    }

    fn groups(&self, claims: &Claims, cel: &Cel) -> Result<Vec<String>, String> {
        match &self.groups {
            None => Ok(Vec::new()),
            Some(Source::Expression(program)) => run(program, "claims", cel)
                .and_then(|value| texts(&value))
                .map_err(|why| format!("oidc: error evaluating group claim expression: {why}")),
            Some(Source::Claim { name, prefix }) => {
                let malformed = || {
                    format!(
                        "oidc: parse groups claim {}: neither a string nor a list of strings",
                        quoted(name)
                    )
                };
                // Some issuers send a single group as a text.
                let held = match claims.get(name) {
                    None | Some(Value::Null) => return Ok(Vec::new()),
                    Some(Value::String(one)) => vec![one.as_str()],
                    Some(Value::Array(many)) => {
                        many.iter().map(Value::as_str).collect::<Option<_>>().ok_or_else(malformed)?
                    }
                    Some(_) => return Err(malformed()),
                };
                Ok(held.into_iter().map(|group| format!("{prefix}{group}")).collect())
            }
        }
    }

    fn uid(&self, claims: &Claims, cel: &Cel) -> Result<String, String> {
        match &self.uid {
            None => Ok(String::new()),
            Some(Source::Claim { name, .. }) => {
                text(claims, name).map_err(|why| format!("oidc: parse uid claim {}: {why}", quoted(name)))
            }
            Some(Source::Expression(program)) => run(program, "claims", cel)
                .and_then(|value| {
                    value
                        .as_str()
                        .map(str::to_owned)
                        .ok_or_else(|| "uid claim expression must return a string".to_owned())
                })
                .map_err(|why| format!("oidc: error evaluating uid claim expression: {why}")),
        }
    }

    fn extra(&self, claims: &Claims, cel: &Cel) -> Result<BTreeMap<String, Vec<String>>, String> {
        let mut extra = BTreeMap::new();
        if let Some(id) = claims.get("jti").and_then(Value::as_str).filter(|id| !id.is_empty()) {
            extra.insert(CREDENTIAL_ID.to_owned(), vec![format!("JTI={id}")]);
        }
        for (key, program) in &self.extra {
            let values = run(program, "claims", cel)
                .and_then(|value| texts(&value))
                .map_err(|why| format!("oidc: error evaluating extra claim expression: {why}"))?;
            let values: Vec<String> = values.into_iter().filter(|value| !value.is_empty()).collect();
            if !values.is_empty() {
                extra.insert(key.clone(), values);
            }
        }
        Ok(extra)
    }
}

#[derive(Default)]
struct Compiler {
    problems: Vec<String>,
}

impl Compiler {
    fn prefixed(&mut self, path: &str, mapping: &PrefixedClaimOrExpression) -> Option<Source> {
        if !mapping.claim.is_empty() {
            let prefix = mapping.prefix.clone().unwrap_or_default();
            return Some(Source::Claim { name: mapping.claim.clone(), prefix });
        }
        if mapping.expression.is_empty() {
            return None;
        }
        self.compile(&format!("{path}.expression"), &mapping.expression, "claims").map(Source::Expression)
    }

    fn condition(&mut self, path: &str, source: &str, message: &str, variable: &str) -> Option<Condition> {
        let program = self.compile(path, source, variable)?;
        Some(Condition { program, message: message.to_owned() })
    }

    fn compile(&mut self, path: &str, source: &str, variable: &str) -> Option<Program> {
        match Environment::kubernetes().compile(source, &[variable]) {
            Ok(program) => Some(program),
            Err(error) => {
                self.problems
                    .push(format!("{path}: Invalid value: {}: compilation failed: {error}", quoted(source)));
                None
            }
        }
    }
}

/// Core, section 5.1: where it is said whether an address is verified, it must be.
fn check_email(claims: &Claims) -> Result<(), String> {
    match claims.get("email_verified") {
        None | Some(Value::Bool(true)) => Ok(()),
        Some(Value::Bool(false)) => Err("oidc: email not verified".to_owned()),
        Some(_) => Err("oidc: parse 'email_verified' claim: not a boolean".to_owned()),
    }
}

fn text(claims: &Claims, claim: &str) -> Result<String, &'static str> {
    let held = claims.get(claim).ok_or("claim not present")?;
    held.as_str().map(str::to_owned).ok_or("not a string")
}

fn run(program: &Program, variable: &str, value: &Cel) -> Result<Cel, String> {
    program.evaluate(&[(variable, value.clone())], &Limits::default()).map_err(|error| error.to_string())
}

fn hold(conditions: &[Condition], variable: &str, value: &Cel) -> Result<(), String> {
    for Condition { program, message } in conditions {
        match run(program, variable, value)?.as_bool() {
            Some(true) => {}
            Some(false) if message.is_empty() => {
                return Err(format!("validation expression '{}' failed", program.source()));
            }
            Some(false) => {
                return Err(format!("validation expression '{}' failed: {message}", program.source()));
            }
            None => {
                return Err(format!("validation expression '{}' must return a boolean", program.source()));
            }
        }
    }
    Ok(())
}

/// A text, a list of texts, or nothing.
fn texts(value: &Cel) -> Result<Vec<String>, String> {
    let wrong = || "it must return a string or a list of strings".to_owned();
    match value {
        Cel::Null => Ok(Vec::new()),
        Cel::String(one) if one.is_empty() => Ok(Vec::new()),
        Cel::String(one) => Ok(vec![one.to_string()]),
        Cel::List(many) => {
            many.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
        }
        _ => Err(wrong()),
    }
}

/// The user as expressions see it: every field of `UserInfo`, empty ones too.
fn user_value(user: &User) -> Cel {
    let list =
        |texts: &[String]| Cel::from(texts.iter().map(|text| Cel::from(text.as_str())).collect::<Vec<_>>());
    let extra: CelMap =
        user.extra.iter().map(|(key, values)| (Key::from(key.as_str()), list(values))).collect();
    let fields = [
        ("username", Cel::from(user.name.as_str())),
        ("uid", Cel::from(user.uid.as_str())),
        ("groups", list(&user.groups)),
        ("extra", Cel::from(extra)),
    ];
    Cel::from(fields.into_iter().map(|(name, value)| (Key::from(name), value)).collect::<CelMap>())
}
