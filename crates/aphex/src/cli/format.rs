//! How answers are printed, as `-o` says it.

use crate::output::Template;

/// How answers are printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// Columns for people.
    #[default]
    Table,
    /// More columns.
    Wide,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// kind/name, one a line.
    Name,
    /// What the expressions of a template select.
    JsonPath(Template),
}

impl Format {
    /// What `-o` takes.
    pub(crate) const WORDS: [&str; 6] = ["table", "wide", "json", "yaml", "name", "jsonpath="];

    /// Reads a value of `-o`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "table" => Ok(Self::Table),
            "wide" => Ok(Self::Wide),
            "json" => Ok(Self::Json),
            "yaml" => Ok(Self::Yaml),
            "name" => Ok(Self::Name),
            other => match other.strip_prefix("jsonpath=") {
                Some(template) => Template::parse(template).map(Self::JsonPath),
                None => Err(format!("one of {}TEMPLATE", Self::WORDS.join(", "))),
            },
        }
    }

    /// Whether people read it.
    pub(crate) fn is_for_people(&self) -> bool {
        matches!(self, Self::Table | Self::Wide)
    }
}
