//! One folder per kernel: the maths, the f64 reference, the vectors.
