//! One matrix, read, quantised and handed on a block of rows at a time.

use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::thread;

use rkllm::quant::{QuantizedBlock, ScaleType, WeightSpec, ZeroPoints, quantize_block};
use rkllm::{Dtype, Error, ErrorKind, Result, floats_to_f32};

/// Values handled at a time. Stored, as f32 and quantised they take some 100 MB at most.
const BLOCK_VALUES: usize = 8 << 20;
/// Fewer values than this are not worth another thread.
const THREAD_VALUES: usize = 1 << 14;

/// Takes a block of stored rows and the number of the first one; `Break` asks for no more.
pub(crate) type OnBlock<'a> = dyn FnMut(usize, &[u8]) -> Result<ControlFlow<()>> + 'a;

/// A float matrix `[n, k]` in a file.
pub(crate) struct Matrix<'a> {
    pub(crate) dtype: Dtype,
    pub(crate) n: usize,
    pub(crate) k: usize,
    /// Fills a buffer from an offset in bytes inside the tensor.
    pub(crate) read: &'a dyn Fn(u64, &mut [u8]) -> Result<()>,
}

impl Matrix<'_> {
    fn row_bytes(&self) -> usize {
        self.k * self.dtype.size()
    }

    /// Hands on the stored rows a block at a time, until told to stop.
    pub(crate) fn blocks(&self, on_block: &mut OnBlock<'_>) -> Result<()> {
        let rows = (BLOCK_VALUES / self.k).clamp(1, self.n);
        let mut stored = vec![0; rows * self.row_bytes()];
        for first in (0..self.n).step_by(rows) {
            let block = &mut stored[..rows.min(self.n - first) * self.row_bytes()];
            (self.read)(first as u64 * self.row_bytes() as u64, block)?;
            if on_block(first, block)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// The small parts of a quantised matrix; the values went to the sink.
#[derive(Debug)]
pub(crate) struct Parameters {
    pub(crate) scale_type: ScaleType,
    /// Scales `[n, groups]`, little-endian.
    pub(crate) scales: Vec<u8>,
    /// Zero points `[n, groups]`.
    pub(crate) zero_points: Option<ZeroPoints>,
}

/// What takes the values of a matrix.
pub(crate) trait Sink {
    /// Takes the stored values of the next rows, which `source_bytes` of the source became.
    fn values(&mut self, stored: &[u8], source_bytes: u64) -> Result<()>;
    /// Forgets the values of this matrix: it is quantised again.
    fn restart(&mut self) -> Result<()>;
}

/// Quantises `matrix` on `threads` threads, whose number does not change the result. Grouped schemes get
/// f16 scales, or f32 ones where any of the tensor is outside f16's normal range.
pub(crate) fn quantize_matrix(
    matrix: &Matrix<'_>,
    spec: &WeightSpec,
    threads: usize,
    sink: &mut dyn Sink,
) -> Result<Parameters> {
    if let Some(parameters) = attempt(matrix, spec, spec.scale_type(), threads, sink)? {
        return Ok(parameters);
    }
    sink.restart()?;
    attempt(matrix, spec, ScaleType::F32, threads, sink)?.ok_or_else(|| {
        Error::new(ErrorKind::Quantization, "a scale has no place in f32; please report this")
    })
}

/// `None` where a scale does not fit `scale_type`.
fn attempt(
    matrix: &Matrix<'_>,
    spec: &WeightSpec,
    scale_type: ScaleType,
    threads: usize,
    sink: &mut dyn Sink,
) -> Result<Option<Parameters>> {
    let mut out = Parameters { scale_type, scales: Vec::new(), zero_points: None };
    let mut fits = true;
    matrix.blocks(&mut |first, stored| {
        for part in quantize_stored(matrix, first, stored, spec, scale_type, threads) {
            let (source_bytes, part) = part?;
            fits &= part.f16_range;
            if !fits {
                return Ok(ControlFlow::Break(()));
            }
            sink.values(&part.data, source_bytes)?;
            out.scales.extend(part.scales);
            join(&mut out.zero_points, part.zero_points);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(fits.then_some(out))
}

/// Quantises the stored rows of a block, split among threads; the parts are in the order of the rows, and
/// so is the first error among them. Each comes with the number of stored bytes it was made from.
fn quantize_stored(
    matrix: &Matrix<'_>,
    first: usize,
    stored: &[u8],
    spec: &WeightSpec,
    scale_type: ScaleType,
    threads: usize,
) -> Vec<Result<(u64, QuantizedBlock)>> {
    let (dtype, k, row_bytes) = (matrix.dtype, matrix.k, matrix.row_bytes());
    let n = stored.len() / row_bytes;
    let threads = threads.clamp(1, (n * k).div_ceil(THREAD_VALUES));
    let rows = n.div_ceil(threads);
    let quantize = |first: usize, stored: &[u8]| {
        let mut values = vec![0.0; stored.len() / dtype.size()];
        floats_to_f32(dtype, stored, &mut values)?;
        let block = quantize_block(&values, k, first, spec, scale_type)?;
        Ok((stored.len() as u64, block))
    };
    let parts = stored.chunks(rows * row_bytes).enumerate();
    if threads == 1 {
        return parts.map(|(i, part)| quantize(first + i * rows, part)).collect();
    }
    thread::scope(|scope| {
        let workers: Vec<_> =
            parts.map(|(i, part)| scope.spawn(move || quantize(first + i * rows, part))).collect();
        let results = workers.into_iter().map(|worker| worker.join());
        results.map(|result| result.unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

/// Appends zero points of further rows.
fn join(all: &mut Option<ZeroPoints>, more: Option<ZeroPoints>) {
    match (all, more) {
        (Some(ZeroPoints::I8(all)), Some(ZeroPoints::I8(more))) => all.extend(more),
        (Some(ZeroPoints::U4(all)), Some(ZeroPoints::U4(more))) => all.extend(more),
        (all, Some(more)) => *all = Some(more),
        (_, None) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rkllm::quant::{Clip, Group, QuantScheme, Scales, quantize};

    #[derive(Default)]
    struct Kept {
        data: Vec<u8>,
        source_bytes: u64,
        restarts: usize,
    }

    impl Sink for Kept {
        fn values(&mut self, stored: &[u8], source_bytes: u64) -> Result<()> {
            self.data.extend(stored);
            self.source_bytes += source_bytes;
            Ok(())
        }

        fn restart(&mut self) -> Result<()> {
            *self = Self { restarts: self.restarts + 1, ..Self::default() };
            Ok(())
        }
    }

    fn streamed(w: &[f32], k: usize, spec: &WeightSpec, threads: usize) -> (Kept, Parameters) {
        let bytes: Vec<u8> = w.iter().flat_map(|w| w.to_le_bytes()).collect();
        let read = |at: u64, out: &mut [u8]| {
            out.copy_from_slice(&bytes[at as usize..][..out.len()]);
            Ok(())
        };
        let matrix = Matrix { dtype: Dtype::F32, n: w.len() / k, k, read: &read };
        let mut kept = Kept::default();
        let parameters = quantize_matrix(&matrix, spec, threads, &mut kept).unwrap();
        (kept, parameters)
    }

    /// Values that differ in every row, from a small linear congruence.
    fn weights(count: usize) -> Vec<f32> {
        let step = |x: &mut u32| {
            *x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Some((*x >> 8) as f32 / 8_388_608.0 - 1.0)
        };
        std::iter::repeat(()).scan(7, |x, ()| step(x)).take(count).collect()
    }

    fn assert_as_in_memory(w: &[f32], k: usize, spec: &WeightSpec, threads: usize) -> Kept {
        let whole = quantize(w, w.len() / k, k, spec, 1).unwrap();
        let (kept, parameters) = streamed(w, k, spec, threads);
        assert_eq!(kept.data, whole.data()[..], "{spec:?}, {threads} threads");
        assert_eq!(parameters.scale_type, whole.scales().scale_type());
        assert_eq!(parameters.scales, whole.scales().bytes()[..]);
        assert_eq!(parameters.zero_points.as_ref(), whole.zero_points());
        assert_eq!(kept.source_bytes, w.len() as u64 * 4);
        kept
    }

    #[test]
    fn streaming_changes_no_bit() {
        // Long enough for several blocks of one scheme, odd enough that the last is short.
        let k = 96;
        let w = weights(3 * BLOCK_VALUES / 2 / k * k + 5 * k);
        for spec in [
            WeightSpec::new(QuantScheme::W8A8(Group::Channel)),
            WeightSpec::new(QuantScheme::W4A16(Group::Columns(32))).with_zero_points(),
        ] {
            assert_as_in_memory(&w, k, &spec, 1);
            assert_as_in_memory(&w, k, &spec, 3);
        }
        let few = &w[..7 * k];
        let spec = WeightSpec::new(QuantScheme::W8A8(Group::Channel)).with_zero_points();
        assert_as_in_memory(few, k, &spec.with_clip(Clip::Mse), 16);
    }

    #[test]
    fn one_scale_outside_f16_redoes_the_tensor() {
        let mut w = weights(1 << 16);
        w[60_000..60_032].fill(1e-9);
        let spec = WeightSpec::new(QuantScheme::W4A16(Group::Columns(32)));
        let kept = assert_as_in_memory(&w, 64, &spec, 2);
        assert_eq!(kept.restarts, 1);
        let (_, parameters) = streamed(&w, 64, &spec, 2);
        assert!(matches!(
            Scales::new(parameters.scale_type, rkllm::Bytes::new(parameters.scales)),
            Scales::F32(_)
        ));
    }
}
