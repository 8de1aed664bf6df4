//! Arithmetic in f32, which trains, and in f64, which the gradients are checked in.

use std::fmt::Debug;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

/// A floating-point number with the functions of the network.
pub trait Real:
    Copy
    + Debug
    + Default
    + PartialOrd
    + Send
    + Sync
    + Add<Output = Self>
    + AddAssign
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + 'static
{
    /// 1.
    const ONE: Self;
    /// The nearest number.
    fn of(x: f64) -> Self;
    /// The same number.
    fn wide(self) -> f64;
    /// 1 / (1 + exp(-x)).
    fn sigmoid(self) -> Self;
    /// tanh x.
    fn tanh(self) -> Self;
    /// ln(1 + exp x).
    fn softplus(self) -> Self;
    /// c = a b + beta c.
    fn product(a: Matrix<'_, Self>, b: Matrix<'_, Self>, beta: Self, c: &mut MatrixMut<'_, Self>);
}

/// A view of numbers as a matrix: element (i, j) lies at `i * row + j * column`.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a, T> {
    data: &'a [T],
    rows: usize,
    columns: usize,
    row: usize,
    column: usize,
}

/// The same, to write to.
#[derive(Debug)]
pub struct MatrixMut<'a, T> {
    data: &'a mut [T],
    rows: usize,
    columns: usize,
    row: usize,
}

/// Do `rows` x `columns` elements at these distances lie within `len`?
fn fits(len: usize, rows: usize, columns: usize, row: usize, column: usize) -> bool {
    rows == 0 || columns == 0 || (rows - 1) * row + (columns - 1) * column < len
}

impl<'a, T> Matrix<'a, T> {
    /// The first `columns` of rows that lie `row` apart.
    ///
    /// # Panics
    /// If they reach beyond `data`.
    pub fn new(data: &'a [T], rows: usize, columns: usize, row: usize) -> Self {
        assert!(columns <= row && fits(data.len(), rows, columns, row, 1), "matrix within its data");
        Self { data, rows, columns, row, column: 1 }
    }

    /// Transposed.
    pub fn t(self) -> Self {
        Self { rows: self.columns, columns: self.rows, row: self.column, column: self.row, ..self }
    }
}

impl<'a, T> MatrixMut<'a, T> {
    /// The first `columns` of rows that lie `row` apart.
    ///
    /// # Panics
    /// If they reach beyond `data`.
    pub fn new(data: &'a mut [T], rows: usize, columns: usize, row: usize) -> Self {
        assert!(columns <= row && fits(data.len(), rows, columns, row, 1), "matrix within its data");
        Self { data, rows, columns, row }
    }
}

/// The sizes (m, k, n) of a product.
fn sizes<T>(a: Matrix<'_, T>, b: Matrix<'_, T>, c: &MatrixMut<'_, T>) -> (usize, usize, usize) {
    assert!(a.columns == b.rows && a.rows == c.rows && b.columns == c.columns, "sizes of a product");
    (a.rows, a.columns, b.columns)
}

macro_rules! product {
    ($gemm:path) => {
        fn product(a: Matrix<'_, Self>, b: Matrix<'_, Self>, beta: Self, c: &mut MatrixMut<'_, Self>) {
            let (m, k, n) = sizes(a, b, c);
            let [a_row, a_column, b_row, b_column, c_row] =
                [a.row, a.column, b.row, b.column, c.row].map(usize::cast_signed);
            // SAFETY: the constructors of Matrix and MatrixMut checked that every element of a view lies within its
            // slice, rows of `c` do not overlap since its columns lie within a row, and `c` is borrowed alone.
            unsafe {
                let (a, b, c) = (a.data.as_ptr(), b.data.as_ptr(), c.data.as_mut_ptr());
                $gemm(m, k, n, 1.0, a, a_row, a_column, b, b_row, b_column, beta, c, c_row, 1);
            }
        }
    };
}

impl Real for f64 {
    const ONE: Self = 1.0;

    fn of(x: f64) -> Self {
        x
    }

    fn wide(self) -> f64 {
        self
    }

    fn sigmoid(self) -> Self {
        1.0 / (1.0 + (-self).exp())
    }

    fn tanh(self) -> Self {
        f64::tanh(self)
    }

    fn softplus(self) -> Self {
        self.max(0.0) + (-self.abs()).exp().ln_1p()
    }

    product!(matrixmultiply::dgemm);
}

/// e^x without a branch, within 2e-7 of it (relative), x held to +-87: k = round(x / ln 2), then Taylor's series of the
/// rest, |r| <= 0.35, and 2^k by its bits. No fused operations, so that every processor computes the same.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// 1.5 * 2^23: adding it rounds to an integer.
    const ROUND: f32 = 12_582_912.0;
    /// ln 2 in two parts, the first with few bits, so that its products with k are exact.
    const LN2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let x = if x > 87.0 { 87.0 } else { x };
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let k = shifted - ROUND;
    let r = x - k * LN2[0] - k * LN2[1];
    let mut p = 1.0 / 5040.0;
    for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = p * r + c;
    }
    p * f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()))
}

impl Real for f32 {
    const ONE: Self = 1.0;

    #[inline(always)]
    fn of(x: f64) -> Self {
        x as f32
    }

    #[inline(always)]
    fn wide(self) -> f64 {
        f64::from(self)
    }

    #[inline(always)]
    fn sigmoid(self) -> Self {
        1.0 / (1.0 + exp(-self))
    }

    #[inline(always)]
    fn tanh(self) -> Self {
        let e = exp(-2.0 * self.abs());
        ((1.0 - e) / (1.0 + e)).copysign(self)
    }

    /// ln(1 + u) = 2 artanh(u / (2 + u)), by its series: the argument is at most 1/3.
    #[inline(always)]
    fn softplus(self) -> Self {
        let u = exp(-self.abs());
        let s = u / (2.0 + u);
        let s2 = s * s;
        let mut p = 2.0 / 15.0;
        for c in [2.0 / 13.0, 2.0 / 11.0, 2.0 / 9.0, 2.0 / 7.0, 2.0 / 5.0, 2.0 / 3.0, 2.0] {
            p = p * s2 + c;
        }
        (if self > 0.0 { self } else { 0.0 }) + p * s
    }

    product!(matrixmultiply::sgemm);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_f32_are_those_of_f64() {
        for i in -20_000..20_000 {
            let x = i as f32 / 1_000.0 * if i % 7 == 0 { 10.0 } else { 1.0 };
            let wide = f64::from(x);
            let near = |got: f32, want: f64, what: &str| {
                assert!(
                    (f64::from(got) - want).abs() <= 3e-7 * want.abs().max(1.0),
                    "{what}({x}) = {got}, {want}"
                );
            };
            near(x.sigmoid(), wide.sigmoid(), "sigmoid");
            near(Real::tanh(x), wide.tanh(), "tanh");
            near(x.softplus(), Real::softplus(wide), "softplus");
        }
        assert!(f32::NAN.sigmoid().is_nan(), "what is not a number is not hidden");
    }

    #[test]
    fn a_product_with_strides_and_transposition() {
        // a is 2 x 3 in rows of 4, b the transpose of 2 x 3: c = a b^T + 2 c.
        let a = [1.0, 2.0, 3.0, 99.0, 4.0, 5.0, 6.0, 99.0];
        let b = [1.0, 0.0, 1.0, 0.0, 2.0, 0.0];
        let mut c = [1.0, 1.0, 77.0, 1.0, 1.0, 77.0];
        f64::product(
            Matrix::new(&a, 2, 3, 4),
            Matrix::new(&b, 2, 3, 3).t(),
            2.0,
            &mut MatrixMut::new(&mut c, 2, 2, 3),
        );
        assert_eq!(c, [6.0, 6.0, 77.0, 12.0, 12.0, 77.0]);
    }

    #[test]
    #[should_panic(expected = "matrix within its data")]
    fn a_view_beyond_its_data_is_refused() {
        Matrix::new(&[0.0f32; 5], 2, 3, 3);
    }

    #[test]
    #[should_panic(expected = "sizes of a product")]
    fn sizes_that_do_not_fit_are_refused() {
        let (a, mut c) = ([0.0f32; 6], [0.0f32; 4]);
        f32::product(
            Matrix::new(&a, 2, 3, 3),
            Matrix::new(&a, 2, 3, 3),
            0.0,
            &mut MatrixMut::new(&mut c, 2, 2, 2),
        );
    }
}
