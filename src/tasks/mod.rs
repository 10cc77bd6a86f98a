//! Typed pipelines: what ocellus does with a picture. None of them opens a file.

pub mod detect;
pub mod embed;
pub mod evaluate;
pub mod inspect;
pub mod mask;
