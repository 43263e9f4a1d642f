//! Bytes that live in a mapped file or in memory, and a tensor over them.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use half::{bf16, f16};

use crate::{Dtype, Error, ErrorKind, Result};

/// A shared, read-only range of bytes: part of a mapped file, or owned memory.
#[derive(Clone)]
pub struct Bytes {
    owner: Arc<dyn AsRef<[u8]> + Send + Sync>,
    range: Range<usize>,
}

impl Bytes {
    /// All bytes of `owner`.
    pub fn new(owner: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self::from_arc(Arc::new(owner))
    }

    /// All bytes of a shared owner.
    pub fn from_arc(owner: Arc<dyn AsRef<[u8]> + Send + Sync>) -> Self {
        let range = 0..(*owner).as_ref().len();
        Self { owner, range }
    }

    /// The part `range` of these bytes, or `None` where it is out of bounds.
    pub fn slice(&self, range: Range<usize>) -> Option<Self> {
        let start = self.range.start.checked_add(range.start)?;
        let end = self.range.start.checked_add(range.end)?;
        (start <= end && end <= self.range.end)
            .then(|| Self { owner: Arc::clone(&self.owner), range: start..end })
    }

    /// The number of bytes.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &(*self.owner).as_ref()[self.range.clone()]
    }
}

impl std::ops::Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.as_ref()
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({} bytes)", self.len())
    }
}

/// A stored tensor: row-major, little-endian, at any alignment.
#[derive(Debug, Clone)]
pub struct Tensor {
    /// Element type.
    pub dtype: Dtype,
    /// Dimensions, slowest first.
    pub shape: Vec<usize>,
    /// `shape.product() * dtype.size()` bytes.
    pub data: Bytes,
}

impl Tensor {
    /// A tensor over `data`.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] if the byte count is not what dtype and shape demand.
    pub fn new(dtype: Dtype, shape: Vec<usize>, data: Bytes) -> Result<Self> {
        let expected = shape.iter().try_fold(dtype.size(), |bytes, &dim| bytes.checked_mul(dim));
        if expected != Some(data.len()) {
            return Err(Error::new(
                ErrorKind::Shape,
                format!("{dtype} {shape:?} does not fit {} bytes", data.len()),
            ));
        }
        Ok(Self { dtype, shape, data })
    }

    /// The number of elements.
    pub fn elements(&self) -> usize {
        self.data.len() / self.dtype.size()
    }

    /// The elements as f32. f16 and bf16 convert exactly, f64 half to even.
    ///
    /// # Errors
    /// [`ErrorKind::Dtype`] for integer types.
    pub fn to_f32(&self) -> Result<Vec<f32>> {
        let mut out = vec![0.0; self.elements()];
        floats_to_f32(self.dtype, &self.data, &mut out)?;
        Ok(out)
    }
}

/// Converts stored little-endian floats at any alignment to f32; `out` has one element per stored one.
///
/// # Errors
/// [`ErrorKind::Dtype`] for integer types, [`ErrorKind::Shape`] if the lengths do not agree.
pub fn floats_to_f32(dtype: Dtype, bytes: &[u8], out: &mut [f32]) -> Result<()> {
    if bytes.len() != out.len() * dtype.size() {
        return Err(Error::new(
            ErrorKind::Shape,
            format!("{} bytes of {dtype} cannot fill {} elements", bytes.len(), out.len()),
        ));
    }
    match dtype {
        Dtype::F32 => convert(bytes, out, f32::from_le_bytes),
        Dtype::F16 => convert(bytes, out, |b: [u8; 2]| f16::from_le_bytes(b).to_f32()),
        Dtype::Bf16 => convert(bytes, out, |b: [u8; 2]| bf16::from_le_bytes(b).to_f32()),
        Dtype::F64 => convert(bytes, out, |b: [u8; 8]| f64::from_le_bytes(b) as f32),
        _ => {
            return Err(Error::new(
                ErrorKind::Dtype,
                format!("expected a float type, found {dtype}"),
            ));
        }
    }
    Ok(())
}

fn convert<const N: usize>(bytes: &[u8], out: &mut [f32], to_f32: impl Fn([u8; N]) -> f32) {
    for (value, chunk) in out.iter_mut().zip(bytes.as_chunks::<N>().0) {
        *value = to_f32(*chunk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_slices_stay_inside() {
        let bytes = Bytes::new(vec![0u8, 1, 2, 3, 4]);
        let part = bytes.slice(1..4).unwrap();
        assert_eq!(&*part, &[1, 2, 3]);
        assert_eq!(&*part.slice(1..3).unwrap(), &[2, 3]);
        assert!(part.slice(1..4).is_none());
        assert!(part.slice(2..usize::MAX).is_none());
    }

    #[test]
    fn tensor_checks_its_size() {
        assert!(Tensor::new(Dtype::F32, vec![2, 3], Bytes::new(vec![0; 24])).is_ok());
        let error = Tensor::new(Dtype::F32, vec![2, 3], Bytes::new(vec![0; 23])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Shape);
        assert!(Tensor::new(Dtype::F32, vec![usize::MAX, 3], Bytes::new(vec![0; 23])).is_err());
    }

    #[test]
    fn halves_become_f32_exactly() {
        let values = [1.0f32, -0.5, 65504.0, 5.960_464_5e-8];
        let bytes: Vec<u8> = values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect();
        let tensor = Tensor::new(Dtype::F16, vec![4], Bytes::new(bytes)).unwrap();
        assert_eq!(tensor.to_f32().unwrap(), values);
        let ids = Tensor::new(Dtype::I64, vec![1], Bytes::new(vec![0; 8])).unwrap();
        assert_eq!(ids.to_f32().unwrap_err().kind(), ErrorKind::Dtype);
    }
}
