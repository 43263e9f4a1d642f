//! A weight matrix after quantisation: integers, scales, zero points.

use half::f16;

use super::nibble;
use crate::{Bytes, Error, ErrorKind, Result};

/// The longest group: an i32 sum of this many products of an int8 weight, its zero point taken off, and
/// an int8 activation is exact.
pub const MAX_GROUP: usize = 65_536;

/// The type scales are stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScaleType {
    /// f32, 4 bytes.
    F32,
    /// f16, 2 bytes.
    F16,
}

impl ScaleType {
    /// Bytes per scale.
    pub const fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }
}

/// Scales `[N, G]`, row-major little-endian at any alignment, in their stored type.
#[derive(Debug, Clone)]
pub enum Scales {
    /// f32, 4 bytes each.
    F32(Bytes),
    /// f16, 2 bytes each.
    F16(Bytes),
}

impl Scales {
    /// Scales of `scale_type` over `bytes`.
    pub fn new(scale_type: ScaleType, bytes: Bytes) -> Self {
        match scale_type {
            ScaleType::F32 => Self::F32(bytes),
            ScaleType::F16 => Self::F16(bytes),
        }
    }

    /// The type they are stored in.
    pub fn scale_type(&self) -> ScaleType {
        match self {
            Self::F32(_) => ScaleType::F32,
            Self::F16(_) => ScaleType::F16,
        }
    }

    /// The stored bytes.
    pub fn bytes(&self) -> &Bytes {
        match self {
            Self::F32(bytes) | Self::F16(bytes) => bytes,
        }
    }

    /// The number of scales.
    pub fn len(&self) -> usize {
        self.bytes().len() / self.scale_type().size()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Scale `index`, exactly, in row-major order; `None` past the end.
    pub fn get(&self, index: usize) -> Option<f32> {
        match self {
            Self::F32(bytes) => bytes.as_chunks().0.get(index).map(|&b| f32::from_le_bytes(b)),
            Self::F16(bytes) => {
                bytes.as_chunks().0.get(index).map(|&b| f16::from_le_bytes(b).to_f32())
            }
        }
    }
}

impl Scales {
    /// The index of the first NaN or infinity. A file of small groups has millions of scales, and all are looked
    /// at before the first token.
    fn first_not_finite(&self) -> Option<usize> {
        fn scan<const N: usize>(bytes: &[u8], bad: impl Fn([u8; N]) -> bool) -> Option<usize> {
            // Or over a whole block, which vectorises; the search only runs where there is one.
            let mut blocks = bytes.as_chunks::<N>().0.chunks(1024).enumerate();
            blocks.find_map(|(i, block)| {
                let any = block.iter().fold(false, |any, &element| any | bad(element));
                let inside =
                    any.then(|| block.iter().position(|&element| bad(element))).flatten()?;
                Some(i * 1024 + inside)
            })
        }
        match self {
            Self::F32(bytes) => scan(bytes, |b| u32::from_le_bytes(b) & 0x7f80_0000 == 0x7f80_0000),
            Self::F16(bytes) => scan(bytes, |b| u16::from_le_bytes(b) & 0x7c00 == 0x7c00),
        }
    }
}

/// Zero points `[N, G]` of asymmetric weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ZeroPoints {
    /// Of int8 weights: `z` itself.
    I8(Vec<i8>),
    /// Of int4 weights: `z + 8`, 0..=15.
    U4(Vec<u8>),
}

impl ZeroPoints {
    /// `z` of `index` in row-major order, whichever way it is stored; `None` past the end.
    pub fn get(&self, index: usize) -> Option<i32> {
        match self {
            Self::I8(z) => z.get(index).map(|&z| i32::from(z)),
            Self::U4(u) => u.get(index).map(|&u| i32::from(u) - 8),
        }
    }
}

/// A quantised weight matrix `[N, K]`, row-major, K contiguous.
///
/// Its parts always agree: nothing outside the crate can make one but through
/// [`QuantizedRows::new`] and [`quantize`](super::quantize), and kernels rely on that.
#[derive(Debug, Clone)]
pub struct QuantizedRows {
    pub(crate) n: usize,
    pub(crate) k: usize,
    pub(crate) group: usize,
    pub(crate) bits: u32,
    pub(crate) data: Bytes,
    pub(crate) scales: Scales,
    pub(crate) zero_points: Option<ZeroPoints>,
}

impl QuantizedRows {
    /// A matrix `[n, k]` of `bits` 8 or 4 with a scale for every `group` columns of a row.
    ///
    /// - `data`: int8: `n * k` bytes. int4: `n` rows of [`QuantizedRows::row_bytes`], column `2j` in
    ///   the low nibble of byte `j` as `q + 8`, rows padded with zero nibbles.
    /// - `scales`: `[n, k / group]`.
    /// - `zero_points`: `[n, k / group]`, absent where symmetric.
    ///
    /// # Errors
    /// [`ErrorKind::Quantization`] if `bits`, `group` or the kind of zero points cannot be,
    /// [`ErrorKind::Shape`] if a dimension is zero or a length disagrees. Values of scales are not
    /// looked at: see [`QuantizedRows::check_scales`].
    pub fn new(
        (n, k): (usize, usize),
        group: usize,
        bits: u32,
        data: Bytes,
        scales: Scales,
        zero_points: Option<ZeroPoints>,
    ) -> Result<Self> {
        check_group(k, group, bits)?;
        let rows = Self { n, k, group, bits, data, scales, zero_points };
        if n == 0 {
            return Err(Error::new(ErrorKind::Shape, format!("expected rows, found [0, {k}]")));
        }
        rows.expect("bytes of values", rows.data.len(), rows.row_bytes())?;
        let scale_size = rows.scales.scale_type().size();
        rows.expect("bytes of scales", rows.scales.bytes().len(), rows.groups() * scale_size)?;
        match (&rows.zero_points, bits) {
            (None, _) => {}
            (Some(ZeroPoints::I8(z)), 8) => rows.expect("zero points", z.len(), rows.groups())?,
            (Some(ZeroPoints::U4(z)), 4) => {
                rows.expect("zero points", z.len(), rows.groups())?;
                if let Some(z) = z.iter().find(|&&z| z > 15) {
                    return Err(Error::new(
                        ErrorKind::Quantization,
                        format!("expected int4 zero points in 0..=15, found {z}"),
                    ));
                }
            }
            _ => {
                return Err(Error::new(
                    ErrorKind::Quantization,
                    format!("the zero points are not those of int{bits} weights"),
                ));
            }
        }
        Ok(rows)
    }

    fn expect(&self, what: &str, found: usize, per_row: usize) -> Result<()> {
        let expected = self.n.checked_mul(per_row);
        if expected == Some(found) {
            return Ok(());
        }
        let expected = expected.map_or("more than memory holds".into(), |n| n.to_string());
        Err(Error::new(
            ErrorKind::Shape,
            format!(
                "int{} [{}, {}] in groups of {}: expected {expected} {what}, found {found}",
                self.bits, self.n, self.k, self.group
            ),
        ))
    }

    /// N: output features.
    pub fn n(&self) -> usize {
        self.n
    }

    /// K: input features.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Columns per group; K where a row is one group. Divides K; even for int4 unless it is K.
    pub fn group(&self) -> usize {
        self.group
    }

    /// 8 or 4.
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// The values, as [`QuantizedRows::new`] takes them.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// Scales `[N, K / group]`.
    pub fn scales(&self) -> &Scales {
        &self.scales
    }

    /// Zero points `[N, K / group]`, absent where symmetric.
    pub fn zero_points(&self) -> Option<&ZeroPoints> {
        self.zero_points.as_ref()
    }

    /// Groups per row.
    pub fn groups(&self) -> usize {
        self.k / self.group
    }

    /// Bytes from one row to the next: K for int8, `ceil(K / 8) * 4` for int4.
    pub fn row_bytes(&self) -> usize {
        row_bytes(self.k, self.bits)
    }

    /// Bytes of values, scales and zero points as stored.
    pub fn stored_bytes(&self) -> usize {
        let zero_points = match &self.zero_points {
            None => 0,
            Some(ZeroPoints::I8(z)) => z.len(),
            Some(ZeroPoints::U4(_)) => nibble::row_bytes(self.n) * self.groups(),
        };
        self.data.len() + self.scales.bytes().len() + zero_points
    }

    /// Looks at every scale.
    ///
    /// # Errors
    /// [`ErrorKind::NonFinite`] naming the row and group of the first scale that is not finite.
    pub fn check_scales(&self) -> Result<()> {
        match self.scales.first_not_finite() {
            None => Ok(()),
            Some(index) => Err(Error::new(
                ErrorKind::NonFinite,
                format!(
                    "the scale of row {}, group {} is not finite",
                    index / self.groups(),
                    index % self.groups()
                ),
            )),
        }
    }

    /// Writes the integers `q` of row `row` to `out` `[K]`, zero point included.
    ///
    /// # Panics
    /// If `row >= N` or `out` is not K long.
    pub fn unpack_row(&self, row: usize, out: &mut [i8]) {
        assert!(row < self.n && out.len() == self.k, "row {row} of [{}, {}]", self.n, self.k);
        let bytes = &self.data[row * self.row_bytes()..][..self.row_bytes()];
        if self.bits == 4 {
            nibble::unpack_row(bytes, out).expect("a row has row_bytes bytes");
        } else {
            for (q, &byte) in out.iter_mut().zip(bytes) {
                *q = byte as i8;
            }
        }
    }

    /// Writes `(q - z) * scale` of row `row` to `out` `[K]`.
    ///
    /// # Panics
    /// If `row >= N` or `out` is not K long.
    pub fn dequantize_row(&self, row: usize, out: &mut [f32]) {
        let mut q = vec![0; self.k];
        self.unpack_row(row, &mut q);
        let groups = out.chunks_exact_mut(self.group).zip(q.chunks_exact(self.group));
        for (g, (out, q)) in groups.enumerate() {
            let index = row * self.groups() + g;
            let scale = self.scales.get(index).expect("a scale for every group");
            let z = self.zero_points.as_ref().and_then(|z| z.get(index)).unwrap_or(0);
            for (out, &q) in out.iter_mut().zip(q) {
                *out = (i32::from(q) - z) as f32 * scale;
            }
        }
    }

    /// The matrix `[N, K]` in f32.
    pub fn dequantize(&self) -> Vec<f32> {
        let mut w = vec![0.0; self.n * self.k];
        for (row, out) in w.chunks_exact_mut(self.k).enumerate() {
            self.dequantize_row(row, out);
        }
        w
    }
}

/// Bytes from one row of `k` columns to the next.
pub(super) const fn row_bytes(k: usize, bits: u32) -> usize {
    if bits == 4 { nibble::row_bytes(k) } else { k }
}

/// Refuses rows of `k` columns, groups and element sizes that no kernel takes.
pub(super) fn check_group(k: usize, group: usize, bits: u32) -> Result<()> {
    let refuse = |message: String| Err(Error::new(ErrorKind::Quantization, message));
    if k == 0 {
        return Err(Error::new(ErrorKind::Shape, "expected columns, found K = 0"));
    }
    if bits != 8 && bits != 4 {
        return refuse(format!("expected int8 or int4 weights, found {bits} bits"));
    }
    if group == 0 || !k.is_multiple_of(group) {
        return refuse(format!("group size {group} does not divide K = {k}"));
    }
    if group > MAX_GROUP {
        return Err(Error::new(
            ErrorKind::Quantization,
            format!("a group of {group} columns is longer than {MAX_GROUP}"),
        )
        .with_hint("choose a scheme with groups"));
    }
    if bits == 4 && !group.is_multiple_of(2) && group != k {
        return refuse(format!("int4 groups of {group} columns share bytes; use an even size"));
    }
    Ok(())
}
