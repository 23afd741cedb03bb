//! The only place that prints: answers to standard output, everything else to standard error.
//!
//! What people read goes through [`say`], [`say_lines`], [`say_on`] and [`note`], which let no control character of a value
//! through; documents, and lines of logs, go through [`print()`] and [`print_on`] as they are.

mod colour;
mod feed;
mod plain;
mod template;

use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::sync::OnceLock;

use jiff::Timestamp;
use serde_json::Value;

pub(crate) use colour::{Tone, When, decide, paint, paint_answer};
pub(crate) use feed::Feed;
pub(crate) use plain::value;
pub(crate) use template::Template;

use crate::cli::Format;

/// A table in kubectl's style: upper-case heads, columns padded, three spaces between.
#[derive(Debug, Default)]
pub(crate) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    cells: Vec<String>,
    /// The cell that says how the row's object is.
    toned: Option<(usize, Tone)>,
}

impl Table {
    pub(crate) fn new(head: &[&'static str]) -> Self {
        Self { head: head.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.toned_row(cells, None);
    }

    /// A row with one cell in a colour, where there are colours.
    pub(crate) fn toned_row(&mut self, cells: Vec<String>, toned: Option<(usize, Tone)>) {
        let cells = cells.into_iter().map(|cell| value(&cell).into_owned()).collect();
        self.rows.push(Row { cells, toned });
    }

    /// Lines without trailing spaces.
    pub(crate) fn render(&self) -> String {
        self.lines(&mut Vec::new(), true)
    }

    /// The same in columns that are at least so wide, and become so wide; rows that come later line up.
    pub(crate) fn lines(&self, widths: &mut Vec<usize>, with_head: bool) -> String {
        widths.resize(self.head.len(), 0);
        let cells = self.head.iter().map(|cell| (*cell).to_owned()).collect();
        let head = Row { cells, toned: None };
        for row in std::iter::once(&head).chain(&self.rows) {
            for (width, cell) in widths.iter_mut().zip(&row.cells) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        for row in with_head.then_some(&head).into_iter().chain(&self.rows) {
            text.push_str(row.line(widths).trim_end());
            text.push('\n');
        }
        text
    }
}

impl Row {
    fn line(&self, widths: &[usize]) -> String {
        let mut line = String::new();
        for (column, (width, cell)) in widths.iter().zip(&self.cells).enumerate() {
            let padding = width - cell.chars().count() + 3;
            match self.toned.filter(|(toned, _)| *toned == column && !cell.is_empty()) {
                Some((_, tone)) => line.push_str(&paint_answer(cell, tone.code())),
                None => line.push_str(cell),
            }
            line.extend(std::iter::repeat_n(' ', padding));
        }
        line
    }
}

/// Prints objects in the wanted form; `single` leaves out the list around one object.
pub(crate) fn objects(
    format: &Format,
    objects: &[Value],
    single: bool,
    table: impl FnOnce() -> Table,
) -> anyhow::Result<()> {
    let list;
    let document = match objects {
        [one] if single => one,
        many => {
            list = serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": many });
            &list
        }
    };
    if let Some(text) = rendered(format, document)? {
        print(&text);
        return Ok(());
    }
    match format {
        Format::Name => {
            for object in objects {
                say(&title(object));
            }
        }
        _ => say(table().render().trim_end()),
    }
    Ok(())
}

/// A document in a form for programs; nothing where the form is a kind's own (a table, a name).
pub(crate) fn rendered(format: &Format, document: &Value) -> anyhow::Result<Option<String>> {
    Ok(Some(match format {
        Format::Table | Format::Wide | Format::Name => return Ok(None),
        Format::Json => serde_json::to_string_pretty(document)?,
        Format::Yaml => serde_saphyr::to_string(document)?.trim_end().to_owned(),
        Format::JsonPath(template) => {
            let text = template.render(document)?;
            text.strip_suffix('\n').map(str::to_owned).unwrap_or(text)
        }
    }))
}

/// The answer of a command that did something: a document or a name for programs, else what people are told.
pub(crate) fn answer(
    format: &Format,
    document: &Value,
    name: &str,
    people: impl FnOnce(),
) -> anyhow::Result<()> {
    match rendered(format, document)? {
        Some(text) => print(&text),
        None if format.is_for_people() => people(),
        None => say(name),
    }
    Ok(())
}

/// `kind.group/name`, as kubectl says it.
pub(crate) fn title(object: &Value) -> String {
    let kind = object["kind"].as_str().unwrap_or_default().to_lowercase();
    let api_version = object["apiVersion"].as_str().unwrap_or_default();
    let group = api_version.split_once('/').map_or(String::new(), |(group, _)| format!(".{group}"));
    let title = format!("{kind}{group}/{}", object["metadata"]["name"].as_str().unwrap_or_default());
    value(&title).into_owned()
}

/// Prints lines of ours for people. A reader that went away (`| head`) is not an error.
pub(crate) fn say(text: &str) {
    print(&plain::shown(text));
}

/// Prints lines for people; a newline within one begins no other.
pub(crate) fn say_lines<S: AsRef<str>>(lines: &[S]) {
    let lines: Vec<_> = lines.iter().map(|line| value(line.as_ref())).collect();
    say(&lines.join("\n"));
}

/// Prints lines for people, of an answer that goes on and on; tells whether somebody still reads.
pub(crate) fn say_on(text: &str) -> bool {
    print_on(&plain::shown(text))
}

/// What kept an answer from being written.
static LOST: OnceLock<std::io::Error> = OnceLock::new();

/// Whether something was written. A reader that went away (`| head`) has what it wanted; any other error is kept for the end.
fn is_written(result: std::io::Result<()>) -> bool {
    let Err(error) = result else { return true };
    if error.kind() != ErrorKind::BrokenPipe {
        let _ = LOST.set(error);
    }
    false
}

/// Tells of an answer that could not be written; whether there is one.
pub(crate) fn is_lost() -> bool {
    is_written(std::io::stdout().flush());
    let Some(error) = LOST.get() else { return false };
    note(&format!("{} cannot write the answer to standard output: {error}", paint("error:", "1;31")));
    true
}

/// Prints a document for programs as it is.
pub(crate) fn print(text: &str) {
    is_written(writeln!(std::io::stdout().lock(), "{text}"));
}

/// The same of an answer that goes on and on; tells whether somebody still reads.
pub(crate) fn print_on(text: &str) -> bool {
    let mut output = std::io::stdout().lock();
    is_written(writeln!(output, "{text}").and_then(|()| output.flush()))
}

/// Prints a line of a log as it was written, behind a prefix of ours; tells whether somebody still reads.
pub(crate) fn pass_on(prefix: &str, line: &str) -> bool {
    print_on(&format!("{} {line}", plain::shown(&value(prefix))))
}

/// Prints a text byte by byte, without a newline of ours; on a terminal, as people read it.
pub(crate) fn print_bytes(text: &str) {
    let mut output = std::io::stdout().lock();
    if output.is_terminal() {
        drop(output);
        return say(text);
    }
    is_written(output.write_all(text.as_bytes()).and_then(|()| output.flush()));
}

/// Prints an answer in its form, of those that go on and on; tells whether somebody still reads.
pub(crate) fn show_on(format: &Format, text: &str) -> bool {
    if format.is_for_people() { say_on(text) } else { print_on(text) }
}

/// Prints a line about the work to standard error.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", plain::shown(text));
}

/// Prints an error with its causes, and below it what to do next.
pub(crate) fn complain(error: &anyhow::Error) {
    // What a server says may have lines of its own; they do not begin as ours do.
    let chain = aphex_runtime::errors::chain(error.as_ref()).replace('\n', "\n  ");
    note(&format!("{} {chain}", paint("error:", "1;31")));
    if let Some(step) = crate::advice::next_step(error) {
        note(&format!("{} {step}", paint("next:", "1;33")));
    }
}

/// How long ago, as kubectl says it: `45s`, `12m`, `3h`, `5d`.
pub(crate) fn age(since: Option<Timestamp>, now: Timestamp) -> String {
    let Some(since) = since else { return "<unknown>".to_owned() };
    let seconds = (now.as_second() - since.as_second()).max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["NAME", "PHASE"]);
        table.row(vec!["acme-corp".into(), "Active".into()]);
        assert_eq!(table.render(), "NAME        PHASE\nacme-corp   Active\n");
    }

    #[test]
    fn ages_read_like_kubectl() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let ago = |seconds: i64| age(Some(Timestamp::from_second(1_000_000 - seconds).unwrap()), now);
        assert_eq!([ago(45), ago(121), ago(7200), ago(172_800)], ["45s", "2m", "2h", "2d"]);
        assert_eq!(age(None, now), "<unknown>");
    }
}
