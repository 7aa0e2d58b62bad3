//! Scores of another system on the same items.

use std::{collections::HashMap, fs::File, path::Path};

use candor_metrics::Scored;

use crate::{Error, Result, data::Item};

/// What a high score of the other system means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Higher {
    /// Machine-made, as here.
    #[default]
    Ai,
    /// Genuine, as in `ASVspoof`: signs are changed.
    Genuine,
}

/// Names of the columns that name an item.
const NAMES: [&str; 6] = ["path", "file", "filename", "name", "id", "image"];

/// Reads a CSV file with a header, a column `score` and a column that names the item: `path`, `file`, `filename`,
/// `name`, `id` or `image`. The order is that of the file.
///
/// # Errors
/// Names the file and the line.
pub fn read_scores(path: &Path, higher: Higher) -> Result<Vec<(String, f64)>> {
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    parse_scores(path, file, higher)
}

fn parse_scores(path: &Path, read: impl std::io::Read, higher: Higher) -> Result<Vec<(String, f64)>> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(read);
    let wrong = |e: &csv::Error| {
        let line = e.position().map_or(1, csv::Position::line);
        Error::row(path, line, e.to_string())
    };
    let header = reader.headers().map_err(|e| wrong(&e))?.clone();
    let column = |names: &[&str]| {
        header
            .iter()
            .position(|h| names.iter().any(|n| n.eq_ignore_ascii_case(h.trim_start_matches('\u{feff}'))))
    };
    let (Some(name), Some(score)) = (column(&NAMES), column(&["score"])) else {
        let found = header.iter().collect::<Vec<_>>().join(", ");
        let needed = NAMES.join(", ");
        return Err(Error::row(
            path,
            1,
            format!("columns {found}; needed are \"score\" and one of {needed}"),
        ));
    };
    let mut scores = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|e| wrong(&e))?;
        let line = record.position().map_or(0, csv::Position::line);
        let cell = record.get(score).unwrap_or_default();
        let value = cell.parse::<f64>().ok().filter(|v| v.is_finite());
        let value = value
            .ok_or_else(|| Error::row(path, line, format!("score \"{cell}\" is not a finite number")))?;
        let value = if higher == Higher::Genuine { -value } else { value };
        scores.push((record.get(name).unwrap_or_default().to_owned(), value));
    }
    Ok(scores)
}

/// Scores brought together with items.
#[derive(Debug, Clone, PartialEq)]
pub struct Matched {
    /// The items that have a score, in the order of the items.
    pub scored: Vec<Scored>,
    /// Names of the items without one.
    pub items_unmatched: Vec<String>,
    /// Names of the scores that no item took, ambiguous ones among them.
    pub scores_unmatched: Vec<String>,
}

/// Brings scores together with items: by equal name, else by the longest common end of the path, folder by folder,
/// which must be one item's alone. The ending of a file may be missing in the scores. A second score for an item stays
/// unmatched.
pub fn match_scores(scores: &[(String, f64)], items: &[Item]) -> Matched {
    let mut by_name: HashMap<&str, usize> = HashMap::new();
    let mut by_end: HashMap<&str, Vec<usize>> = HashMap::new();
    for (i, item) in items.iter().enumerate() {
        by_name.entry(&item.name).or_insert(i);
        let last = item.name.rsplit('/').next().unwrap_or(&item.name);
        for end in [Some(last), last.rsplit_once('.').map(|l| l.0)].into_iter().flatten() {
            by_end.entry(end).or_default().push(i);
        }
    }
    let find = |name: &str| -> Option<usize> {
        let name = name.replace('\\', "/");
        if let Some(&i) = by_name.get(name.as_str()) {
            return Some(i);
        }
        // How many folders before the last part agree.
        let common = |i: &usize| {
            let own = items.get(*i).map(|i| i.name.rsplit('/').skip(1)).into_iter().flatten();
            name.rsplit('/').skip(1).zip(own).take_while(|(a, b)| a == b).count()
        };
        let candidates = by_end.get(name.rsplit('/').next()?)?;
        let most = candidates.iter().map(common).max()?;
        let mut best = candidates.iter().filter(|i| common(i) == most);
        let first = best.next().copied();
        if best.next().is_some() { None } else { first }
    };
    let mut taken: Vec<Option<f64>> = vec![None; items.len()];
    let mut scores_unmatched = Vec::new();
    for (name, score) in scores {
        match find(name).and_then(|i| taken.get_mut(i)) {
            Some(place @ None) => *place = Some(*score),
            _ => scores_unmatched.push(name.clone()),
        }
    }
    let mut matched = Matched { scored: Vec::new(), items_unmatched: Vec::new(), scores_unmatched };
    for (item, score) in items.iter().zip(taken) {
        match score {
            Some(score) => matched.scored.push(item.scored(score)),
            None => matched.items_unmatched.push(item.name.clone()),
        }
    }
    matched
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Label;
    use proptest::prelude::*;

    fn parse(text: &str, higher: Higher) -> Result<Vec<(String, f64)>> {
        parse_scores(Path::new("s.csv"), std::io::Cursor::new(text.as_bytes().to_vec()), higher)
    }

    fn item(name: &str) -> Item {
        Item {
            name: name.into(),
            path: name.into(),
            label: Label::Genuine,
            group: "g".into(),
            generator: None,
            split: None,
            text: None,
            columns: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn reads_scores_either_way_round() {
        let text = "\u{feff}path, score\na.png, 0.5\nb.png,-1e1\n";
        assert_eq!(parse(text, Higher::Ai).unwrap(), [("a.png".into(), 0.5), ("b.png".into(), -10.0)]);
        assert_eq!(parse(text, Higher::Genuine).unwrap()[1].1, 10.0);
        assert!(parse("path,score\na,x\n", Higher::Ai).unwrap_err().to_string().contains("s.csv, line 2"));
        assert!(parse("path,score\na,NaN\n", Higher::Ai).is_err());
        assert!(parse("a,b\n", Higher::Ai).unwrap_err().to_string().contains("score"));
    }

    #[test]
    fn matches_by_name_and_by_end() {
        let items = ["real/1.png", "fake/1.png", "fake/2.png", "fake/3.png"].map(item);
        let scores: Vec<(String, f64)> = [
            ("real/1.png", 1.0),
            ("/data/set/fake/1.png", 2.0),
            ("2", 3.0),
            ("1.png", 4.0),
            ("x.png", 5.0),
            ("2.png", 6.0),
        ]
        .map(|(n, s)| (n.to_owned(), s))
        .into();
        let m = match_scores(&scores, &items);
        assert_eq!(m.scored.iter().map(|s| s.score).collect::<Vec<_>>(), [1.0, 2.0, 3.0]);
        assert_eq!(m.items_unmatched, ["fake/3.png"]);
        assert_eq!(m.scores_unmatched, ["1.png", "x.png", "2.png"]);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_scores(Path::new("s.csv"), bytes.as_slice(), Higher::Ai);
            let mut with_header = b"path,score\n".to_vec();
            with_header.extend(&bytes);
            let _ = parse_scores(Path::new("s.csv"), with_header.as_slice(), Higher::Genuine);
        }
    }
}
