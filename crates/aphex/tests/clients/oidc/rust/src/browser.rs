//! Follows redirects and fills in forms, as the person's browser would.

use std::collections::HashMap;

use anyhow::{Context as _, bail, ensure};
use openidconnect::url::Url;
use reqwest::blocking::{Client, Response};
use reqwest::header::LOCATION;
use reqwest::redirect::Policy;

/// Pages on the way that are too many.
const STEPS: usize = 12;

pub(crate) struct Browser {
    client: Client,
    user: String,
    password: String,
}

impl Browser {
    pub(crate) fn new(user: &str, password: &str) -> anyhow::Result<Self> {
        let client = Client::builder().cookie_store(true).redirect(Policy::none()).no_proxy().build()?;
        Ok(Self { client, user: user.to_owned(), password: password.to_owned() })
    }

    /// The parameters with which the provider sends the browser back to the client.
    pub(crate) fn visit(&self, at: &Url, back: &str) -> anyhow::Result<HashMap<String, String>> {
        let mut answer = self.client.get(at.clone()).send()?;
        for _ in 0..STEPS {
            if let Some(next) = redirect(&answer)? {
                if next.as_str().starts_with(&format!("{back}?")) {
                    ensure!(next.fragment().is_none(), "an answer in the fragment: {next}");
                    return Ok(next.query_pairs().into_owned().collect());
                }
                answer = self.client.get(next).send()?;
                continue;
            }
            answer = self.submit(answer, None)?;
        }
        bail!("the provider never sends the browser back")
    }

    /// Goes through a login to a page that asks a question, and presses the button of this value there.
    pub(crate) fn press(&self, at: &Url, button: &str) -> anyhow::Result<()> {
        let mut answer = self.client.get(at.clone()).send()?;
        for _ in 0..STEPS {
            if let Some(next) = redirect(&answer)? {
                answer = self.client.get(next).send()?;
                continue;
            }
            let (here, status, page) = (answer.url().clone(), answer.status(), answer.text()?);
            let form =
                Form::first(&page).with_context(|| format!("{here} answers {status}, without a form"))?;
            let asks = form.buttons.iter().any(|(_, value)| value == button);
            answer = self.send(&here, &form, asks.then_some(button))?;
            if asks {
                ensure!(answer.status().is_success(), "the button {button:?} answers {}", answer.status());
                return Ok(());
            }
        }
        bail!("no page has a button {button:?}")
    }

    fn submit(&self, answer: Response, button: Option<&str>) -> anyhow::Result<Response> {
        let (here, status, page) = (answer.url().clone(), answer.status(), answer.text()?);
        let form = Form::first(&page).with_context(|| format!("{here} answers {status}, without a form"))?;
        self.send(&here, &form, button)
    }

    fn send(&self, here: &Url, form: &Form, button: Option<&str>) -> anyhow::Result<Response> {
        let pressed = form.buttons.iter().find(|(_, value)| Some(value.as_str()) == button);
        let filled = form.fields.iter().map(|field| {
            let value = match field.kind.as_str() {
                "password" => &self.password,
                "text" | "email" => &self.user,
                _ => &field.value,
            };
            (field.name.as_str(), value.as_str())
        });
        let pressed = pressed.map(|(name, value)| (name.as_str(), value.as_str()));
        let fields: Vec<(&str, &str)> = filled.chain(pressed).collect();
        Ok(self.client.post(here.join(&form.action)?).form(&fields).send()?)
    }
}

fn redirect(answer: &Response) -> anyhow::Result<Option<Url>> {
    let location = answer.headers().get(LOCATION).filter(|_| answer.status().is_redirection());
    location.map(|location| Ok(answer.url().join(location.to_str()?)?)).transpose()
}

/// A form that is sent by POST.
struct Form {
    action: String,
    fields: Vec<Field>,
    /// Names and values.
    buttons: Vec<(String, String)>,
}

struct Field {
    name: String,
    kind: String,
    value: String,
}

impl Form {
    /// The first of a page.
    fn first(page: &str) -> Option<Self> {
        page.split("<form").skip(1).find_map(|rest| {
            let (head, rest) = rest.split_once('>')?;
            let head = attributes(head);
            head.get("method")?;
            let inside = rest.split_once("</form").map_or(rest, |(inside, _)| inside);
            let mut form = Self {
                action: head.get("action").cloned().unwrap_or_default(),
                fields: Vec::new(),
                buttons: Vec::new(),
            };
            for tag in inside.split('<').filter_map(|tag| tag.split_once('>').map(|(tag, _)| tag)) {
                let mut at = attributes(tag);
                let Some(name) = at.remove("name") else { continue };
                let value = at.remove("value").unwrap_or_default();
                let kind = at.remove("type").unwrap_or_else(|| "text".to_owned());
                match tag.split_ascii_whitespace().next() {
                    Some("input") if !matches!(kind.as_str(), "checkbox" | "radio" | "submit") => {
                        form.fields.push(Field { name, kind, value });
                    }
                    Some("button") => form.buttons.push((name, value)),
                    _ => {}
                }
            }
            Some(form)
        })
    }
}

/// Of a tag, with double quotes around each value, as providers write them.
fn attributes(tag: &str) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let mut rest = tag;
    while let Some((before, after)) = rest.split_once("=\"") {
        let name = before.rsplit(|letter: char| letter.is_ascii_whitespace()).next().unwrap_or(before);
        let Some((value, more)) = after.split_once('"') else { break };
        found.insert(name.to_ascii_lowercase(), text(value));
        rest = more;
    }
    found
}

fn text(escaped: &str) -> String {
    let entities =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&#x27;", "'"), ("&amp;", "&")];
    entities.iter().fold(escaped.to_owned(), |text, (entity, letter)| text.replace(entity, letter))
}
