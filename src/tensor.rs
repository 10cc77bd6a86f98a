//! The values that go into and come out of a network.

use crate::error::{Error, Result};

/// A dense array of `f32` in row-major order. Images are NCHW: batch, channel, row, column.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Vec<f32>,
}

impl Tensor {
    /// A tensor over `data`; an error if the length is not the product of `shape`.
    pub fn new(shape: Vec<usize>, data: Vec<f32>) -> Result<Self> {
        let want: usize = shape.iter().product();
        if want != data.len() {
            return Err(Error::Internal(format!("a tensor of shape {shape:?} over {} values", data.len())));
        }
        Ok(Tensor { shape, data })
    }

    /// Size along each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// All values, last axis fastest.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// The values alone.
    pub fn into_data(self) -> Vec<f32> {
        self.data
    }

    /// Channels, rows and columns of a feature map of shape 1 x C x H x W.
    pub fn chw(&self) -> Result<(usize, usize, usize)> {
        match self.shape[..] {
            [1, c, h, w] => Ok((c, h, w)),
            _ => Err(Error::Internal(format!("a feature map must be 1xCxHxW, found {:?}", self.shape))),
        }
    }
}
