//! Weights to integers: whole tensors in memory, or blocks of rows for a converter that streams.

use std::panic::resume_unwind;
use std::thread;

use half::f16;

use super::rows::{check_group, row_bytes};
use super::{Affine, Clip, Group, QuantScheme, QuantizedRows, ScaleType, Scales, ZeroPoints};
use crate::{Bytes, Error, ErrorKind, Result};

/// How weights become integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WeightSpec {
    /// Bits and groups; one of the quantised schemes.
    pub scheme: QuantScheme,
    /// False: a zero point for every group.
    pub symmetric: bool,
    /// The rule that chooses a group's range.
    pub clip: Clip,
}

impl WeightSpec {
    /// Symmetric, round to nearest.
    pub fn new(scheme: QuantScheme) -> Self {
        Self { scheme, symmetric: true, clip: Clip::AbsMax }
    }

    /// With another clip rule.
    #[must_use]
    pub fn with_clip(self, clip: Clip) -> Self {
        Self { clip, ..self }
    }

    /// With a zero point for every group.
    #[must_use]
    pub fn with_zero_points(self) -> Self {
        Self { symmetric: false, ..self }
    }

    /// The type scales are stored in unless one of the tensor is outside f16's normal range: f16 for
    /// grouped schemes, f32 for the others.
    pub fn scale_type(&self) -> ScaleType {
        match self.scheme.group() {
            Some(Group::Columns(_)) => ScaleType::F16,
            _ => ScaleType::F32,
        }
    }

    /// Group size and bits for rows of `k` columns.
    ///
    /// # Errors
    /// [`ErrorKind::Quantization`] if the scheme is a float one or its group size does not divide
    /// `k`, is longer than [`MAX_GROUP`](super::MAX_GROUP) or, for int4, odd; [`ErrorKind::Shape`] if
    /// `k` is zero.
    pub fn check(&self, k: usize) -> Result<(usize, u32)> {
        let bits = self.scheme.weight_bits();
        let group = match self.scheme.group() {
            None => {
                return Err(Error::new(
                    ErrorKind::Quantization,
                    format!("{} is not a quantised scheme", self.scheme),
                ));
            }
            Some(_) if k == 0 => 0,
            Some(_) => self.scheme.group_size(k)?,
        };
        check_group(k, group, bits)?;
        Ok((group, bits))
    }
}

/// Some whole rows of a matrix after quantisation, as they are stored.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantizedBlock {
    /// Values: rows of K bytes (int8) or [`nibble::row_bytes`](super::nibble::row_bytes) (int4).
    pub data: Vec<u8>,
    /// Scales `[rows, K / group]`, little-endian, in the type asked for.
    pub scales: Vec<u8>,
    /// Zero points `[rows, K / group]`, absent where symmetric.
    pub zero_points: Option<ZeroPoints>,
    /// False if f16 scales were asked for and one is outside f16's normal range. Then the rest of the
    /// block means nothing: redo the whole tensor with f32 scales.
    pub f16_range: bool,
}

/// Quantises `rows` `[rows, K]`, a block of whole rows. The result of a row depends on nothing but the row.
/// `first_row` is the number of the block's first row in its tensor, for messages.
///
/// # Errors
/// [`ErrorKind::NonFinite`] naming row and column of the first weight that is not finite, or the row
/// and group whose range has no finite scale; [`ErrorKind::Shape`] if `rows` is empty or no multiple of
/// K; what [`WeightSpec::check`] refuses.
pub fn quantize_block(
    rows: &[f32],
    k: usize,
    first_row: usize,
    spec: &WeightSpec,
    scale_type: ScaleType,
) -> Result<QuantizedBlock> {
    let layout = Layout::new(k, spec, scale_type)?;
    let n = rows.len() / k;
    if n == 0 || !rows.len().is_multiple_of(k) {
        return Err(Error::new(
            ErrorKind::Shape,
            format!("{} values are not whole rows of {k} columns", rows.len()),
        ));
    }
    let mut out = Buffers::new(n, &layout);
    let f16_range = layout.fill(rows, first_row, out.parts())?;
    let zero_points = (!spec.symmetric).then(|| layout.zero_points(out.zero_points));
    Ok(QuantizedBlock { data: out.data, scales: out.scales, zero_points, f16_range })
}

/// Quantises `w` `[n, k]` on `threads` threads (at least one), whose number does not change the result. Grouped schemes
/// get f16 scales, or f32 ones where any scale of the tensor is outside f16's normal range.
///
/// # Errors
/// As [`quantize_block`]; [`ErrorKind::Shape`] if `w` does not have `n * k` elements.
pub fn quantize(
    w: &[f32],
    n: usize,
    k: usize,
    spec: &WeightSpec,
    threads: usize,
) -> Result<QuantizedRows> {
    let (group, bits) = spec.check(k)?;
    if n == 0 || n.checked_mul(k) != Some(w.len()) {
        return Err(Error::new(
            ErrorKind::Shape,
            format!("{} weights cannot be [{n}, {k}]", w.len()),
        ));
    }
    let mut scale_type = spec.scale_type();
    loop {
        let layout = Layout::new(k, spec, scale_type)?;
        let mut out = Buffers::new(n, &layout);
        if !quantize_on_threads(w, &layout, threads, &mut out)? {
            scale_type = ScaleType::F32;
            continue;
        }
        let zero_points = (!spec.symmetric).then(|| layout.zero_points(out.zero_points));
        let scales = Scales::new(scale_type, Bytes::new(out.scales));
        return QuantizedRows::new((n, k), group, bits, Bytes::new(out.data), scales, zero_points);
    }
}

/// Fills `out`; false if a scale left f16's normal range.
fn quantize_on_threads(
    w: &[f32],
    layout: &Layout,
    threads: usize,
    out: &mut Buffers,
) -> Result<bool> {
    let n = w.len() / layout.k;
    let rows = n.div_ceil(threads.clamp(1, n));
    let results: Vec<Result<bool>> = thread::scope(|scope| {
        let parts = w.chunks(rows * layout.k).zip(out.parts().split(rows, layout)).enumerate();
        let workers: Vec<_> = parts
            .map(|(i, (w, part))| scope.spawn(move || layout.fill(w, i * rows, part)))
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|p| resume_unwind(p)))
            .collect()
    });
    // In the order of the rows, so the error reported does not depend on the number of threads.
    results.into_iter().try_fold(true, |all, f16_range| Ok(all & f16_range?))
}

/// Everything about a row but its weights.
#[derive(Debug, Clone, Copy)]
struct Layout {
    k: usize,
    group: usize,
    bits: u32,
    symmetric: bool,
    clip: Clip,
    scale_type: ScaleType,
}

/// Where the parts of a block go. Zero points are written always and dropped where symmetric.
struct Buffers {
    data: Vec<u8>,
    scales: Vec<u8>,
    zero_points: Vec<u8>,
}

struct Parts<'a> {
    data: &'a mut [u8],
    scales: &'a mut [u8],
    zero_points: &'a mut [u8],
}

impl Buffers {
    fn new(n: usize, layout: &Layout) -> Self {
        let groups = n * layout.groups();
        Self {
            data: vec![0; n * layout.row_bytes()],
            scales: vec![0; groups * layout.scale_type.size()],
            zero_points: vec![0; groups],
        }
    }

    fn parts(&mut self) -> Parts<'_> {
        Parts { data: &mut self.data, scales: &mut self.scales, zero_points: &mut self.zero_points }
    }
}

impl<'a> Parts<'a> {
    /// Pieces of `rows` rows; the last may be shorter.
    fn split(self, rows: usize, layout: &Layout) -> impl Iterator<Item = Parts<'a>> {
        let scales = rows * layout.groups() * layout.scale_type.size();
        self.data
            .chunks_mut(rows * layout.row_bytes())
            .zip(self.scales.chunks_mut(scales))
            .zip(self.zero_points.chunks_mut(rows * layout.groups()))
            .map(|((data, scales), zero_points)| Parts { data, scales, zero_points })
    }
}

impl Layout {
    fn new(k: usize, spec: &WeightSpec, scale_type: ScaleType) -> Result<Self> {
        let (group, bits) = spec.check(k)?;
        Ok(Self { k, group, bits, symmetric: spec.symmetric, clip: spec.clip, scale_type })
    }

    fn groups(&self) -> usize {
        self.k / self.group
    }

    fn row_bytes(&self) -> usize {
        row_bytes(self.k, self.bits)
    }

    fn zero_points(&self, bytes: Vec<u8>) -> ZeroPoints {
        match self.bits {
            4 => ZeroPoints::U4(bytes),
            _ => ZeroPoints::I8(bytes.into_iter().map(|z| z as i8).collect()),
        }
    }

    /// Quantises whole rows into `out`; false if a scale left f16's normal range.
    ///
    /// It goes on after one has, so that the first bad weight is found whatever the size of the block.
    fn fill(&self, w: &[f32], first_row: usize, out: Parts<'_>) -> Result<bool> {
        let mut f16_range = true;
        let rows = w.chunks_exact(self.k).zip(out.split(1, self)).enumerate();
        for (row, (w, out)) in rows {
            for (g, w) in w.chunks_exact(self.group).enumerate() {
                let range = range(w).map_err(|bad| {
                    let (row, column) = (first_row + row, g * self.group + bad);
                    Error::new(
                        ErrorKind::NonFinite,
                        format!("the weight of row {row}, column {column} is {}", w[bad]),
                    )
                    .with_hint(
                        "the checkpoint is damaged or overflowed when it was saved; get a good one",
                    )
                })?;
                let map = self
                    .clip
                    .fit(w, range, self.bits, self.symmetric, self.scale_type)
                    .map_err(|error| error.about(format!("row {}, group {g}", first_row + row)))?;
                let Some(map) = map else {
                    f16_range = false;
                    continue;
                };
                self.write_scale(map.scale, g, out.scales);
                if self.bits == 4 {
                    out.zero_points[g] = (map.zero_point + 8) as u8;
                    write_int4(w, &map, &mut out.data[g * self.group / 2..]);
                } else {
                    out.zero_points[g] = map.zero_point as u8;
                    write_int8(w, &map, &mut out.data[g * self.group..]);
                }
            }
        }
        Ok(f16_range)
    }

    fn write_scale(&self, scale: f32, g: usize, out: &mut [u8]) {
        match self.scale_type {
            ScaleType::F32 => out.as_chunks_mut().0[g] = scale.to_le_bytes(),
            ScaleType::F16 => out.as_chunks_mut().0[g] = f16::from_f32(scale).to_le_bytes(),
        }
    }
}

/// `(min(0, w), max(0, w))`, or the column of the first weight that is not finite.
fn range(w: &[f32]) -> Result<(f32, f32), usize> {
    let mut lo = [0.0f32; 16];
    let mut hi = [0.0f32; 16];
    let mut magnitude = [0u32; 16];
    let mut scan = |chunk: &[f32]| {
        for (j, &w) in chunk.iter().enumerate() {
            lo[j] = if w < lo[j] { w } else { lo[j] };
            hi[j] = if w > hi[j] { w } else { hi[j] };
            // The or of all exponents: all ones only if one of them may be.
            magnitude[j] |= w.to_bits();
        }
    };
    let (chunks, rest) = w.as_chunks::<16>();
    chunks.iter().for_each(|chunk| scan(chunk));
    scan(rest);
    const EXPONENT: u32 = 0x7f80_0000;
    if magnitude.iter().any(|bits| bits & EXPONENT == EXPONENT)
        && let Some(bad) = w.iter().position(|w| !w.is_finite())
    {
        return Err(bad);
    }
    let lo = lo.into_iter().fold(0.0, |a, b| if b < a { b } else { a });
    let hi = hi.into_iter().fold(0.0, |a, b| if b > a { b } else { a });
    Ok((lo, hi))
}

fn write_int8(w: &[f32], map: &Affine, out: &mut [u8]) {
    let (lo, hi) = map.limits();
    for (out, &w) in out.iter_mut().zip(w) {
        *out = map.quantize_finite(w, lo, hi) as u8;
    }
}

/// Writes a group that starts at a whole byte.
fn write_int4(w: &[f32], map: &Affine, out: &mut [u8]) {
    let (lo, hi) = map.limits();
    let nibble = |w: f32| (map.quantize_finite(w, lo, hi) + 8) as u8;
    let (pairs, last) = w.as_chunks::<2>();
    for (out, &[even, odd]) in out.iter_mut().zip(pairs) {
        *out = nibble(even) | nibble(odd) << 4;
    }
    if let &[last] = last {
        out[pairs.len()] = nibble(last);
    }
}

#[cfg(test)]
mod tests;
