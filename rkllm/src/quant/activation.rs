//! The two activation quantisers, plain: what [`kernels`](crate::kernels) must reproduce bit for bit.
//!
//! Columns are in natural order here; the kernels lay them out as their instructions need. Values must
//! be finite: what NaN or infinity becomes is not specified.

/// The floor of an activation scale, 2^-23: a row of zeros divides by it.
const MIN_SCALE: f32 = f32::EPSILON;

/// One token quantised for w8a8.
#[derive(Debug, Clone, PartialEq)]
pub struct Token8 {
    /// Values `[K]`.
    pub q: Vec<i8>,
    /// Scales `[K / group]`.
    pub scales: Vec<f32>,
}

/// One token quantised for w4a16: `X = 256 hi + lo`.
#[derive(Debug, Clone, PartialEq)]
pub struct Token16 {
    /// Low plane `[K]`.
    pub lo: Vec<i8>,
    /// High plane `[K]`.
    pub hi: Vec<i8>,
    /// Scales `[K / group]`.
    pub scales: Vec<f32>,
}

/// Quantises one token `x` `[K]`, a scale for every `group` columns:
/// `scale = max(amax / 127.5, 2^-23)`, `q = clamp(rhe(x / scale), -128, 127)`.
///
/// # Panics
/// If `group` is zero or does not divide K.
pub fn quantize8(x: &[f32], group: usize) -> Token8 {
    assert!(x.len().is_multiple_of(group), "group size {group} does not divide K = {}", x.len());
    let mut token = Token8 { q: Vec::with_capacity(x.len()), scales: Vec::new() };
    for columns in x.chunks_exact(group) {
        let scale = (amax(columns) / 127.5).max(MIN_SCALE);
        token.scales.push(scale);
        token.q.extend(columns.iter().map(|&x| {
            let q = (x / scale).round_ties_even();
            q.clamp(-128.0, 127.0) as i8
        }));
    }
    token
}

/// Quantises one token `x` `[K]`, a scale for every `group` columns:
/// `scale = max(amax / 32639, 2^-23)`, `X = clamp(rhe(x / scale), -32639, 32639)`, `lo` the low byte of
/// `X` as a signed byte, `hi = (X - lo) / 256`.
///
/// # Panics
/// If `group` is zero or does not divide K.
pub fn quantize16(x: &[f32], group: usize) -> Token16 {
    assert!(x.len().is_multiple_of(group), "group size {group} does not divide K = {}", x.len());
    let mut token = Token16 {
        lo: Vec::with_capacity(x.len()),
        hi: Vec::with_capacity(x.len()),
        scales: Vec::new(),
    };
    for columns in x.chunks_exact(group) {
        let scale = (amax(columns) / 32639.0).max(MIN_SCALE);
        token.scales.push(scale);
        for &x in columns {
            let value = (x / scale).round_ties_even().clamp(-32639.0, 32639.0) as i32;
            let lo = value as i8;
            token.lo.push(lo);
            // 32639 = 127 * 256 + 127, so both planes fit whatever the sign of lo.
            token.hi.push(((value - i32::from(lo)) >> 8) as i8);
        }
    }
    token
}

fn amax(columns: &[f32]) -> f32 {
    columns.iter().fold(0.0, |amax, x| amax.max(x.abs()))
}
