//! Choosing from logits: open to every floor.

/// Values compared side by side, in as many vectors as hide an instruction's latency.
const LANES: usize = 32;
/// Values of which only the largest is looked at first.
const BLOCK: usize = 1024;

/// The index of the first largest logit; 0 of none, and where the first one is no number.
pub(crate) fn first_maximum(logits: &[f32]) -> usize {
    let Some(&(mut best)) = logits.first() else { return 0 };
    let mut block = 0;
    for (index, values) in logits.chunks(BLOCK).enumerate() {
        let largest = maximum(values);
        if largest > best {
            (best, block) = (largest, index);
        }
    }
    let first = block * BLOCK;
    logits[first..].iter().position(|&value| value == best).map_or(0, |index| first + index)
}

/// The largest of the values that are numbers.
fn maximum(values: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (lines, rest) = values.as_chunks::<LANES>();
    for line in lines {
        for (lane, &value) in lanes.iter_mut().zip(line) {
            *lane = larger(*lane, value);
        }
    }
    lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, larger)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_logits_the_first_wins() {
        assert_eq!(first_maximum(&[-1.0, 3.0, 2.0, 3.0]), 1);
        assert_eq!(first_maximum(&[-2.0, -2.0]), 0);
        assert_eq!(first_maximum(&[-2.0, -3.0, -1.0]), 2);
        assert_eq!(first_maximum(&[]), 0);
        assert_eq!(first_maximum(&[f32::NAN, 1.0]), 0);
        assert_eq!(first_maximum(&[-1.0, f32::NAN, f32::INFINITY, f32::INFINITY]), 2);
        assert_eq!(first_maximum(&[f32::NEG_INFINITY; 3]), 0);
        assert_eq!(first_maximum(&[-0.0, 0.0]), 0);
    }

    /// Wherever it stands, and again in each later block.
    #[test]
    fn any_place_of_any_length() {
        for length in [1, 31, 32, 33, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 40] {
            let values = |i: usize| -((i * 7919 % 1009) as f32) - 2.0;
            let mut logits: Vec<f32> = (0..length).map(values).collect();
            for place in [0, 1, 30, 32, BLOCK - 1, BLOCK, 2 * BLOCK + 5, length - 1] {
                if place < length {
                    (place..length).step_by(BLOCK).for_each(|i| logits[i] = -1.0);
                    assert_eq!(first_maximum(&logits), place, "of {length}");
                    (place..length).step_by(BLOCK).for_each(|i| logits[i] = values(i));
                }
            }
        }
    }
}
