//! From verdicts to actions, and the queue of what people are to look at.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use candor::{Label, MediaKind, Verdict};
use serde::{Deserialize, Serialize};

use crate::escape::cell;

/// What a platform does with an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Action {
    /// Spread it as it is.
    Pass,
    /// Spread it with a label.
    Label,
    /// Have somebody look at it.
    Review,
    /// Hold it back.
    Block,
}

/// A policy file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Policy {
    /// For kinds of media without a table of their own.
    #[serde(default)]
    default: Table,
    image: Option<Table>,
    audio: Option<Table>,
    text: Option<Table>,
    #[serde(default)]
    costs: Costs,
    #[serde(default)]
    review: Review,
}

/// An action for each label.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Table {
    ai_generated: Action,
    suspected: Action,
    inconclusive: Action,
    no_sign: Action,
    error: Action,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            ai_generated: Action::Label,
            suspected: Action::Review,
            inconclusive: Action::Pass,
            no_sign: Action::Pass,
            error: Action::Review,
        }
    }
}

/// What mistakes cost, in any unit.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Costs {
    /// Machine-made content that is spread without a label.
    missed: f64,
    /// Genuine content that is called machine-made.
    false_alarm: f64,
}

impl Default for Costs {
    fn default() -> Self {
        Self { missed: 1.0, false_alarm: 5.0 }
    }
}

/// What the people who review can do.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Review {
    /// Items a day; 0 for no limit.
    capacity: usize,
}

/// One thing to look at.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct QueueItem {
    rank: usize,
    /// Working day on which it is reached, from 1.
    day: usize,
    path: String,
    label: Label,
    confidence: Option<f64>,
    /// What deciding without a look is expected to cost.
    expected_cost: f64,
    reason: String,
}

impl QueueItem {
    /// As a row of a spreadsheet.
    pub(super) fn row(&self) -> [String; 7] {
        [
            self.rank.to_string(),
            self.day.to_string(),
            cell(&self.path).into_owned(),
            self.label.to_string(),
            self.confidence.map(|c| c.to_string()).unwrap_or_default(),
            self.expected_cost.to_string(),
            cell(&self.reason).into_owned(),
        ]
    }
}

impl Policy {
    /// Reads a policy.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let name = candor::path_text(path);
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
        let policy: Self = toml::from_str(&text).with_context(|| format!("{name} is no policy"))?;
        let costs = [policy.costs.missed, policy.costs.false_alarm];
        anyhow::ensure!(
            costs.iter().all(|c| c.is_finite() && *c >= 0.0),
            "{name}: costs must be numbers from 0 up"
        );
        Ok(policy)
    }

    /// What to do with a file.
    pub(super) fn action(&self, verdict: &Verdict) -> Action {
        let own = match verdict.media.as_ref().map(candor::MediaFacts::kind) {
            Some(MediaKind::Image) => self.image.as_ref(),
            Some(MediaKind::Audio) => self.audio.as_ref(),
            Some(MediaKind::Text) => self.text.as_ref(),
            None => None,
        };
        let table = own.unwrap_or(&self.default);
        match verdict.label {
            Label::AiGenerated => table.ai_generated,
            Label::Suspected => table.suspected,
            Label::Inconclusive => table.inconclusive,
            Label::NoSign => table.no_sign,
            Label::Error => table.error,
        }
    }

    /// Expected cost of the better of the two decisions that can be made without a look: spread or accuse. Without a
    /// probability it is the prior's.
    fn expected_cost(&self, verdict: &Verdict) -> f64 {
        let p = verdict.confidence.unwrap_or(verdict.prior);
        (p * self.costs.missed).min((1.0 - p) * self.costs.false_alarm)
    }

    /// What to look at, the costliest first; ties in the order of the paths.
    pub(super) fn queue<'a>(&self, verdicts: impl Iterator<Item = &'a Verdict>) -> Vec<QueueItem> {
        let mut items: Vec<QueueItem> = verdicts
            .map(|v| QueueItem {
                rank: 0,
                day: 1,
                path: v.path.clone(),
                label: v.label,
                confidence: v.confidence,
                expected_cost: self.expected_cost(v),
                reason: match (&v.error, v.reasons.first()) {
                    (Some(error), _) => error.message.clone(),
                    (None, Some(reason)) => reason.text.clone(),
                    (None, None) => String::new(),
                },
            })
            .collect();
        items.sort_by(|a, b| b.expected_cost.total_cmp(&a.expected_cost).then_with(|| a.path.cmp(&b.path)));
        for (i, item) in items.iter_mut().enumerate() {
            item.rank = i + 1;
            item.day = i.checked_div(self.review.capacity).map_or(1, |day| day + 1);
        }
        items
    }
}

/// For instance `1 block, 20 label, 3 pass`; empty without a policy.
pub(super) fn summary(actions: &BTreeMap<Action, u64>) -> String {
    let mut counts: Vec<_> = actions.iter().collect();
    counts.sort_by_key(|(action, _)| Reverse(**action));
    let name = |action: &Action| match action {
        Action::Pass => "pass",
        Action::Label => "label",
        Action::Review => "review",
        Action::Block => "block",
    };
    counts.iter().map(|(action, n)| format!("{n} {}", name(action))).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::verdicts;

    #[test]
    fn tables_of_a_kind_come_before_the_default() {
        let policy: Policy = toml::from_str(
            "[default]\nerror = \"pass\"\n[image]\nsuspected = \"block\"\n[review]\ncapacity = 1\n",
        )
        .unwrap();
        let actions: Vec<Action> = verdicts().iter().map(|v| policy.action(v)).collect();
        assert_eq!(actions, [Action::Block, Action::Pass, Action::Pass, Action::Pass]);
        assert!(toml::from_str::<Policy>("[default]\nsuspect = \"block\"\n").is_err());
        assert!(toml::from_str::<Policy>("[default]\nsuspected = \"delete\"\n").is_err());
    }

    #[test]
    fn the_queue_begins_with_what_a_mistake_would_cost_most() {
        let policy: Policy =
            toml::from_str("[costs]\nmissed = 1.0\nfalse-alarm = 1.0\n[review]\ncapacity = 2\n").unwrap();
        let mut all = verdicts();
        all[0].confidence = Some(0.9);
        all[2].confidence = Some(0.4);
        let queue = policy.queue(all.iter());
        let seen: Vec<(usize, usize, f64)> =
            queue.iter().map(|q| (q.rank, q.day, (q.expected_cost * 100.0).round() / 100.0)).collect();
        assert_eq!(seen, [(1, 1, 0.5), (2, 1, 0.5), (3, 2, 0.4), (4, 2, 0.1)]);
        assert_eq!(queue[2].path, "b.png");
    }
}
