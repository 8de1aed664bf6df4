//! Behaviours: clusters of what windows of the training series look like (k-means, Lloyd 1982; seeding of Arthur and
//! Vassilvitskii 2007).

use foreshade_forecast::behaviour::{Behaviours, TRAITS, traits};
use foreshade_forecast::features::{FeatureWindow, WINDOW};
use rand_pcg::Pcg64;

use crate::data::DataSet;
use crate::net::unit;
use crate::segments::{Place, TICKS};

/// Rounds of assigning and moving, far more than it takes to settle.
const ROUNDS: usize = 100;

/// Traits of the windows at the ends of segments.
pub fn looks(set: &DataSet, places: &[Place]) -> Vec<[f32; TRAITS]> {
    let look = |place: &Place| {
        let end = place.start + TICKS;
        let mut window = FeatureWindow::new();
        set.series[place.series].x[end - WINDOW..end].iter().for_each(|x| window.push(*x));
        window.features().map(|f| traits(|i| f.stats[i]))
    };
    places.iter().filter_map(look).collect()
}

/// `count` kinds of what was looked at, each data set counting the same; the order is that of their levels.
pub fn find(sets: &[Vec<[f32; TRAITS]>], count: usize, rng: &mut Pcg64) -> Behaviours {
    let all: Vec<&[f32; TRAITS]> = sets.iter().flatten().collect();
    let weight: Vec<f64> = sets.iter().flat_map(|s| vec![1.0 / s.len() as f64; s.len()]).collect();
    let mut found = Behaviours { centres: vec![], unit: spread(&all, &weight) };
    // Each next centre is drawn by its squared distance from those there are.
    while found.centres.len() < count.min(all.len()) {
        let far: Vec<f64> = all.iter().zip(&weight).map(|(x, w)| w * nearest_distance(&found, x)).collect();
        found.centres.push(*all[pick(&far, rng)]);
    }
    for _ in 0..ROUNDS {
        let mut sums = vec![([0.0f64; TRAITS], 0.0f64); found.centres.len()];
        for (x, w) in all.iter().zip(&weight) {
            let (sum, n) = &mut sums[found.nearest(x)];
            sum.iter_mut().zip(*x).for_each(|(s, x)| *s += w * f64::from(*x));
            *n += w;
        }
        let before = found.centres.clone();
        for (centre, (sum, n)) in found.centres.iter_mut().zip(&sums).filter(|(_, (_, n))| *n > 0.0) {
            *centre = sum.map(|s| (s / n) as f32);
        }
        if found.centres == before {
            break;
        }
    }
    found.centres.sort_by(|a, b| a[0].total_cmp(&b[0]));
    found
}

/// Standard deviation of each trait.
fn spread(all: &[&[f32; TRAITS]], weight: &[f64]) -> [f32; TRAITS] {
    let total: f64 = weight.iter().sum();
    std::array::from_fn(|i| {
        let mean = all.iter().zip(weight).map(|(x, w)| w * f64::from(x[i])).sum::<f64>() / total;
        let square = all.iter().zip(weight).map(|(x, w)| w * (f64::from(x[i]) - mean).powi(2)).sum::<f64>();
        ((square / total).sqrt() as f32).max(1e-3)
    })
}

/// Squared distance from the nearest centre; 1 where there is none yet.
fn nearest_distance(found: &Behaviours, x: &[f32; TRAITS]) -> f64 {
    let Some(centre) = found.centres.get(found.nearest(x)) else { return 1.0 };
    let differences = centre.iter().zip(x).zip(&found.unit);
    differences.map(|((c, x), unit)| f64::from((x - c) / unit).powi(2)).sum()
}

/// An index drawn with these weights.
fn pick(weight: &[f64], rng: &mut Pcg64) -> usize {
    let mut left = unit(rng) * weight.iter().sum::<f64>();
    let reached = weight.iter().position(|w| {
        left -= w;
        left < 0.0
    });
    reached.unwrap_or(weight.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_pcg::rand_core::SeedableRng;

    #[test]
    fn kinds_that_lie_apart_are_found_whatever_their_share() {
        let mut rng = Pcg64::seed_from_u64(3);
        let mut cloud = |at: f32, n: usize| -> Vec<[f32; TRAITS]> {
            (0..n).map(|_| std::array::from_fn(|_| at + unit(&mut rng) as f32)).collect()
        };
        let sets = [[cloud(0.0, 300), cloud(10.0, 20)].concat(), cloud(30.0, 5)];
        let found = find(&sets, 3, &mut Pcg64::seed_from_u64(1));
        let at: Vec<f32> = found.centres.iter().map(|c| c[3].round()).collect();
        assert!((0.0..=1.0).contains(&at[0]) && (10.0..=11.0).contains(&at[1]), "{at:?}");
        assert!((30.0..=31.0).contains(&at[2]), "{at:?}");
    }
}
