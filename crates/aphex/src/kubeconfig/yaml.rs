//! YAML as text with places: enough to change a file by hand, leaving every other byte as it is.
//!
//! The parser is that of `serde-saphyr`; it tells where each node begins and ends. See [`super::edit`] for the changes.

use std::iter::Peekable;

use granit_parser::{Event, Parser, Span, StructureStyle};

/// Kubeconfigs are flat; what is deeper is somebody's attack.
const DEPTH: usize = 64;

/// A node of the text.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// The first byte.
    pub(super) start: usize,
    /// The byte after the last.
    pub(super) end: usize,
    /// Where in its line it begins.
    pub(super) column: usize,
    /// Written in brackets, or nothing at all.
    pub(super) inline: bool,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// A scalar by its value, or an alias.
    Leaf(String),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<(&Node, &Node)> {
        let Kind::Map(entries) = &self.kind else { return None };
        entries.iter().find(|(name, _)| name.is(key)).map(|(name, value)| (name, value))
    }

    /// The entry of a list that has this name.
    pub(super) fn named(&self, name: &str) -> Option<&Node> {
        let Kind::List(items) = &self.kind else { return None };
        items.iter().find(|item| item.get("name").is_some_and(|(_, value)| value.is(name)))
    }

    fn is(&self, text: &str) -> bool {
        matches!(&self.kind, Kind::Leaf(value) if value == text)
    }
}

type Events<'a, I> = Peekable<I>;
type Item<'a> = Result<(Event<'a>, Span), granit_parser::ScanError>;

/// The document of a text; nothing when there is none in it.
pub(super) fn parse(text: &str) -> Result<Option<Node>, String> {
    let mut events = Parser::new_from_str(text).peekable();
    let mut found = None;
    loop {
        match events.next().transpose().map_err(|error| error.to_string())? {
            None | Some((Event::StreamEnd, _)) => return Ok(found),
            Some((Event::DocumentStart(..), _)) if found.is_some() => {
                return Err("it has more than one document".to_owned());
            }
            Some((Event::DocumentStart(..), _)) => {
                let node = node(text, &mut events, 0, 0)?;
                // A document of nothing but comments has an empty scalar.
                let empty = matches!(&node.kind, Kind::Leaf(value) if value.is_empty()) && node.inline;
                found = (!empty).then_some(node);
            }
            Some(_) => {}
        }
    }
}

/// Reads a node; `place` is where an empty one counts as being.
fn node<'a, I: Iterator<Item = Item<'a>>>(
    text: &str,
    events: &mut Events<'a, I>,
    place: usize,
    depth: usize,
) -> Result<Node, String> {
    if depth > DEPTH {
        return Err(format!("it is nested more than {DEPTH} deep"));
    }
    loop {
        let (event, span) = events.next().ok_or("it ends too early")?.map_err(|error| error.to_string())?;
        let (start, end) = bounds(&span)?;
        let column = span.start.col();
        match event {
            Event::Scalar(value, ..) => {
                // A block of lines goes on to the next token.
                let length = text.get(start..end).map_or(0, |raw| raw.trim_end().len());
                let blank = length == 0;
                let (start, end) = if blank { (place, place) } else { (start, start + length) };
                let kind = Kind::Leaf(value.into_owned());
                return Ok(Node { kind, start, end, column, inline: blank });
            }
            Event::Alias(..) => {
                let raw = text.get(start..end).unwrap_or_default().to_owned();
                return Ok(Node { kind: Kind::Leaf(raw), start, end, column, inline: false });
            }
            Event::SequenceStart(style, ..) => {
                let mut items = Vec::new();
                let (mut start, mut column, mut last) = (start, column, end);
                while !matches!(peek(events)?, Event::SequenceEnd) {
                    let item = node(text, events, last, depth + 1)?;
                    last = item.end;
                    let dash = text.get(..item.start).and_then(|before| before.rfind('-'));
                    if let (true, StructureStyle::Block, Some(dash)) = (items.is_empty(), style, dash) {
                        let line = text[..dash].rfind('\n').map_or(0, |newline| newline + 1);
                        (start, column) = (dash, dash - line);
                    }
                    items.push(item);
                }
                let inline = style == StructureStyle::Flow;
                let end = close(events, inline, last)?;
                return Ok(Node { kind: Kind::List(items), start, end, column, inline });
            }
            Event::MappingStart(style, ..) => {
                let mut entries = Vec::new();
                let (mut start, mut column, mut last) = (start, column, end);
                while !matches!(peek(events)?, Event::MappingEnd) {
                    let key = node(text, events, last, depth + 1)?;
                    if entries.is_empty() && style == StructureStyle::Block {
                        (start, column) = (key.start, key.column);
                    }
                    let colon = text.get(key.end..).and_then(|rest| rest.find(':')).unwrap_or_default();
                    let value = node(text, events, key.end + colon + 1, depth + 1)?;
                    last = value.end;
                    entries.push((key, value));
                }
                let inline = style == StructureStyle::Flow;
                let end = close(events, inline, last)?;
                return Ok(Node { kind: Kind::Map(entries), start, end, column, inline });
            }
            Event::DocumentEnd | Event::StreamEnd => return Err("it ends too early".to_owned()),
            // Comments and other marks are no nodes.
            _ => {}
        }
    }
}

/// The next event that is no comment, left where it is.
fn peek<'e, 'a, I: Iterator<Item = Item<'a>>>(
    events: &'e mut Events<'a, I>,
) -> Result<&'e Event<'a>, String> {
    while matches!(events.peek(), Some(Ok((Event::Comment(..) | Event::Anchor(..), _)))) {
        events.next();
    }
    match events.peek() {
        Some(Ok((event, _))) => Ok(event),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("it ends too early".to_owned()),
    }
}

/// Takes the end of a collection; only brackets have a place of their own.
fn close<'a, I: Iterator<Item = Item<'a>>>(
    events: &mut Events<'a, I>,
    inline: bool,
    last: usize,
) -> Result<usize, String> {
    let (_, span) = events.next().ok_or("it ends too early")?.map_err(|error| error.to_string())?;
    Ok(if inline { bounds(&span)?.1 } else { last })
}

fn bounds(span: &Span) -> Result<(usize, usize), String> {
    let range = span.byte_range().ok_or("it cannot be located")?;
    Ok((range.start, range.end))
}

/// A value to be written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Yaml {
    /// A text.
    Text(String),
    /// A scalar as it stands in the text.
    Raw(String),
    List(Vec<Yaml>),
    Map(Vec<(String, Yaml)>),
}

impl Yaml {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(crate) fn map(entries: impl IntoIterator<Item = (&'static str, Yaml)>) -> Self {
        Self::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    /// A node as a value, its scalars as they were written.
    pub(super) fn of(text: &str, node: &Node) -> Self {
        match &node.kind {
            Kind::Leaf(_) if node.start == node.end => Self::Raw("null".to_owned()),
            Kind::Leaf(value) => match text.get(node.start..node.end) {
                // A block of lines keeps its meaning as a quoted text.
                Some(raw) if !raw.contains('\n') => Self::Raw(raw.trim_end().to_owned()),
                _ => Self::Text(value.clone()),
            },
            Kind::List(items) => Self::List(items.iter().map(|item| Self::of(text, item)).collect()),
            Kind::Map(entries) => {
                let entry = |(key, value): &(Node, Node)| {
                    let key = text.get(key.start..key.end).unwrap_or_default().to_owned();
                    (key, Self::of(text, value))
                };
                Self::Map(entries.iter().map(entry).collect())
            }
        }
    }

    /// The value as JSON has it; what stands as it was written is read again.
    pub(super) fn value(&self) -> serde_json::Value {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Raw(raw) => serde_saphyr::from_str(raw).unwrap_or_default(),
            Self::List(items) => items.iter().map(Self::value).collect(),
            Self::Map(entries) => entries.iter().map(|(key, value)| (unquoted(key), value.value())).collect(),
        }
    }

    /// What stands behind a key: on the same line, or on lines of its own that are indented so far.
    pub(super) fn behind_key(&self, indent: usize) -> String {
        match self.short() {
            Some(short) => format!(" {short}"),
            None => format!("\n{}", self.lines(indent)),
        }
    }

    /// The lines of a list or map, each indented, without the last line break.
    pub(super) fn lines(&self, indent: usize) -> String {
        let space = " ".repeat(indent);
        let lines: Vec<String> = match self {
            Self::Map(entries) => entries
                .iter()
                .map(|(key, value)| format!("{space}{key}:{}", value.behind_key(indent + 2)))
                .collect(),
            Self::List(items) => {
                items.iter().map(|item| format!("{space}- {}", item.within(indent + 2))).collect()
            }
            leaf => vec![format!("{space}{}", leaf.short().unwrap_or_default())],
        };
        lines.join("\n")
    }

    /// The same, where the first line is begun already.
    pub(super) fn within(&self, indent: usize) -> String {
        self.short().unwrap_or_else(|| self.lines(indent).trim_start().to_owned())
    }

    fn short(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(scalar(text)),
            Self::Raw(raw) => Some(raw.clone()),
            Self::List(items) => items.is_empty().then(|| "[]".to_owned()),
            Self::Map(entries) => entries.is_empty().then(|| "{}".to_owned()),
        }
    }
}

/// A key without the quotes it may stand in.
pub(super) fn unquoted(key: &str) -> String {
    serde_saphyr::from_str(key).unwrap_or_else(|_| key.to_owned())
}

/// A text without quotes where it stays the same text, else as JSON quotes it, which YAML reads as well.
fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/_.@+=:-".contains(c);
    let tame = text.chars().all(plain)
        && text.chars().any(|c| c.is_ascii_alphanumeric())
        && !text.ends_with(':')
        && !text.starts_with(['@', '=', ':'])
        && serde_saphyr::from_str::<serde_json::Value>(text).is_ok_and(|value| value == *text);
    if tame { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}
