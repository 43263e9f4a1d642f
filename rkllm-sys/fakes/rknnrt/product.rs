//! C = A x B, plainly.

use half::f16;

use crate::shape::{Element, Tensor};

/// Multiplies what lies in `a` and `b` by their tensors' layouts into `c`.
pub(crate) fn multiply(
    [of_a, of_b, of_c]: [&Tensor; 3],
    [m, k, n]: [usize; 3],
    a: &[u8],
    b: &[u8],
    c: &mut [u8],
) {
    // Row-major and column-major, so that a product walks both straight on.
    let a: Vec<f64> = (0..m * k).map(|i| read(of_a, a, of_a.index(i / k, i % k))).collect();
    let b: Vec<f64> = (0..k * n).map(|i| read(of_b, b, of_b.index(i % k, i / k))).collect();
    for row in 0..m {
        for column in 0..n {
            let (x, y) = (&a[row * k..][..k], &b[column * k..][..k]);
            // Exact for integers: far below 2^53.
            let sum = x.iter().zip(y).map(|(x, y)| x * y).sum();
            write(of_c, c, of_c.index(row, column), sum);
        }
    }
}

/// B from normal to the layout of `of_native`.
pub(crate) fn convert(
    of_normal: &Tensor,
    of_native: &Tensor,
    [k, n]: [usize; 2],
    from: &[u8],
    to: &mut [u8],
) {
    to.fill(0);
    for row in 0..k {
        for column in 0..n {
            let value = bits(of_normal, from, of_normal.index(row, column));
            set_bits(of_native, to, of_native.index(row, column), value);
        }
    }
}

/// The bits of an element of at most 16 bits.
fn bits(tensor: &Tensor, data: &[u8], at: usize) -> u16 {
    match tensor.element {
        Element::I4 => {
            let high = (at % 2 == 1) != tensor.high_first;
            u16::from(if high { data[at / 2] >> 4 } else { data[at / 2] & 15 })
        }
        Element::I8 => u16::from(data[at]),
        _ => u16::from_le_bytes([data[2 * at], data[2 * at + 1]]),
    }
}

fn set_bits(tensor: &Tensor, data: &mut [u8], at: usize, value: u16) {
    match tensor.element {
        Element::I4 => {
            let shift = if (at % 2 == 1) != tensor.high_first { 4 } else { 0 };
            data[at / 2] = data[at / 2] & !(15 << shift) | (value as u8) << shift;
        }
        Element::I8 => data[at] = value as u8,
        _ => data[2 * at..2 * at + 2].copy_from_slice(&value.to_le_bytes()),
    }
}

fn read(tensor: &Tensor, data: &[u8], at: usize) -> f64 {
    let bits = bits(tensor, data, at);
    match tensor.element {
        Element::I4 => f64::from(((bits << 12).cast_signed()) >> 12),
        Element::I8 => f64::from((bits as u8).cast_signed()),
        _ => f16::from_bits(bits).to_f64(),
    }
}

fn write(tensor: &Tensor, data: &mut [u8], at: usize, value: f64) {
    match tensor.element {
        Element::F32 => data[4 * at..4 * at + 4].copy_from_slice(&(value as f32).to_le_bytes()),
        // Wraps; whether the NPU wraps or saturates is not documented.
        Element::I32 => {
            data[4 * at..4 * at + 4].copy_from_slice(&(value as i64 as i32).to_le_bytes());
        }
        Element::I16 => {
            data[2 * at..2 * at + 2].copy_from_slice(&(value as i64 as i16).to_le_bytes());
        }
        Element::F16 => {
            data[2 * at..2 * at + 2].copy_from_slice(&f16::from_f64(value).to_le_bytes());
        }
        Element::I8 | Element::I4 => unreachable!("no result of these types is computed"),
    }
}
