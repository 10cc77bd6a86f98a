//! Training: small heads on frozen features. None of it opens a file.

pub mod augment;
pub mod classes;
pub mod figures;
pub mod logistic;
