//! Numbers in as few bytes as a series of its size can afford.

/// How much a series may remember.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// At most [`Size::bytes_max`] = 37 kB: hosts, racks, files. Numbers are `f32`.
    Full,
    /// At most 6 kB: VMs, in points of -256 to 256. The regression reaches back 2 weeks instead of 3, forecasts a day and
    /// more ahead are checked every third hour, older errors are forgotten sooner, and there are no rollups.
    Compact,
}

impl Size {
    /// Upper bound of the memory of one series, in bytes.
    pub const fn bytes_max(self) -> usize {
        match self {
            Self::Full => 37_000,
            Self::Compact => 6_000,
        }
    }

    /// Numbers in points: `f32`, or steps of 1/128 point.
    pub(crate) fn points(self, len: usize, of: f32) -> Cells {
        match self {
            Self::Full => Cells::Wide(vec![of; len].into()),
            Self::Compact => Cells::Fixed(vec![fixed(of); len].into()),
        }
    }

    /// Differences, whose size matters more than their last digits: `f32`, or a byte.
    pub(crate) fn differences(self, len: usize, of: f32) -> Cells {
        match self {
            Self::Full => Cells::Wide(vec![of; len].into()),
            Self::Compact => Cells::Rough(vec![rough(of); len].into()),
        }
    }
}

/// A fixed number of numbers.
#[derive(Debug, Clone)]
pub(crate) enum Cells {
    Wide(Box<[f32]>),
    /// Steps of 1/128.
    Fixed(Box<[i16]>),
    /// Eight steps per doubling from 1/64 on, with a sign.
    Rough(Box<[i8]>),
}

impl Cells {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Wide(v) => v.len(),
            Self::Fixed(v) => v.len(),
            Self::Rough(v) => v.len(),
        }
    }

    pub(crate) fn get(&self, i: usize) -> f32 {
        match self {
            Self::Wide(v) => v[i],
            Self::Fixed(v) => from_fixed(v[i]),
            Self::Rough(v) => from_rough(v[i]),
        }
    }

    pub(crate) fn set(&mut self, i: usize, x: f32) {
        match self {
            Self::Wide(v) => v[i] = x,
            Self::Fixed(v) => v[i] = fixed(x),
            Self::Rough(v) => v[i] = rough(x),
        }
    }

    pub(crate) fn fill(&mut self, x: f32) {
        (0..self.len()).for_each(|i| self.set(i, x));
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Wide(v) => size_of_val(&**v),
            Self::Fixed(v) => size_of_val(&**v),
            Self::Rough(v) => size_of_val(&**v),
        }
    }
}

const STEPS: f32 = 128.0;

fn fixed(x: f32) -> i16 {
    if x.is_nan() { i16::MIN } else { (x * STEPS).round().clamp(-32_767.0, 32_767.0) as i16 }
}

fn from_fixed(code: i16) -> f32 {
    if code == i16::MIN { f32::NAN } else { f32::from(code) / STEPS }
}

/// Bits of a float below its exponent and the first three of its mantissa.
const SHIFT: u32 = 20;
/// Exponent and mantissa of 1/64, the smallest that is told from zero.
const LEAST: i32 = (127 - 6) << 3;

fn rough(x: f32) -> i8 {
    if x.is_nan() {
        return i8::MIN;
    }
    let nearest = (x.abs().min(1e6).to_bits() + (1 << (SHIFT - 1))) >> SHIFT;
    let code = (nearest as i32 - LEAST + 1).clamp(0, 127) as i8;
    if x < 0.0 { -code } else { code }
}

fn from_rough(code: i8) -> f32 {
    match code {
        i8::MIN => f32::NAN,
        0 => 0.0,
        c => {
            f32::from_bits(((i32::from(c.unsigned_abs()) - 1 + LEAST) << SHIFT) as u32).copysign(f32::from(c))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_comes_out_as_near_as_said() {
        let mut cells = [Size::Full, Size::Compact].map(|s| [s.points(1, 0.0), s.differences(1, 0.0)]);
        let mut x = 0.02;
        while x < 800.0 {
            for sign in [1.0, -1.0] {
                let out = |c: &mut Cells| {
                    c.set(0, sign * x);
                    c.get(0)
                };
                assert_eq!(cells[0].each_mut().map(out), [sign * x; 2]);
                let [point, difference] = cells[1].each_mut().map(out);
                assert!((point - sign * x.min(255.9922)).abs() <= 0.5 / 128.0 + 1e-4, "{x}: {point}");
                assert!((difference - sign * x).abs() <= x / 16.0, "{x}: {difference}");
            }
            x *= 1.03;
        }
        for c in cells.iter_mut().flatten() {
            c.set(0, f32::NAN);
            assert!(c.get(0).is_nan());
            c.set(0, 1e30);
            assert!(c.get(0).is_finite() && c.get(0) > 200.0);
            c.set(0, -1e-9);
            assert!(c.get(0).abs() < 1e-8);
        }
    }
}
