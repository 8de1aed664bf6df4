//! A quantile of a stream: exact of few values, in five numbers of many.
//!
//! Jain and Chlamtac, "The P² algorithm for dynamic calculation of quantiles and histograms without storing
//! observations", CACM 28(10), 1985: five markers at the minimum, p/2, p, (1+p)/2 and the maximum; a marker that lies off
//! its place by one rank or more moves by one rank along a parabola through its neighbours. A stream that only falls
//! leaves the markers some 3 % of its range behind.

/// Values up to which the quantile is exact: an hour of 5 min, a day of hours.
const EXACT: usize = 24;

/// The sketch of one level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sketch {
    level: f32,
    height: [f32; 5],
    rank: [f32; 5],
    count: u32,
    first: [f32; EXACT],
}

impl Sketch {
    /// An empty sketch; `level` in (0, 1).
    pub(crate) fn new(level: f32) -> Self {
        Self { level, height: [0.0; 5], rank: [1.0, 2.0, 3.0, 4.0, 5.0], count: 0, first: [0.0; EXACT] }
    }

    /// Takes a finite value.
    pub(crate) fn push(&mut self, x: f32) {
        let n = self.count as usize;
        self.count = self.count.saturating_add(1);
        if n < EXACT {
            self.first[n] = x;
        }
        if n < 5 {
            self.height[n] = x;
            self.height[..=n].sort_by(f32::total_cmp);
            return;
        }
        self.height[0] = self.height[0].min(x);
        self.height[4] = self.height[4].max(x);
        let cell = (1..4).take_while(|&i| x >= self.height[i]).count();
        self.rank[cell + 1..].iter_mut().for_each(|r| *r += 1.0);
        let share = [0.0, self.level / 2.0, self.level, (1.0 + self.level) / 2.0, 1.0];
        for (i, part) in share.iter().enumerate().take(4).skip(1) {
            let off = 1.0 + (self.count as f32 - 1.0) * part - self.rank[i];
            let free =
                if off > 0.0 { self.rank[i + 1] - self.rank[i] } else { self.rank[i] - self.rank[i - 1] };
            if off.abs() >= 1.0 && free > 1.0 {
                self.step(i, off.signum());
            }
        }
    }

    /// Moves marker `i` by one rank: along the parabola, or along the line where that would leave the order.
    fn step(&mut self, i: usize, d: f32) {
        let (q, n) = (&self.height, &self.rank);
        let up = (n[i] - n[i - 1] + d) * (q[i + 1] - q[i]) / (n[i + 1] - n[i]);
        let down = (n[i + 1] - n[i] - d) * (q[i] - q[i - 1]) / (n[i] - n[i - 1]);
        let parabola = q[i] + d / (n[i + 1] - n[i - 1]) * (up + down);
        let to = if d > 0.0 { i + 1 } else { i - 1 };
        let line = q[i] + d * (q[to] - q[i]) / (n[to] - n[i]);
        let inside = q[i - 1] < parabola && parabola < q[i + 1];
        self.height[i] = if inside { parabola } else { line };
        self.rank[i] += d;
    }

    /// The quantile (nearest rank from above while it is exact); NaN of no value.
    pub(crate) fn value(&self) -> f32 {
        match self.count as usize {
            0 => f32::NAN,
            n @ 1..=EXACT => {
                let mut all = self.first;
                all[..n].sort_unstable_by(f32::total_cmp);
                all[((self.level * n as f32).ceil() as usize).clamp(1, n) - 1]
            }
            _ => self.height[2],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_95th_of_3600_values_in_any_order() {
        for (stride, off) in [(1u32, 36.0), (7, 36.0), (1601, 36.0), (3599, 108.0)] {
            let mut s = Sketch::new(0.95);
            (0..3600u32).for_each(|i| s.push((i * stride % 3600) as f32));
            assert!((s.value() - 3420.0).abs() < off, "stride {stride}: {}", s.value());
        }
    }

    #[test]
    fn few_values_are_exact() {
        let mut s = Sketch::new(0.95);
        assert!(s.value().is_nan());
        for (x, want) in [(3.0, 3.0), (1.0, 3.0), (9.0, 9.0)] {
            s.push(x);
            assert_eq!(s.value(), want);
        }
        (10..31).for_each(|x| s.push(x as f32));
        assert_eq!(s.value(), 29.0);
    }
}
