//! Lists: filters, search, order and pages, as Django REST framework and django-filter read them.

use std::cmp::Ordering;

use http::StatusCode;
use serde_json::{Value, json};

use super::failure::Failure;
use crate::web::{self, Response};

/// Authentik's usual page, and its largest.
const USUAL_PAGE: usize = 20;
const LARGEST_PAGE: usize = 100;

/// The parameters of a list request; unknown ones mean nothing.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(query: &str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// The last value given; an empty one counts as left out.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.0.iter().rev().filter(|(known, _)| known == name);
        found.next().map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// All values given.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn number(&self, name: &str) -> Option<usize> {
        self.get(name)?.parse().ok().filter(|number| *number > 0)
    }

    /// Keeps objects whose fields are as the parameters of the same names say.
    pub(super) fn filter(&self, objects: &mut Vec<Value>, fields: &[&'static str]) -> Result<(), Failure> {
        for field in fields {
            let Some(wanted) = self.get(field) else { continue };
            let wanted = match objects.first().map(|object| &object[field]) {
                Some(Value::Bool(_)) => json!(boolean(field, wanted)?),
                _ => json!(wanted),
            };
            objects.retain(|object| match &object[field] {
                Value::Number(number) => wanted == number.to_string(),
                value => *value == wanted,
            });
        }
        Ok(())
    }

    /// The page that is asked for, of the objects in which the search is found, in the order asked for.
    pub(super) fn answer(&self, mut objects: Vec<Value>, searched: &[&str]) -> Result<Response, Failure> {
        // Every word must be found, in whichever field.
        for word in self.get("search").unwrap_or_default().split_whitespace() {
            let word = word.to_lowercase();
            let has = |value: &Value| value.as_str().is_some_and(|text| text.to_lowercase().contains(&word));
            objects.retain(|object| searched.iter().any(|field| has(&object[field])));
        }
        if let Some(order) = self.get("ordering") {
            for field in order.split(',').rev() {
                let (field, descending) =
                    field.strip_prefix('-').map_or((field, false), |field| (field, true));
                objects.sort_by(|a, b| {
                    let order = compare(&a[field], &b[field]);
                    if descending { order.reverse() } else { order }
                });
            }
        }
        let size = self.number("page_size").unwrap_or(USUAL_PAGE).min(LARGEST_PAGE);
        let total = objects.len().div_ceil(size).max(1);
        let current = match self.get("page") {
            None => 1,
            Some("last") => total,
            Some(_) => self.number("page").filter(|page| *page <= total).ok_or(Failure::Page)?,
        };
        let count = objects.len();
        let start = (current - 1) * size;
        let page: Vec<Value> = objects.into_iter().skip(start).take(size).collect();
        let body = json!({
            "pagination": {
                "next": if current < total { current + 1 } else { 0 },
                "previous": current - 1,
                "count": count,
                "current": current,
                "total_pages": total,
                "start_index": if count == 0 { 0 } else { start + 1 },
                "end_index": start + page.len(),
            },
            "results": page,
        });
        Ok(web::private_json(StatusCode::OK, &body))
    }
}

/// A flag as Django's forms read it.
pub(super) fn boolean(field: &'static str, text: &str) -> Result<bool, Failure> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(Failure::field(field, "Must be true or false.")),
    }
}

fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_i64().cmp(&b.as_i64()),
        (Value::String(a), Value::String(b)) => a.to_lowercase().cmp(&b.to_lowercase()),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Less,
        (_, Value::Null) => Ordering::Greater,
        _ => Ordering::Equal,
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn objects(count: u8) -> Vec<Value> {
        (1..=count).map(|pk| json!({ "pk": pk, "name": format!("n{pk}"), "even": pk % 2 == 0 })).collect()
    }

    async fn answer(query: &str, objects: Vec<Value>) -> Value {
        let response = Query::parse(query).answer(objects, &["name"]).unwrap();
        serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
    }

    fn names(body: &Value) -> Vec<&str> {
        body["results"].as_array().unwrap().iter().map(|o| o["name"].as_str().unwrap()).collect()
    }

    #[tokio::test]
    async fn pages_say_where_they_are() {
        let body = answer("page=2&page_size=2", objects(5)).await;
        assert_eq!(names(&body), ["n3", "n4"]);
        let expected = json!({ "next": 3, "previous": 1, "count": 5, "current": 2, "total_pages": 3, "start_index": 3, "end_index": 4 });
        assert_eq!(body["pagination"], expected);
        let body = answer("page_size=nonsense", objects(0)).await;
        let expected = json!({ "next": 0, "previous": 0, "count": 0, "current": 1, "total_pages": 1, "start_index": 0, "end_index": 0 });
        assert_eq!(body["pagination"], expected);
        assert_eq!(names(&answer("page=last&page_size=2", objects(5)).await), ["n5"]);
        assert_eq!(answer("page_size=1000", objects(150)).await["results"].as_array().unwrap().len(), 100);
        for page in ["4", "0", "-1", "x", "99999999999999999999999"] {
            let query = format!("page={page}&page_size=2");
            assert!(matches!(Query::parse(&query).answer(objects(5), &[]), Err(Failure::Page)), "{page}");
        }
    }

    #[tokio::test]
    async fn lists_are_filtered_searched_and_ordered() {
        assert_eq!(names(&answer("ordering=-pk&page_size=2", objects(5)).await), ["n5", "n4"]);
        assert_eq!(names(&answer("search=N4", objects(5)).await), ["n4"]);
        let filtered = |query: &str| {
            let mut objects = objects(5);
            Query::parse(query).filter(&mut objects, &["pk", "name", "even"]).map(|()| objects.len())
        };
        assert_eq!(filtered("even=true").unwrap(), 2);
        assert_eq!(filtered("pk=3&even=false").unwrap(), 1);
        assert_eq!(filtered("name=n").unwrap(), 0);
        assert_eq!(filtered("other=1").unwrap(), 5);
        assert!(matches!(filtered("even=perhaps"), Err(Failure::Fields(_))));
    }
}
