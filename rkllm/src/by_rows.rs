//! `ByRows`: two devices for one layer.

use crate::{Error, ErrorKind, Linear, Result};

/// Two devices for one linear layer, chosen by the number of rows: the CPU to decode, the NPU for prefill.
///
/// Both follow `NUMERICS.md`, so which one computes moves no bit.
pub struct ByRows {
    few: Box<dyn Linear>,
    many: Box<dyn Linear>,
    from: usize,
}

impl ByRows {
    /// `many` takes inputs of `from` rows or more, `few` the others.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if the two are not of one shape.
    pub fn new(few: Box<dyn Linear>, many: Box<dyn Linear>, from: usize) -> Result<Self> {
        expect_shape(shape(&*few), &*many)?;
        Ok(Self { few, many, from })
    }
}

impl Linear for ByRows {
    fn in_features(&self) -> usize {
        self.few.in_features()
    }

    fn out_features(&self) -> usize {
        self.few.out_features()
    }

    fn forward(&self, x: &[f32], y: &mut [f32]) -> Result<()> {
        let rows = x.len() / self.in_features().max(1);
        let linear = if rows < self.from { &self.few } else { &self.many };
        linear.forward(x, y)
    }
}

/// Refuses a layer that cannot stand for one of shape `[N, K]`.
pub(crate) fn expect_shape(expected: [usize; 2], linear: &dyn Linear) -> Result<()> {
    let found = shape(linear);
    if found == expected {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Shape,
        format!("expected a linear layer of shape {expected:?}, found {found:?}"),
    ))
}

/// `[N, K]`.
pub(crate) fn shape(linear: &dyn Linear) -> [usize; 2] {
    [linear.out_features(), linear.in_features()]
}
