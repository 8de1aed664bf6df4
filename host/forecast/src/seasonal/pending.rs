//! What was forecast and whose outcome is not known yet.

use super::PEAKS_H;
use super::bank::{ANCHORS_H, EXPERTS, Voices};
use super::cells::{Cells, Size};

/// From this horizon on a compact series keeps what every third hour forecasts.
const SPARSE_H: usize = 24;

/// Forecasts whose outcome is not known yet, by the hour they were made at.
#[derive(Debug)]
pub(crate) struct Pending {
    size: Size,
    /// The common path at each anchor; NaN = none.
    centres: Cells,
    /// What the experts said; of a compact series less the centre.
    voices: Cells,
    peaks: Cells,
}

impl Pending {
    pub(crate) fn new(size: Size) -> Self {
        let all: usize = ANCHORS_H.iter().sum();
        let voices: usize = ANCHORS_H.iter().map(|h| slots(size, *h)).sum();
        Self {
            size,
            centres: size.points(all, f32::NAN),
            voices: size.differences(voices * EXPERTS, f32::NAN),
            peaks: size.points(PEAKS_H.iter().sum(), f32::NAN),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.centres.bytes() + self.voices.bytes() + self.peaks.bytes()
    }

    pub(crate) fn clear(&mut self) {
        for cells in [&mut self.centres, &mut self.voices, &mut self.peaks] {
            cells.fill(f32::NAN);
        }
    }

    /// Where the voices of anchor `a` start that spoke at the end of `made`; `None` = they are not kept.
    fn at(&self, a: usize, made: i64) -> Option<usize> {
        if !keeps(self.size, ANCHORS_H[a], made) {
            return None;
        }
        let before: usize = ANCHORS_H[..a].iter().map(|h| slots(self.size, *h)).sum();
        let n = slots(self.size, ANCHORS_H[a]) as i64;
        let turn = if n < ANCHORS_H[a] as i64 { made.div_euclid(SPARSE) } else { made };
        Some((before + turn.rem_euclid(n) as usize) * EXPERTS)
    }

    /// What there is to add to a voice that was kept.
    fn base(&self, centre: f32) -> f32 {
        if self.size == Size::Full { 0.0 } else { centre }
    }

    pub(crate) fn put(&mut self, a: usize, made: i64, centre: f32, voices: &Voices) {
        let slot = ring(&ANCHORS_H, a, made);
        self.centres.set(slot, centre);
        if let Some(at) = self.at(a, made) {
            let base = self.base(self.centres.get(slot));
            voices.iter().enumerate().for_each(|(i, v)| self.voices.set(at + i, v - base));
        }
    }

    /// The centre (NaN = none) and, where they are kept, the voices.
    pub(crate) fn get(&self, a: usize, made: i64) -> (f32, Option<Voices>) {
        let centre = self.centres.get(ring(&ANCHORS_H, a, made));
        let base = self.base(centre);
        (centre, self.at(a, made).map(|at| std::array::from_fn(|i| self.voices.get(at + i) + base)))
    }

    pub(crate) fn put_peak(&mut self, p: usize, made: i64, highest: f32) {
        let kept = if keeps(self.size, PEAKS_H[p], made) { highest } else { f32::NAN };
        self.peaks.set(ring(&PEAKS_H, p, made), kept);
    }

    /// The highest hour of the path; NaN = none.
    pub(crate) fn take_peak(&mut self, p: usize, made: i64) -> f32 {
        let slot = ring(&PEAKS_H, p, made);
        let due = self.peaks.get(slot);
        self.peaks.set(slot, f32::NAN);
        due
    }
}

/// Hours of which a sparse horizon keeps one: another each day, so that all hours of the day have their turn.
const SPARSE: i64 = 3;

/// Is what is said of `h` hours ahead at the end of the hour `made` kept until its outcome is known?
fn keeps(size: Size, h: usize, made: i64) -> bool {
    size == Size::Full || h < SPARSE_H || (made + made.div_euclid(24)).rem_euclid(SPARSE) == 0
}

/// Forecasts of `h` hours ahead that wait at a time; one more where some are skipped, as their distance varies.
fn slots(size: Size, h: usize) -> usize {
    if size == Size::Full || h < SPARSE_H { h } else { h / SPARSE as usize + 1 }
}

/// Where the forecast that the hour `made` makes for horizon `i` of `horizons` is kept.
fn ring(horizons: &[usize], i: usize, made: i64) -> usize {
    horizons[..i].iter().sum::<usize>() + made.rem_euclid(horizons[i] as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How far the voices of an hour are from the centre: a power of two, which a byte holds exactly.
    fn apart(hour: i64) -> f32 {
        (1 << hour.rem_euclid(5)) as f32
    }

    #[test]
    fn what_waits_is_there_when_its_hour_comes() {
        for size in [Size::Full, Size::Compact] {
            let (mut p, mut kept) = (Pending::new(size), [0usize; ANCHORS_H.len()]);
            for hour in -100..400i64 {
                for (a, h) in ANCHORS_H.iter().enumerate() {
                    let made = hour - *h as i64;
                    let (centre, voices) = p.get(a, made);
                    let want = if made < -100 { f32::NAN } else { (made % 200) as f32 };
                    assert!(centre == want || (centre.is_nan() && want.is_nan()), "{h} h made at {made}");
                    if let (Some(v), false) = (voices, want.is_nan()) {
                        assert!(
                            v.iter().all(|v| (v - want - apart(made)).abs() < 0.01),
                            "{h} h made at {made}: {v:?}"
                        );
                        kept[a] += 1;
                    }
                }
                for a in 0..ANCHORS_H.len() {
                    p.put(a, hour, (hour % 200) as f32, &[(hour % 200) as f32 + apart(hour); EXPERTS]);
                }
            }
            for (n, h) in kept.iter().zip(ANCHORS_H) {
                let all = 500 - h;
                let share = if size == Size::Full || h < SPARSE_H { all } else { all / 3 };
                assert!(share.abs_diff(*n) <= 2, "{h} h: {n} of {all}");
            }
        }
    }
}
