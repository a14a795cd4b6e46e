//! Figures: as they stand in a file, and against others.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// How far a part may move, in hundredths.
const SLACK: u128 = 5;
const COUNTED_WITH: &str = "# counted with ";
const HEAD: &str = "\
# Instructions that callgrind counts for one unit of each part of an exchange, hashes in software.
# `make instructions` compares what is counted now, `make instructions RENEW=1` writes this file.
";

/// Instructions of each part, and what built the program that they were counted in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Compilers, as they name themselves.
    pub(crate) compilers: Vec<String>,
    /// For one unit of each part, by its name.
    pub(crate) counts: BTreeMap<String, u64>,
}

impl Figures {
    /// Reads a file of figures.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut figures = Self { compilers: Vec::new(), counts: BTreeMap::new() };
        for (number, line) in (1..).zip(text.lines()) {
            if let Some(compiler) = line.strip_prefix(COUNTED_WITH) {
                figures.compilers.push(compiler.to_owned());
            }
            if line.starts_with('#') || line.is_empty() {
                continue;
            }
            let pair = line.split_once(' ').map(|(name, count)| (name, count.trim().parse()));
            let Some((name, Ok(count @ 1..))) = pair else {
                return Err(format!("line {number} is no 'PART INSTRUCTIONS'"));
            };
            if figures.counts.insert(name.to_owned(), count).is_some() {
                return Err(format!("line {number} tells of {name} again"));
            }
        }
        Ok(figures)
    }

    /// The file of these figures; `units` says what one of each part is.
    pub(crate) fn text(&self, units: impl Iterator<Item = (&'static str, &'static str)>) -> String {
        let mut text = HEAD.to_owned();
        for compiler in &self.compilers {
            let _ = writeln!(text, "{COUNTED_WITH}{compiler}");
        }
        for (name, unit) in units {
            if let Some(count) = self.counts.get(name) {
                let _ = write!(text, "\n# {unit}\n{name} {count}\n");
            }
        }
        text
    }

    /// Both figures of each part, and how far it moved.
    pub(crate) fn table(&self, counted: &Self) -> String {
        let mut table = format!("{:14}{:>12}{:>12}{:>10}\n", "part", "stored", "counted", "change");
        for (name, stored, counted) in self.beside(counted) {
            let figure =
                |count: Option<u64>| count.map_or("–".to_owned(), |count| count.to_string());
            let change = match (stored, counted) {
                (Some(stored), Some(counted)) => {
                    format!("{:+.1} %", 100.0 * (counted as f64 / stored as f64 - 1.0))
                }
                _ => String::new(),
            };
            let (stored, counted) = (figure(stored), figure(counted));
            let _ = writeln!(table, "{name:14}{stored:>12}{counted:>12}{change:>10}");
        }
        table
    }

    /// What has moved further than it may, a line for each part. One that needs less is told too: a
    /// figure that is too high would let the next one that needs more pass.
    pub(crate) fn moved(&self, counted: &Self) -> Vec<String> {
        let moved = self.beside(counted).filter_map(|(name, stored, counted)| {
            let why = match (stored, counted) {
                (Some(stored), Some(counted)) => {
                    let (was, is) = (u128::from(stored) * 100, u128::from(counted) * 100);
                    let slack = u128::from(stored) * SLACK;
                    match () {
                        () if is > was + slack => "needs more instructions than it may",
                        () if is + slack < was => "needs less: its figure guards nothing any more",
                        () => return None,
                    }
                }
                (None, _) => "has no figure",
                (_, None) => "has a figure and is not counted",
            };
            Some(format!("{name} {why}"))
        });
        moved.collect()
    }

    /// What to do about parts that moved.
    pub(crate) fn advice(&self, counted: &Self, folder: &str) -> String {
        let (was, is) = (self.compilers.join(", "), counted.compilers.join(", "));
        let built = if was == is {
            format!("Both were counted with {is}.")
        } else {
            format!(
                "The figures were counted with {was}; this is {is}, which alone may have moved \
                 them."
            )
        };
        format!(
            "{built}\nWhere they go: callgrind_annotate {folder}/PART.TIMES.callgrind. If the \
             change is meant, write the figures anew with `make instructions RENEW=1` and say why \
             in the commit."
        )
    }

    /// Every part of either, with the figure of each.
    fn beside<'a>(
        &'a self,
        other: &'a Self,
    ) -> impl Iterator<Item = (&'a str, Option<u64>, Option<u64>)> {
        let names: BTreeSet<_> = self.counts.keys().chain(other.counts.keys()).collect();
        names.into_iter().map(|name| {
            let of = |figures: &Self| figures.counts.get(name).copied();
            (name.as_str(), of(self), of(other))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(counts: &[(&str, u64)]) -> Figures {
        let counts = counts.iter().map(|&(name, count)| (name.to_owned(), count)).collect();
        Figures { compilers: vec!["rustc 1".to_owned(), "cc 2".to_owned()], counts }
    }

    #[test]
    fn a_part_may_move_by_five_hundredths_either_way_and_no_further() {
        let stored = figures(&[("a", 1_000)]);
        for (counted, words) in [
            (1_000, None),
            (1_050, None),
            (1_051, Some("a needs more")),
            (2_000, Some("a needs more")),
            (950, None),
            (949, Some("a needs less")),
            (u64::MAX, Some("a needs more")),
        ] {
            let moved = stored.moved(&figures(&[("a", counted)]));
            match words {
                None => assert_eq!(moved, Vec::<String>::new(), "{counted}"),
                Some(words) => {
                    assert!(moved.len() == 1 && moved[0].starts_with(words), "{moved:?}");
                }
            }
        }
    }

    #[test]
    fn a_part_without_a_figure_and_a_figure_without_a_part_are_told() {
        let moved = figures(&[("a", 5), ("old", 5)]).moved(&figures(&[("a", 5), ("new", 5)]));
        assert_eq!(moved, ["new has no figure", "old has a figure and is not counted"]);
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let written = figures(&[("a", 17), ("b", 4_000_000_000)]);
        let text = written.text([("b", "one b"), ("a", "one a"), ("c", "no c")].into_iter());
        assert!(text.contains("\n# one b\nb 4000000000\n\n# one a\na 17\n"), "{text}");
        assert_eq!(Figures::parse(&text), Ok(written));
    }

    #[test]
    fn a_broken_file_is_refused_with_its_line() {
        for (text, line) in [
            ("a\n", 1),
            ("# fine\n\na 1\nb two\n", 4),
            ("a 0\n", 1),
            ("a -1\n", 1),
            ("a 1\na 2\n", 2),
        ] {
            let error = Figures::parse(text).unwrap_err();
            assert!(error.starts_with(&format!("line {line} ")), "{text:?}: {error}");
        }
    }

    #[test]
    fn another_compiler_is_named_beside_the_one_that_counted() {
        let (stored, mut counted) = (figures(&[("a", 100)]), figures(&[("a", 107)]));
        assert!(stored.table(&counted).contains("+7.0 %"), "{}", stored.table(&counted));
        assert!(stored.advice(&counted, "f").starts_with("Both were counted with rustc 1, cc 2."));
        counted.compilers[0] = "rustc 9".to_owned();
        let advice = stored.advice(&counted, "f");
        assert!(advice.contains("with rustc 1, cc 2; this is rustc 9, cc 2"), "{advice}");
    }
}
