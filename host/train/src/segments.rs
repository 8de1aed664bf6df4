//! A day of a series as the network meets it: features made by the forecaster's own code, targets and weights.

use foreshade_forecast::features::{FeatureWindow, INPUT, STATS, WINDOW};
use rand_pcg::Pcg64;

use crate::data::{AHEAD, DataSet, SEGMENT, Series, TARGETS};
use crate::net::{below, unit};

/// Ticks of a segment that have all their targets.
pub const TICKS: usize = SEGMENT - AHEAD;
/// Ticks that only warm the state up.
const WARM: usize = 24;
/// How much a tick counts whose window is still filling.
const FILLING: f32 = 0.25;
/// Share of the segments that begin like a new series.
const FRESH: f64 = 0.25;

/// Where a segment lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// The data set.
    pub set: usize,
    /// The series of it.
    pub series: usize,
    /// Its first tick.
    pub start: usize,
    /// Does it begin like a new series, with an empty window?
    pub fresh: bool,
}

/// One segment, by tick.
#[derive(Debug, Clone, Default)]
pub struct Segment {
    /// [tick][input]
    pub x: Vec<f32>,
    /// [tick][stats]
    pub stats: Vec<f32>,
    /// [tick]
    pub last: Vec<f32>,
    /// [tick]
    pub scale: Vec<f32>,
    /// [tick][target]
    pub y: Vec<f32>,
    /// [tick]; errors are in units of the data set.
    pub weight: Vec<f32>,
}

impl Segment {
    /// Streams the series up to and through the segment.
    pub fn new(series: &Series, start: usize, fresh: bool, unit: f32) -> Self {
        let fresh = fresh || start + 1 < WINDOW;
        let mut window = FeatureWindow::new();
        if !fresh {
            series.x[start + 1 - WINDOW..start].iter().for_each(|x| window.push(*x));
        }
        let mut s = Self::default();
        for tick in 0..TICKS {
            window.push(series.x[start + tick]);
            let Some(f) = window.features() else { break };
            s.x.extend(f.input);
            s.stats.extend(f.stats);
            s.last.push(f.last);
            s.scale.push(f.scale);
            s.y.extend(series.targets(start + tick));
            let counts = tick >= WARM && series.known(start + tick);
            let full = !fresh || tick >= WINDOW;
            s.weight.push(if !counts {
                0.0
            } else if full {
                1.0 / unit
            } else {
                FILLING / unit
            });
        }
        s
    }
}

/// `count` places of a data set, spread evenly over all that there are: one at a random place of each `count`th part.
pub fn draw(set: usize, data: &DataSet, count: usize, rng: &mut Pcg64) -> Vec<Place> {
    let starts: Vec<(usize, usize)> = data.usable().map(|(i, s)| (i, s.x.len() - SEGMENT + 1)).collect();
    let total: usize = starts.iter().map(|(_, n)| n).sum();
    let (mut places, mut at, mut before) = (Vec::with_capacity(count), 0, 0);
    for k in 0..if total == 0 { 0 } else { count } {
        let wanted = ((k as f64 + unit(rng)) / count as f64 * total as f64) as usize;
        while at + 1 < starts.len() && wanted >= before + starts[at].1 {
            before += starts[at].1;
            at += 1;
        }
        let start = (wanted - before).min(starts[at].1 - 1);
        places.push(Place { set, series: starts[at].0, start, fresh: unit(rng) < FRESH });
    }
    places
}

/// Puts a list in a random order (Fisher and Yates).
pub fn shuffle<T>(list: &mut [T], rng: &mut Pcg64) {
    for i in (1..list.len()).rev() {
        list.swap(i, below(rng, i + 1));
    }
}

/// Segments side by side, time first: what a batch or a part of it looks like to the network.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Segments.
    pub streams: usize,
    /// [tick][stream][input]
    pub x: Vec<f32>,
    /// [tick][stream][stats]
    pub stats: Vec<f32>,
    /// [tick][stream]
    pub last: Vec<f32>,
    /// [tick][stream]
    pub scale: Vec<f32>,
    /// [tick][stream][target]
    pub y: Vec<f32>,
    /// [tick][stream]
    pub weight: Vec<f32>,
}

impl Batch {
    /// Of these segments, in their order.
    pub fn new<'a>(segments: impl Iterator<Item = &'a Segment> + Clone) -> Self {
        let streams = segments.clone().count();
        let side_by_side = |part: fn(&Segment) -> &[f32], width: usize| {
            let mut to = Vec::with_capacity(TICKS * streams * width);
            for tick in 0..TICKS {
                segments.clone().for_each(|s| to.extend(&part(s)[tick * width..(tick + 1) * width]));
            }
            to
        };
        Self {
            streams,
            x: side_by_side(|s| &s.x, INPUT),
            stats: side_by_side(|s| &s.stats, STATS),
            last: side_by_side(|s| &s.last, 1),
            scale: side_by_side(|s| &s.scale, 1),
            y: side_by_side(|s| &s.y, TARGETS),
            weight: side_by_side(|s| &s.weight, 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foreshade_forecast::lstm::Profile;
    use rand_pcg::rand_core::SeedableRng;

    fn ramp(n: usize) -> Series {
        Series::new("a", "t:a".into(), (0..n).map(|i| (i % 97) as f32)).unwrap()
    }

    /// A segment in the midst of a series sees what the forecaster would see there.
    #[test]
    fn features_are_those_of_the_running_series() {
        let (s, start) = (ramp(700), 250);
        let segment = Segment::new(&s, start, false, 2.0);
        let mut window = FeatureWindow::new();
        for (tick, x) in s.x[..start + TICKS].iter().enumerate() {
            window.push(*x);
            if tick >= start {
                let (f, at) = (window.features().unwrap(), tick - start);
                assert_eq!(segment.x[at * INPUT..(at + 1) * INPUT], f.input, "tick {tick}");
                assert_eq!(segment.stats[at * STATS..(at + 1) * STATS], f.stats, "tick {tick}");
            }
        }
        assert_eq!(segment.weight[..WARM], [0.0; WARM]);
        assert!(segment.weight[WARM..].iter().all(|w| *w == 0.5), "one over the unit");
    }

    #[test]
    fn a_filling_window_counts_a_quarter_and_a_gap_nothing() {
        let mut s = ramp(SEGMENT);
        s.real[200] = false;
        let weight = Segment::new(&s, 0, false, 1.0).weight;
        let count = |w: f32| weight.iter().filter(|x| **x == w).count();
        assert_eq!((count(0.25), count(1.0)), (WINDOW - WARM, TICKS - WINDOW - 13));
        assert!(weight[188..=200].iter().all(|w| *w == 0.0), "what has the gap within its hour");
    }

    #[test]
    fn places_cover_the_set_in_proportion_to_length() {
        let series = vec![ramp(SEGMENT), ramp(100), ramp(2 * SEGMENT - 1), ramp(SEGMENT + 700)];
        let set = DataSet::new("t".into(), Profile::Cpu, series);
        let mut rng = Pcg64::seed_from_u64(1);
        let places = draw(0, &set, 1_000, &mut rng);
        let of = |i: usize| places.iter().filter(|p| p.series == i).count();
        assert_eq!(of(1), 0, "too short");
        assert!((280..300).contains(&of(2)) && (700..715).contains(&of(3)), "{} {}", of(2), of(3));
        assert!(places.iter().all(|p| p.start + SEGMENT <= set.series[p.series].x.len()));
        let fresh = places.iter().filter(|p| p.fresh).count();
        assert!((200..300).contains(&fresh), "{fresh}");
    }
}
