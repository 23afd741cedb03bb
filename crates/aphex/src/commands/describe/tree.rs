//! A tree of lines, drawn with the characters that `tree` uses.

use crate::output::{paint_answer, value};

/// A line, and the lines below it.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    text: String,
    /// What ANSI calls its colour, where it has one.
    colour: Option<&'static str>,
    below: Vec<Node>,
}

impl Node {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    pub(super) fn coloured(self, colour: Option<&'static str>) -> Self {
        Self { colour, ..self }
    }

    pub(super) fn with(self, below: Vec<Self>) -> Self {
        Self { below, ..self }
    }

    /// The tree as lines.
    pub(super) fn render(&self) -> String {
        let mut lines = vec![self.painted()];
        self.draw("", &mut lines);
        lines.join("\n")
    }

    fn draw(&self, indent: &str, lines: &mut Vec<String>) {
        for (index, node) in self.below.iter().enumerate() {
            let last = index + 1 == self.below.len();
            let (branch, under) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            lines.push(format!("{indent}{branch}{}", node.painted()));
            node.draw(&format!("{indent}{under}"), lines);
        }
    }

    fn painted(&self) -> String {
        let text = value(&self.text);
        self.colour.map_or_else(|| text.to_string(), |colour| paint_answer(&text, colour))
    }
}

/// Rows as lines with columns as wide as their widest cell.
pub(super) fn columns(rows: &[Vec<String>]) -> Vec<String> {
    let plain = |row: &Vec<String>| row.iter().map(|cell| value(cell).into_owned()).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(plain).collect();
    let count = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("   ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_end_where_their_last_line_does() {
        let tree = Node::new("a").with(vec![
            Node::new("b").with(vec![Node::new("c"), Node::new("d")]),
            Node::new("e").with(vec![Node::new("f")]),
        ]);
        assert_eq!(tree.render(), "a\n├─ b\n│  ├─ c\n│  └─ d\n└─ e\n   └─ f");
    }

    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".to_owned(), "x".to_owned()], vec!["long".to_owned(), String::new()]];
        assert_eq!(columns(&rows), ["a      x", "long"]);
    }
}
