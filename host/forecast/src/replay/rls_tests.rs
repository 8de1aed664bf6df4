use super::*;

const VAGUE_PRIOR: Prior = Prior { mean: 0.0, spread: None };

fn lcg(state: &mut u64) -> f64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 11) as f64 / (1u64 << 53) as f64
}

/// A sample, and the costs after it.
fn take<const N: usize>(rls: &mut Rls<N>, x: [f64; N], y: f64) {
    assert!(rls.update(&x, y).is_some());
    rls.settle();
}

fn free(forget: f64) -> Rls<3> {
    Rls::new(forget, [false; 3], [VAGUE_PRIOR; 3])
}

#[test]
fn the_factors_are_those_of_the_textbook() {
    // P^-1 <- l P^-1 + x x' on plain matrices, inverted by Cramer's rule, beside the factors.
    let (mut rls, mut seed) = (free(0.9), 1);
    // The first samples of full size fix the scales at 1 and bring P below its bound.
    for x in [[1.0, 0.2, 0.1], [0.1, 1.0, 0.3], [0.2, 0.1, 1.0]] {
        rls.update(&x, 0.0);
    }
    let mut info = invert(&rls.covariance());
    for _ in 0..200 {
        let x: [f64; 3] = std::array::from_fn(|_| 2.0 * lcg(&mut seed) - 1.0);
        rls.update(&x, lcg(&mut seed));
        for i in 0..3 {
            (0..3).for_each(|j| info[i][j] = 0.9 * info[i][j] + x[i] * x[j]);
        }
        let (want, got) = (invert(&info), rls.covariance());
        for i in 0..3 {
            for j in 0..3 {
                assert!((got[i][j] - want[i][j]).abs() < 1e-8 * (1.0 + want[i][j].abs()), "{got:?} {want:?}");
            }
        }
    }
}

fn invert(m: &[[f64; 3]; 3]) -> [[f64; 3]; 3] {
    let minor = |r: usize, c: usize| {
        let (a, b, d, e) = ((r + 1) % 3, (r + 2) % 3, (c + 1) % 3, (c + 2) % 3);
        m[a][d] * m[b][e] - m[a][e] * m[b][d]
    };
    let det: f64 = (0..3).map(|c| m[0][c] * minor(0, c)).sum();
    std::array::from_fn(|i| std::array::from_fn(|j| minor(j, i) / det))
}

#[test]
fn exact_costs_are_found_whatever_the_units() {
    // Instructions in billions, faults in thousandths.
    let truth = [3e-9, 250.0, 7.0];
    let (mut rls, mut seed) = (free(0.99), 5);
    for _ in 0..300 {
        let x = [4e9 * lcg(&mut seed), 2e-3 * lcg(&mut seed), 1.0];
        let y = truth.iter().zip(x).map(|(c, x)| c * x).sum();
        take(&mut rls, x, y);
    }
    for (got, want) in rls.costs().iter().zip(truth) {
        assert!((got / want - 1.0).abs() < 1e-3, "{got} {want}");
    }
}

#[test]
fn standing_rates_do_not_wind_the_covariance_up() {
    let (mut rls, mut seed) = (free(0.98), 3);
    for _ in 0..200 {
        let x = [lcg(&mut seed), lcg(&mut seed), 1.0];
        take(&mut rls, x, 5.0 * x[0] + 2.0 * x[1] + lcg(&mut seed));
    }
    let costs = *rls.costs();
    for _ in 0..1_000_000 {
        rls.update(&[0.5, 0.5, 1.0], 3.5 + lcg(&mut seed));
    }
    rls.settle();
    let after = rls.spread(&[1.0, -1.0, 0.0]);
    // Plain forgetting would have multiplied it by 0.98^-1,000,000, that is, made it infinite.
    assert!(after < 8.0 * FORGOTTEN, "{after}");
    assert!((rls.costs()[0] - rls.costs()[1] - (costs[0] - costs[1])).abs() < 0.5, "{rls:?}");
    assert!(rls.pivots().iter().all(|d| *d > 0.0 && d.is_finite()));
}

#[test]
fn the_pivots_stay_positive_whatever_comes() {
    let (mut rls, mut seed) = (free(0.95), 9);
    for i in 0..200_000 {
        let wild = |s: &mut u64| (lcg(s) * 60.0 - 30.0).exp2() * if lcg(s) < 0.3 { 0.0 } else { 1.0 };
        let mut x: [f64; 3] = std::array::from_fn(|_| wild(&mut seed));
        if i % 7 == 0 {
            x[1] = x[0];
        }
        take(&mut rls, x, wild(&mut seed));
        assert!(rls.pivots().iter().all(|d| *d > 0.0 && d.is_finite()), "sample {i}: {rls:?}");
        assert!(rls.costs().iter().all(|c| c.is_finite()), "sample {i}: {rls:?}");
    }
}

#[test]
fn a_gap_changes_nothing() {
    let mut rls = free(0.99);
    rls.update(&[1.0, 2.0, 1.0], 3.0);
    let before = rls.clone();
    assert_eq!(rls.update(&[f64::NAN, 1.0, 1.0], 1.0), None);
    assert_eq!(rls.update(&[1.0, 1.0, 1.0], f64::NAN), None);
    assert_eq!(rls.update(&[f64::INFINITY, 1.0, 1.0], 1.0), None);
    assert_eq!(rls, before);
}

#[test]
fn no_bounded_cost_is_negative_and_the_others_take_its_part() {
    // y = 4 x0 - 2 x1, x1 close to x0: the best pair without a negative is about (2, 0).
    let mut rls = Rls::new(0.999, [true, true], [VAGUE_PRIOR; 2]);
    let mut seed = 2;
    for _ in 0..2000 {
        let x0 = lcg(&mut seed);
        let x = [x0, (x0 + 0.05 * lcg(&mut seed)).min(1.0)];
        take(&mut rls, x, 4.0 * x[0] - 2.0 * x[1]);
        assert!(rls.costs().iter().all(|c| *c >= 0.0), "{rls:?}");
    }
    assert_eq!(rls.costs()[1], 0.0);
    assert!((1.8..2.1).contains(&rls.costs()[0]), "{rls:?}");
}

#[test]
fn a_prior_speaks_before_the_first_sample_and_yields_to_many() {
    let prior = [Prior { mean: 10.0, spread: Some(0.1) }];
    let mut rls = Rls::new(0.999, [true], prior);
    assert_eq!(rls.predict(&[2.0]), 20.0);
    take(&mut rls, [1.0], 4.0);
    assert!((8.0..10.0).contains(&rls.costs()[0]), "{rls:?}");
    (0..500).for_each(|_| take(&mut rls, [1.0], 4.0));
    assert!((rls.costs()[0] - 4.0).abs() < 0.2, "{rls:?}");
}
