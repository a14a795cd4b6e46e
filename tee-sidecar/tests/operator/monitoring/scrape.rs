//! A page of `/metrics`, taken apart line by line.

use std::collections::BTreeMap;

/// What one scrape told.
pub(super) struct Scrape {
    pub(super) text: String,
    /// The type of each family.
    families: BTreeMap<String, String>,
    samples: BTreeMap<String, f64>,
}

impl Scrape {
    /// Reads OpenMetrics text, and fails where it is none: a sample without its family's help and
    /// type, one that is there twice, a name against the conventions.
    pub(super) fn read(text: &str) -> Self {
        let (mut families, mut helped) = (BTreeMap::new(), Vec::new());
        let mut samples = BTreeMap::new();
        let body = text.strip_suffix("# EOF\n").expect("an end mark");
        for line in body.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, words) = help.split_once(' ').unwrap();
                assert!(words.len() > 5, "{line}");
                helped.push(name.to_owned());
            } else if let Some(of) = line.strip_prefix("# TYPE ") {
                let (name, kind) = of.split_once(' ').unwrap();
                assert_eq!(helped.last().map(String::as_str), Some(name), "no help: {line}");
                let again = families.insert(name.to_owned(), kind.to_owned());
                assert_eq!(again, None, "twice: {line}");
            } else {
                let (sample, value) = line.rsplit_once(' ').unwrap();
                let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
                assert!(samples.insert(sample.to_owned(), value).is_none(), "twice: {line}");
            }
        }
        let told = Self { text: text.to_owned(), families, samples };
        for sample in told.samples.keys() {
            let name = sample.split('{').next().unwrap();
            let family = told.family_of(name).unwrap_or_else(|| panic!("no family: {sample}"));
            let is_ours = family.starts_with("tee_sidecar_") || family.starts_with("process_");
            assert!(is_ours && !family.ends_with("_total"), "{family}");
            for unit in ["millis", "_ms", "_mb", "_kb", "minutes", "percent"] {
                assert!(!family.contains(unit), "a base unit: {family}");
            }
        }
        told
    }

    /// The value of one sample, written as the page has it.
    pub(super) fn value(&self, sample: &str) -> f64 {
        let value = self.samples.get(sample);
        *value.unwrap_or_else(|| panic!("no {sample} in:\n{}", self.text))
    }

    /// Whether a sample has this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.samples.keys().any(|sample| sample.split('{').next() == Some(name))
    }

    /// The names of all families.
    pub(super) fn families(&self) -> impl Iterator<Item = &str> {
        self.families.keys().map(String::as_str)
    }

    /// The family that samples of this name belong to.
    pub(super) fn family_of(&self, sample: &str) -> Option<&str> {
        let endings: [(&str, &[&str]); 4] = [
            ("counter", &["_total"]),
            ("histogram", &["_bucket", "_sum", "_count"]),
            ("info", &["_info"]),
            ("gauge", &[""]),
        ];
        self.families.iter().find_map(|(family, kind)| {
            let of_kind = endings.iter().find(|(name, _)| name == kind);
            let (_, endings) = of_kind.unwrap_or_else(|| panic!("{family} is a {kind}"));
            let rest = sample.strip_prefix(family.as_str())?;
            endings.contains(&rest).then_some(family.as_str())
        })
    }

    /// The names of all labels.
    pub(super) fn labels(&self) -> impl Iterator<Item = &str> {
        let with_labels = self.samples.keys().filter_map(|sample| sample.split_once('{'));
        with_labels.flat_map(|(_, labels)| {
            let pairs = labels.trim_end_matches('}').split("\",");
            pairs.map(|pair| pair.split('=').next().unwrap())
        })
    }
}
