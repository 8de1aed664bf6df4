//! What a shadow is worth: the shortage it is expected to prevent, priced as an allocation's is, against what it holds.
//!
//! `saves = price * n * (P(peak > limit) - P(peak > limit | shifted))`, in millicores while the peak of the next 30 min
//! lasts: `price` is the policy's price of a VM that runs short, `n` the VMs of the host that ask for more than an equal
//! share of it (the rest are served in full by max-min fairness). The two risks are read from the host's forecast as it is
//! and as it would be. `costs` = the CPU the shadow holds while it idles, for as long. That it idles before the peak is not
//! counted: a shadow that is not needed is suspended after `shadow_idle_ticks`.

use foreshade_types::Worth;

use crate::{Bound, HostView, PlanInput, Policy, VmView};

impl Bound {
    /// The chance that the value exceeds `limit`, thousandths: straight between the quantiles, exponential above q90's
    /// decade as in [`Bound::priced`], straight to certainty at 0 below the median. Never rises with `limit`.
    pub fn risk_permille(&self, limit: u64) -> u64 {
        let knots = [(self.q50, 500), (self.q90, 100), (self.q95, 50), (self.q99, 10)];
        let between =
            |(a, ra): (u64, u64), (b, rb): (u64, u64)| ra - (ra - rb) * (limit - a) / (b - a).max(1);
        if limit < self.q50 {
            return between((0, 1000), knots[0]);
        }
        if limit >= self.q99 {
            let tau = self.q99.saturating_sub(self.q90) as f64 / std::f64::consts::LN_10;
            let tail = if tau > 0.0 { 10.0 * (-((limit - self.q99) as f64) / tau).exp() } else { 0.0 };
            return tail.round() as u64;
        }
        knots.windows(2).find(|w| limit < w[1].0).map_or(0, |w| between(w[0], w[1]))
    }
}

impl Policy {
    /// What a shadow of a VM on `h` is worth if it turns the host's peak into `after` and holds `costs` millicores.
    pub fn shadow_worth(&self, input: &PlanInput<'_>, h: &HostView, after: &Bound, costs: u64) -> Worth {
        let limit = self.host_limit(h);
        let less = h.peak.risk_permille(limit).saturating_sub(after.risk_permille(limit));
        let on_host = || input.vms.iter().filter(|v| v.host == h.id && !v.stopped);
        let equal_share = h.cpu.0 / on_host().count().max(1) as u64;
        let short = |v: &&VmView| v.cpu.peak.q95 > equal_share;
        let n = on_host().filter(short).count().max(1) as u64;
        let saves = self.contention_price_millicores * n * less / 1000;
        Worth::from_millicores(saves, costs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const B: Bound = Bound { q50: 100, q90: 200, q95: 250, q99: 300 };

    #[test]
    fn the_risk_is_that_of_the_quantiles_and_never_rises() {
        let at = |limit| B.risk_permille(limit);
        assert_eq!(
            [at(0), at(50), at(100), at(150), at(200), at(225), at(250), at(300)],
            [1000, 750, 500, 300, 100, 75, 50, 10]
        );
        // One decade above q99 lies as far from it as q99 from q90.
        assert_eq!([at(400), at(500)], [1, 0]);
        for limit in 0..600 {
            assert!(at(limit + 1) <= at(limit), "{limit}");
        }
    }

    #[test]
    fn a_sure_value_has_no_tail() {
        let sure = Bound { q50: 100, q90: 100, q95: 100, q99: 100 };
        assert_eq!([sure.risk_permille(99), sure.risk_permille(100), sure.risk_permille(101)], [505, 0, 0]);
        assert_eq!(Bound::default().risk_permille(0), 0);
    }
}
