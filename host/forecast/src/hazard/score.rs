//! How good probabilities are: ranking, calibration, skill.

/// One judged answer: probability, outcome, how many cases it stands for.
pub type Judged = (f64, bool, f64);

/// Groups of equal weight in which probabilities are compared with frequencies.
const BINS: usize = 10;

/// One group of the reliability curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bin {
    /// Mean probability.
    pub said: f64,
    /// Share of failures.
    pub seen: f64,
    /// Cases.
    pub weight: f64,
}

/// The figures of one horizon.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// Rows.
    pub rows: usize,
    /// Rows with a failure.
    pub failures: usize,
    /// Share of failures, weighted.
    pub base_rate: f64,
    /// P(a case that fails has the higher probability); ties count half. 0.5 is chance.
    pub auc: f64,
    /// Mean squared error of the probability (Brier, 1950).
    pub brier: f64,
    /// 1 - Brier / Brier of always saying `base_rate`, the share of this very sample.
    pub skill: f64,
    /// Expected calibration error: mean of |said - seen| over the bins.
    pub ece: f64,
    /// Mean probability / share of failures.
    pub said_over_seen: f64,
    /// Ten groups of equal weight by probability, lowest first.
    pub curve: Vec<Bin>,
}

/// Scores answers; `None` unless there are both kinds of outcome.
pub fn score(mut cases: Vec<Judged>) -> Option<Score> {
    cases.retain(|c| c.0.is_finite() && c.2 > 0.0);
    let failures = cases.iter().filter(|c| c.1).count();
    if failures == 0 || failures == cases.len() {
        return None;
    }
    cases.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total: f64 = cases.iter().map(|c| c.2).sum();
    let mean = |of: &dyn Fn(&Judged) -> f64| cases.iter().map(|c| c.2 * of(c)).sum::<f64>() / total;
    let outcome = |c: &Judged| f64::from(u8::from(c.1));
    let (base_rate, said) = (mean(&outcome), mean(&|c| c.0));
    let brier = mean(&|c| (c.0 - outcome(c)).powi(2));
    let curve = curve(&cases, total);
    Some(Score {
        rows: cases.len(),
        failures,
        base_rate,
        auc: auc(&cases),
        brier,
        skill: 1.0 - brier / (base_rate * (1.0 - base_rate)),
        ece: curve.iter().map(|b| b.weight / total * (b.said - b.seen).abs()).sum(),
        said_over_seen: said / base_rate,
        curve,
    })
}

/// Area under the ROC curve of cases sorted by probability (Mann-Whitney statistic).
fn auc(sorted: &[Judged]) -> f64 {
    let (mut below, mut pairs, mut yes_all) = (0.0, 0.0, 0.0);
    for tie in sorted.chunk_by(|a, b| a.0 == b.0) {
        let of = |outcome: bool| tie.iter().filter(|c| c.1 == outcome).map(|c| c.2).sum::<f64>();
        let (yes, no) = (of(true), of(false));
        pairs += yes * (below + 0.5 * no);
        below += no;
        yes_all += yes;
    }
    pairs / (yes_all * below)
}

fn curve(sorted: &[Judged], total: f64) -> Vec<Bin> {
    let mut bins = vec![Bin { said: 0.0, seen: 0.0, weight: 0.0 }; BINS];
    let mut before = 0.0;
    // Equal answers share a bin: their order is chance.
    for tie in sorted.chunk_by(|a, b| a.0 == b.0) {
        let weight: f64 = tie.iter().map(|c| c.2).sum();
        let middle = (before + 0.5 * weight) / total;
        let bin = &mut bins[((middle * BINS as f64) as usize).min(BINS - 1)];
        for (p, y, w) in tie {
            bin.said += w * p;
            bin.seen += if *y { *w } else { 0.0 };
            bin.weight += w;
        }
        before += weight;
    }
    bins.retain(|b| b.weight > 0.0);
    bins.iter_mut().for_each(|b| (b.said, b.seen) = (b.said / b.weight, b.seen / b.weight));
    bins
}

/// What warnings would have been worth: a warning stands while the probability is at or over a threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Warnings {
    /// Share of host-hours under warning.
    pub share: f64,
    /// Share of the failures that a warning stood before.
    pub caught: f64,
    /// Quartiles of the seconds from the start of the warning to the failure, of failures that were caught.
    pub lead_s: [i64; 3],
    /// Failures judged.
    pub failures: usize,
}

/// Follows hosts over a grid of instants and remembers since when each is under warning.
#[derive(Debug, Clone)]
pub struct WarningLog {
    threshold: f64,
    grid_s: i64,
    /// Per host: since when under warning, and when it was last looked at.
    since_s: Vec<Option<(i64, i64)>>,
    rows: u64,
    warned: u64,
    missed: usize,
    leads_s: Vec<i64>,
}

impl WarningLog {
    /// Warnings at `threshold` on a grid of `grid_s`.
    pub fn new(hosts: usize, threshold: f64, grid_s: i64) -> Self {
        Self { threshold, grid_s, since_s: vec![None; hosts], rows: 0, warned: 0, missed: 0, leads_s: vec![] }
    }

    /// The answer for a host at an instant and the time to its next failure. A failure is judged at the last instant
    /// before it; a warning that was interrupted starts anew.
    pub fn see(&mut self, host: usize, at_s: i64, probability: f64, fails_in_s: i64) {
        let Some(since) = self.since_s.get_mut(host) else { return };
        self.rows += 1;
        if probability >= self.threshold {
            self.warned += 1;
            let goes_on = since.filter(|(_, last)| at_s - last <= self.grid_s);
            *since = Some((goes_on.map_or(at_s, |(start, _)| start), at_s));
        } else {
            *since = None;
        }
        if fails_in_s <= self.grid_s {
            match since {
                Some((start, _)) => self.leads_s.push(at_s + fails_in_s - *start),
                None => self.missed += 1,
            }
        }
    }

    /// The result.
    pub fn result(mut self) -> Warnings {
        self.leads_s.sort_unstable();
        let n = self.leads_s.len();
        let quartile = |q: usize| self.leads_s.get(n * q / 4).copied().unwrap_or(0);
        Warnings {
            share: self.warned as f64 / self.rows.max(1) as f64,
            caught: n as f64 / (n + self.missed).max(1) as f64,
            lead_s: [quartile(1), quartile(2), quartile(3)],
            failures: n + self.missed,
        }
    }
}

/// The probability that the given share of the weight reaches or exceeds.
pub fn threshold(mut cases: Vec<Judged>, share: f64) -> f64 {
    cases.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut left = share * cases.iter().map(|c| c.2).sum::<f64>();
    for (p, _, weight) in cases {
        left -= weight;
        if left <= 0.0 {
            return p;
        }
    }
    1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_table_by_hand() {
        // Four pairs of which three are in order and one is a tie.
        let cases = vec![(0.9, true, 1.0), (0.4, true, 1.0), (0.4, false, 1.0), (0.1, false, 1.0)];
        let s = score(cases).unwrap();
        assert_eq!((s.rows, s.failures, s.base_rate), (4, 2, 0.5));
        assert!((s.auc - 3.5 / 4.0).abs() < 1e-12, "{s:?}");
        let brier = (0.01 + 0.36 + 0.16 + 0.01) / 4.0;
        assert!((s.brier - brier).abs() < 1e-12 && (s.skill - (1.0 - brier / 0.25)).abs() < 1e-12, "{s:?}");
        // Bins: 0.1 alone, both 0.4 together, 0.9 alone.
        assert!((s.ece - (0.25 * 0.1 + 0.5 * 0.1 + 0.25 * 0.1)).abs() < 1e-12, "{s:?}");
        // A row of weight 2 is two rows.
        let twice =
            score(vec![(0.9, true, 2.0), (0.4, true, 1.0), (0.4, false, 2.0), (0.1, false, 1.0)]).unwrap();
        assert!((twice.auc - (2.0 * 3.0 + 1.0 * (1.0 + 1.0)) / 9.0).abs() < 1e-12, "{twice:?}");
        assert_eq!(score(vec![(0.5, true, 1.0)]), None);
    }

    #[test]
    fn a_warning_leads_from_its_start_and_an_interrupted_one_starts_anew() {
        let mut log = WarningLog::new(2, 0.5, 3600);
        for (hour, p) in [(0, 0.9), (1, 0.6), (2, 0.1), (3, 0.7), (4, 0.8)] {
            log.see(0, hour * 3600, p, if hour == 4 { 600 } else { 1 << 40 });
        }
        log.see(1, 0, 0.2, 60);
        let w = log.result();
        assert_eq!((w.failures, w.caught, w.lead_s[1]), (2, 0.5, 4200));
        assert!((w.share - 4.0 / 6.0).abs() < 1e-12);
        assert_eq!(threshold(vec![(0.1, false, 8.0), (0.7, true, 1.0), (0.4, false, 1.0)], 0.2), 0.4);
    }
}
