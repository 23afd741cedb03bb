//! The Kubernetes URL library.

use std::sync::Arc;

use super::{Cost, Function, global, member};
use crate::error::Fault;
use crate::eval::Scope;
use crate::value::{Key, Map, Url, Value};

type Outcome = Result<Value, Fault>;

pub(super) const FUNCTIONS: &[Function] = &[
    global("url", 1, Cost::Text, url),
    global("isURL", 1, Cost::One, is_url),
    member("getScheme", 1, Cost::One, |_, arguments| part(arguments, |url| Value::from(url.scheme.as_str()))),
    member("getHost", 1, Cost::One, |_, arguments| part(arguments, |url| Value::from(url.host.as_str()))),
    member("getHostname", 1, Cost::One, |_, arguments| part(arguments, |url| Value::from(url.hostname()))),
    member("getPort", 1, Cost::One, |_, arguments| part(arguments, |url| Value::from(url.port()))),
    member("getEscapedPath", 1, Cost::One, |_, arguments| {
        part(arguments, |url| Value::from(url.escaped_path()))
    }),
    member("getQuery", 1, Cost::One, |_, arguments| part(arguments, query)),
];

fn url(_: &mut Scope, arguments: &[Value]) -> Outcome {
    let [Value::String(text)] = arguments else { return Err(Fault::NoOverload) };
    let parsed = Url::parse_request(text).and_then(|_| Url::parse(text));
    parsed
        .map(|url| Value::Url(Arc::new(url)))
        .map_err(|reason| Fault::new(format!("URL parse error during conversion from string: {reason}")))
}

fn is_url(_: &mut Scope, arguments: &[Value]) -> Outcome {
    let [Value::String(text)] = arguments else { return Err(Fault::NoOverload) };
    Ok(Value::Bool(Url::parse_request(text).is_ok()))
}

fn part(arguments: &[Value], part: impl Fn(&Url) -> Value) -> Outcome {
    match arguments {
        [Value::Url(url)] => Ok(part(url)),
        _ => Err(Fault::NoOverload),
    }
}

fn query(url: &Url) -> Value {
    let entries = url.query().into_iter().map(|(key, values)| {
        (Key::from(key.as_str()), Value::from(values.into_iter().map(Value::from).collect::<Vec<_>>()))
    });
    Value::from(entries.collect::<Map>())
}
