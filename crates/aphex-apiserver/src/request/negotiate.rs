//! Content negotiation: in which shape and encoding a client wants its answer, and what it sent.
//!
//! Answers are JSON or YAML. Protobuf is only read and CBOR not at all: clients that accept JSON as well get JSON.

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};

use crate::status::Status;

const OFFERED: &str = "application/json, application/yaml";

/// How bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// JSON on one line.
    Json,
    /// JSON for people.
    PrettyJson,
    /// YAML.
    Yaml,
}

/// What is asked for instead of the object itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The object.
    Object,
    /// A table with the server's columns, in `meta.k8s.io` of this version.
    Table(&'static str),
    /// Only the metadata, in `meta.k8s.io` of this version.
    Metadata(&'static str),
    /// Only the metadata of a list.
    MetadataList(&'static str),
}

/// Shape and encoding together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output {
    /// What.
    pub shape: Shape,
    /// How.
    pub encoding: Encoding,
}

impl Output {
    /// Plain JSON.
    pub const JSON: Self = Self { shape: Shape::Object, encoding: Encoding::Json };

    /// The content type of an answer.
    pub fn content_type(self) -> &'static str {
        match self.encoding {
            Encoding::Json | Encoding::PrettyJson => "application/json",
            Encoding::Yaml => "application/yaml",
        }
    }
}

/// One entry of an `Accept` header.
#[derive(Debug)]
pub struct MediaRange<'a> {
    /// `application/json`.
    pub media: &'a str,
    /// Parameters in order, without `q`.
    pub parameters: Vec<(&'a str, &'a str)>,
    quality: f32,
}

impl<'a> MediaRange<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let media = parts.next().filter(|media| !media.is_empty())?;
        let mut range = Self { media, parameters: Vec::new(), quality: 1.0 };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            if name.eq_ignore_ascii_case("q") {
                range.quality = value.parse().unwrap_or(1.0);
            } else {
                range.parameters.push((name, value));
            }
        }
        Some(range)
    }

    /// The value of a parameter.
    pub fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters.iter().find(|(n, _)| *n == name).map(|(_, value)| *value)
    }
}

/// The entries of all `Accept` headers, best first.
pub fn media_ranges(headers: &HeaderMap) -> Vec<MediaRange<'_>> {
    let texts = headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    let mut ranges: Vec<_> = texts.flat_map(|text| text.split(',')).filter_map(MediaRange::parse).collect();
    ranges.retain(|range| range.quality > 0.0);
    ranges.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    ranges
}

/// Chooses shape and encoding; `pretty` is the query option.
pub fn output(headers: &HeaderMap, pretty: Option<&str>) -> Result<Output, Status> {
    let json = if wants_pretty(headers, pretty) { Encoding::PrettyJson } else { Encoding::Json };
    let ranges = media_ranges(headers);
    if ranges.is_empty() {
        return Ok(Output { shape: Shape::Object, encoding: json });
    }
    let mut known = false;
    for range in &ranges {
        let encoding = match range.media {
            "application/json" | "*/*" | "application/*" => json,
            "application/yaml" => Encoding::Yaml,
            _ => continue,
        };
        known = true;
        if let Some(shape) = shape(range) {
            return Ok(Output { shape, encoding });
        }
    }
    Err(if known { Status::no_such_shape(OFFERED) } else { Status::not_acceptable(OFFERED) })
}

/// The object as it is, for what has no other shape; refused where the client takes nothing else.
pub fn plain(headers: &HeaderMap) -> Result<Output, Status> {
    let accepted = headers.get_all(http::header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let takes = |range: &str| !range.contains("as=") && (range.contains("json") || range.contains("*/*"));
    if accepted.flat_map(|value| value.split(',')).any(takes) {
        Ok(Output::JSON)
    } else {
        Err(Status::not_acceptable(OFFERED))
    }
}

fn shape(range: &MediaRange<'_>) -> Option<Shape> {
    let Some(wanted) = range.parameter("as") else { return Some(Shape::Object) };
    if range.parameter("g") != Some("meta.k8s.io") {
        return None;
    }
    let version = match range.parameter("v")? {
        "v1" => "v1",
        "v1beta1" => "v1beta1",
        _ => return None,
    };
    match wanted {
        "Table" => Some(Shape::Table(version)),
        "PartialObjectMetadata" => Some(Shape::Metadata(version)),
        "PartialObjectMetadataList" => Some(Shape::MetadataList(version)),
        _ => None,
    }
}

/// People's tools get indented output unless they ask otherwise (`isPrettyPrint` in apiserver's negotiate.go).
fn wants_pretty(headers: &HeaderMap, pretty: Option<&str>) -> bool {
    if let Some(pretty) = pretty {
        return matches!(pretty, "1" | "t" | "T" | "true" | "TRUE" | "True");
    }
    let agent = user_agent(headers);
    ["curl", "Wget", "Mozilla/5.0"].iter().any(|known| agent.starts_with(known))
}

/// The `User-Agent`, or "".
pub fn user_agent(headers: &HeaderMap) -> &str {
    headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The media type of the body without parameters; JSON when the header is missing.
pub fn content_type(headers: &HeaderMap) -> &str {
    let full = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = full.split(';').next().unwrap_or_default().trim();
    if media.is_empty() { "application/json" } else { media }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(accept: &str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())])
    }

    #[test]
    fn kubectl_gets_a_table_and_a_protobuf_client_its_json_fallback() {
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(output(&with(kubectl), None).unwrap().shape, Shape::Table("v1"));
        let go = "application/vnd.kubernetes.protobuf,application/json";
        assert_eq!(output(&with(go), None).unwrap(), Output::JSON);
        let only = output(&with("application/vnd.kubernetes.protobuf"), None).unwrap_err();
        assert_eq!(only.code, 406);
    }

    #[test]
    fn an_unknown_shape_falls_through_to_the_next_range() {
        let accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v9,application/yaml;q=0.5";
        assert_eq!(output(&with(accept), None).unwrap().encoding, Encoding::Yaml);
    }

    #[test]
    fn people_get_indented_json() {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, "curl/8".parse().unwrap());
        assert_eq!(output(&headers, None).unwrap().encoding, Encoding::PrettyJson);
        assert_eq!(output(&headers, Some("false")).unwrap().encoding, Encoding::Json);
    }
}
