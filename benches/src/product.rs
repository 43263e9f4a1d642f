//! Linear layers with weights of random bits and activations that are quantised before.

use std::ops::Range;

use rkllm::Bytes;
use rkllm::kernels::Columns;
use rkllm::kernels::int::{Activations8, Activations16, IntProducts};
use rkllm::quant::{QuantScheme, QuantizedRows, Scales};

/// Weights `[n, k]` of random bits: the time does not depend on them.
///
/// # Panics
/// If the groups of `scheme` do not divide `k`.
pub fn weights(scheme: QuantScheme, n: usize, k: usize) -> QuantizedRows {
    let group = scheme.group_size(k).expect("shapes are multiples of the groups");
    let bits = scheme.weight_bits();
    let bytes = n * if bits == 8 { k } else { k.div_ceil(8) * 4 };
    let mut state = 1u64;
    let data: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_le_bytes()
    })
    .flatten()
    .take(bytes)
    .collect();
    let count = n * (k / group);
    let scales = if group == k {
        Scales::F32(Bytes::new(0.01f32.to_le_bytes().repeat(count)))
    } else {
        // 0.01 as f16.
        Scales::F16(Bytes::new(0x211f_u16.to_le_bytes().repeat(count)))
    };
    QuantizedRows::new((n, k), group, bits, Bytes::new(data), scales, None).expect("sizes agree")
}

/// Copies of `w` with bytes of their own, together at least `bytes`.
///
/// # Panics
/// Never: the sizes of a copy agree.
pub fn copies(w: &QuantizedRows, bytes: usize) -> Vec<QuantizedRows> {
    let copy = || {
        let data = Bytes::new(w.data().to_vec());
        QuantizedRows::new((w.n(), w.k()), w.group(), w.bits(), data, w.scales().clone(), None)
    };
    (0..bytes.div_ceil(w.data().len())).map(|_| copy().expect("sizes agree")).collect()
}

/// Quantised activations of `m` tokens, to be multiplied with weights of one scheme and K.
#[derive(Debug)]
pub enum Product {
    /// int8 activations.
    W8A8(Activations8),
    /// 16-bit activations in two planes.
    W4A16(Activations16),
}

impl Product {
    /// Activations `[m, K]` for weights like `w`.
    pub fn new(kernel: &dyn IntProducts, w: &QuantizedRows, m: usize) -> Self {
        Self::of(kernel, w, &Self::inputs(w, m))
    }

    /// Inputs `[m, K]` for weights like `w`.
    pub fn inputs(w: &QuantizedRows, m: usize) -> Vec<f32> {
        (0..m * w.k()).map(|i| (i * 37 % 255) as f32 - 127.0).collect()
    }

    /// `x` `[m, K]`, quantised and packed.
    pub fn of(kernel: &dyn IntProducts, w: &QuantizedRows, x: &[f32]) -> Self {
        if w.bits() == 8 {
            let mut q = Activations8::default();
            kernel.quantize8(x, w.k(), w.group(), &mut q);
            Self::W8A8(q)
        } else {
            let mut q = Activations16::default();
            kernel.quantize16(x, w.k(), w.group(), &mut q);
            Self::W4A16(q)
        }
    }

    /// `rows` of the product `[m, N]` into `y`, on this thread.
    ///
    /// # Safety
    /// No other thread accesses columns `rows` of `y` meanwhile.
    ///
    /// # Panics
    /// If the activations were not made for weights of this shape and scheme, or `y` is too small.
    pub unsafe fn rows(
        &self,
        kernel: &dyn IntProducts,
        w: &QuantizedRows,
        rows: Range<usize>,
        y: Columns<'_>,
    ) {
        let y = y.offset(0);
        // SAFETY: the caller's contract.
        unsafe {
            match self {
                Self::W8A8(x) => kernel.w8a8(x, w, rows, y),
                Self::W4A16(x) => kernel.w4a16(x, w, rows, y),
            }
        }
    }

    /// The whole product `[m, N]` into `y`, on this thread.
    ///
    /// # Panics
    /// As [`Product::rows`].
    pub fn run(&self, kernel: &dyn IntProducts, w: &QuantizedRows, y: &mut [f32]) {
        // SAFETY: `y` is borrowed mutably, and this is the only thread that has it.
        unsafe { self.rows(kernel, w, 0..w.n(), Columns::new(y, w.n())) }
    }
}
