//! Figures of one run, ours beside theirs, the ratio first.

use std::fmt::Write as _;

/// What was measured.
#[derive(Default)]
pub struct Figures(Vec<Figure>);

struct Figure {
    name: String,
    ours: f64,
    theirs: Option<f64>,
    more_is_better: bool,
}

impl Figures {
    /// A figure of the embedded engine.
    pub fn ours(&mut self, name: &str, value: f64, more_is_better: bool) {
        eprintln!("aphex            {name:<44} {value:>10.1}");
        self.0.push(Figure { name: name.to_owned(), ours: value, theirs: None, more_is_better });
    }

    /// The same figure of kube-apiserver with etcd.
    pub fn theirs(&mut self, name: &str, value: f64) {
        eprintln!("kube-apiserver   {name:<44} {value:>10.1}");
        if let Some(figure) = self.0.iter_mut().find(|figure| figure.name == name) {
            figure.theirs = Some(value);
        }
    }

    /// A table in Markdown; a ratio above 1 is in our favour.
    pub fn table(&self) -> String {
        let mut text =
            "| ratio | what | aphex | kube-apiserver with etcd |\n|---:|---|---:|---:|\n".to_owned();
        for Figure { name, ours, theirs, more_is_better } in &self.0 {
            let (ratio, theirs) = match theirs {
                Some(theirs) => {
                    let ratio = if *more_is_better { ours / theirs } else { theirs / ours };
                    (format!("{ratio:.1}×"), format!("{theirs:.0}"))
                }
                None => (String::new(), String::new()),
            };
            let ours = if *ours < 10.0 { format!("{ours:.1}") } else { format!("{ours:.0}") };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "| {ratio} | {name} | {ours} | {theirs} |");
        }
        text
    }
}
