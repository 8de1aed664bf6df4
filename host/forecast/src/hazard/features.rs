//! What the recurrence model looks at, and which reason each number belongs to.
//!
//! Failures of a host cluster in time and in space: the hazard falls with the time since the last failure (Schroeder
//! and Gibson, "A large-scale study of failures in high-performance computing systems", DSN 2006, sections 4 and 5: a
//! Weibull distribution of the times between failures with shape 0.7 to 0.8), and hosts of one cluster fail together
//! (Kondo et al., "The Failure Trace Archive", CCGrid 2010).

use super::decay::HALF_LIVES_S;
use super::explain::Topic;
use super::state::{GroupState, HostState};
use super::{DAY_S, HOUR_S, WEEK_S};

/// Numbers per host.
pub const N: usize = 45;

/// Of which layout: a model file of another one is refused.
pub const LAYOUT: &str = "recurrence/1";

/// A count that is small enough to be as good as none: five half-lives after one failure.
const OWN_SCALE: f64 = 0.02;
/// The same for failures per other host of the rack, and of the site.
const RACK_SCALE: f64 = 0.01;
const SITE_SCALE: f64 = 0.001;
/// Failures a week below which rates are not told apart.
const RATE_FLOOR_PER_WEEK: f64 = 1e-3;
/// Seconds of the site's mean rate that a host starts with.
const PRIOR_S: f64 = 30.0 * DAY_S as f64;

/// Name and reason of each number.
pub const FEATURES: [(&str, Topic); N] = {
    use Topic::{Age, Calendar, OwnFailures, Quiet, Rack, Site, Uptime};
    [
        ("own_count_10m", OwnFailures),
        ("own_count_1h", OwnFailures),
        ("own_count_6h", OwnFailures),
        ("own_count_1d", OwnFailures),
        ("own_count_7d", OwnFailures),
        ("own_count_30d", OwnFailures),
        ("own_count_180d", OwnFailures),
        ("since_failure", Quiet),
        ("since_failure_over_1d", Quiet),
        ("since_failure_over_7d", Quiet),
        ("never_failed", Quiet),
        ("up_for", Uptime),
        ("up_for_over_1h", Uptime),
        ("up_for_over_1d", Uptime),
        ("own_rate", OwnFailures),
        ("age", Age),
        ("last_outage", Uptime),
        ("run_longer_than_usual", Uptime),
        ("run_shorter_than_usual", Uptime),
        ("rack_count_10m", Rack),
        ("rack_count_1h", Rack),
        ("rack_count_6h", Rack),
        ("rack_count_1d", Rack),
        ("rack_count_7d", Rack),
        ("rack_count_30d", Rack),
        ("rack_count_180d", Rack),
        ("rack_down", Rack),
        ("site_count_10m", Site),
        ("site_count_1h", Site),
        ("site_count_6h", Site),
        ("site_count_1d", Site),
        ("site_count_7d", Site),
        ("site_count_30d", Site),
        ("site_count_180d", Site),
        ("site_rate_30d", Site),
        ("site_rate_180d", Site),
        ("site_down", Site),
        ("day_sin_1", Calendar),
        ("day_cos_1", Calendar),
        ("day_sin_2", Calendar),
        ("day_cos_2", Calendar),
        ("week_sin_1", Calendar),
        ("week_cos_1", Calendar),
        ("week_sin_2", Calendar),
        ("week_cos_2", Calendar),
    ]
};

/// ln(1 + hours).
pub(super) fn log_hours(seconds: i64) -> f64 {
    (seconds.max(0) as f64 / HOUR_S as f64).ln_1p()
}

/// Fills the vector from the front.
struct Fill<'a> {
    out: &'a mut [f64; N],
    at: usize,
}

impl Fill<'_> {
    fn put(&mut self, value: f64) {
        self.out[self.at] = value;
        self.at += 1;
    }

    fn put_all(&mut self, values: impl IntoIterator<Item = f64>) {
        values.into_iter().for_each(|v| self.put(v));
    }
}

/// The features of a host that is up, as of `now_s`.
pub fn recurrence(host: &HostState, rack: &GroupState, site: &GroupState, now_s: i64) -> [f64; N] {
    let mut out = [0.0; N];
    let mut fill = Fill { out: &mut out, at: 0 };
    let now_s = host.at(now_s);
    let own = host.counts_at(now_s);
    fill.put_all(own.counts().map(|c| (c / OWN_SCALE).ln_1p()));
    quiet(&mut fill, host, now_s);
    uptime(&mut fill, host, now_s);
    let site_s = site.at(now_s).saturating_sub(site.since_s) as f64;
    let site_counts = site.counts_at(site.at(now_s));
    let per_host = |i| site_counts.rate(i, site_s) / f64::from(site.hosts.max(1));
    let age_s = host.age_s(now_s) as f64;
    let own_rate = (f64::from(host.failures) + per_host(6) * PRIOR_S) / (age_s + PRIOR_S);
    fill.put(log_rate(own_rate));
    fill.put((age_s / PRIOR_S).ln_1p());
    runs(&mut fill, host, now_s);
    for (group, scale, rates) in [(rack, RACK_SCALE, false), (site, SITE_SCALE, true)] {
        let others = f64::from(group.hosts.saturating_sub(1).max(1));
        let rest = group.counts_at(group.at(now_s)).without(&own);
        fill.put_all(rest.map(|c| (c / others / scale).ln_1p()));
        if rates {
            fill.put_all([log_rate(per_host(5)), log_rate(per_host(6))]);
        }
        fill.put(f64::from(group.down) / others);
    }
    calendar(&mut fill, now_s);
    debug_assert_eq!(fill.at, N);
    out
}

fn log_rate(per_second: f64) -> f64 {
    (per_second * WEEK_S as f64 + RATE_FLOOR_PER_WEEK).ln()
}

/// Logarithm of the time since the last failure, bent at a day and a week: a Weibull hazard is straight in it.
fn quiet(fill: &mut Fill<'_>, host: &HostState, now_s: i64) {
    let since = log_hours(now_s.saturating_sub(host.failed_s.unwrap_or(host.since_s)));
    fill.put_all([since, (since - log_hours(DAY_S)).max(0.0), (since - log_hours(WEEK_S)).max(0.0)]);
    fill.put(f64::from(u8::from(host.failed_s.is_none())));
}

fn uptime(fill: &mut Fill<'_>, host: &HostState, now_s: i64) {
    let up = log_hours(now_s.saturating_sub(host.change_s));
    fill.put_all([up, (up - log_hours(HOUR_S)).max(0.0), (up - log_hours(DAY_S)).max(0.0)]);
}

/// The last outage, and this run beside the usual one.
fn runs(fill: &mut Fill<'_>, host: &HostState, now_s: i64) {
    if host.failures == 0 {
        return fill.put_all([0.0; 3]);
    }
    let over = log_hours(now_s.saturating_sub(host.change_s)) - host.typical_run;
    fill.put_all([(host.last_outage_s as f64 / 60.0).ln_1p(), over.max(0.0), (-over).max(0.0)]);
}

/// Two harmonics of the day and of the week, Unix time.
fn calendar(fill: &mut Fill<'_>, now_s: i64) {
    for period_s in [DAY_S, WEEK_S] {
        let turn = now_s.rem_euclid(period_s) as f64 / period_s as f64 * std::f64::consts::TAU;
        fill.put_all([turn.sin(), turn.cos(), (2.0 * turn).sin(), (2.0 * turn).cos()]);
    }
}

const _: () = assert!(HALF_LIVES_S.len() == 7);
