//! What the small programs of this package share: made-up weights and optional arguments.

/// Weights `[n, k]` as a trained layer has them: bell-shaped, rows of different size, and now and then a
/// column of outliers. The same numbers at every call.
pub fn weights(n: usize, k: usize) -> Vec<f32> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    let mut all = Vec::with_capacity(n * k);
    for row in 0..n {
        let size = 0.02 * (1.0 + (row % 5) as f32 / 4.0);
        for column in 0..k {
            let bell: f32 = (0..6).map(|_| uniform()).sum();
            let outlier = if column % 97 == 42 { 6.0 } else { 1.0 };
            all.push(bell * size * outlier);
        }
    }
    all
}

/// The two dimensions of `[N K]` on the command line, or `default` where there are none.
///
/// # Errors
/// What to type instead, where the arguments are not two sizes within `1..=8192`.
pub fn shape_from_args(default: (usize, usize)) -> Result<(usize, usize), String> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let size = |text: &String| text.parse().ok().filter(|size| (1..=8192).contains(size));
    match &args[..] {
        [] => Some(default),
        [n, k] => size(n).zip(size(k)),
        _ => None,
    }
    .ok_or_else(|| format!("expected two sizes N K from 1 to 8192, found {args:?}"))
}
