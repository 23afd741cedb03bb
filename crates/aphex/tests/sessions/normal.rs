//! Makes what two engines said comparable: what must differ between any two clusters is put under one name.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::normal_text;

/// The name that service-account admission completes.
const TOKEN_VOLUME: &str = "kube-api-access-";

/// What is known of one engine during one session.
pub(crate) struct Normal {
    /// Where it answers.
    server: String,
    /// The folder kubectl ran in.
    folder: String,
    /// Names that it completed begin so.
    generated: BTreeSet<String>,
}

impl Normal {
    pub(crate) fn new(server: &str, folder: &str) -> Self {
        Self {
            server: server.to_owned(),
            folder: folder.to_owned(),
            generated: BTreeSet::from([TOKEN_VOLUME.to_owned()]),
        }
    }

    /// The comparable form. Generated names are known from the first answer that has one.
    pub(crate) fn value(&mut self, said: &Value) -> Value {
        self.learn(said);
        self.normal("", said)
    }

    /// Notes the prefixes of generated names in something asked or said.
    pub(crate) fn learn(&mut self, value: &Value) {
        match value {
            Value::Object(fields) => {
                if let Some(prefix) = fields.get("generateName").and_then(Value::as_str) {
                    self.generated.insert(prefix.to_owned());
                }
                fields.values().for_each(|field| self.learn(field));
            }
            Value::Array(items) => items.iter().for_each(|item| self.learn(item)),
            _ => {}
        }
    }

    fn normal(&self, key: &str, value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                // Lists in field sets are keyed by what their items have, which may be a uid.
                let each =
                    fields.iter().map(|(key, field)| (normal_text::normal(key), self.normal(key, field)));
                Value::Object(each.collect::<Map<_, _>>())
            }
            Value::Array(items) => {
                let mut items: Vec<Value> = items.iter().map(|item| self.normal(key, item)).collect();
                if key == "managedFields" {
                    // Their order follows the time, to the second.
                    let text =
                        |item: &Value, field: &str| item[field].as_str().unwrap_or_default().to_owned();
                    items.sort_by_key(|item| {
                        ["operation", "manager", "subresource"].map(|field| text(item, field))
                    });
                }
                Value::Array(items)
            }
            Value::String(text) => Value::String(self.text(key, text)),
            Value::Number(_) if matches!(key, "nodePort" | "healthCheckNodePort") => "<port>".into(),
            other => other.clone(),
        }
    }

    fn text(&self, key: &str, text: &str) -> String {
        match key {
            "resourceVersion" if !matches!(text, "" | "0") => return "<version>".to_owned(),
            "continue" if !text.is_empty() => return "<continue>".to_owned(),
            "token" => return "<token>".to_owned(),
            _ => {}
        }
        let mut text = text.replace(&self.server, "<server>").replace(&self.folder, "<folder>");
        if let Some(address) = self.server.strip_prefix("https://") {
            text = text.replace(address, "<address>");
        }
        for prefix in &self.generated {
            text = normal_text::generated(&text, prefix);
        }
        normal_text::normal(&text)
    }
}
