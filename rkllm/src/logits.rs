//! Choosing from logits: open to every floor.

/// The index of the first largest logit; 0 of none.
pub(crate) fn first_maximum(logits: &[f32]) -> usize {
    let mut best = 0;
    for (index, &value) in logits.iter().enumerate().skip(1) {
        if value > logits[best] {
            best = index;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_logits_the_first_wins() {
        assert_eq!(first_maximum(&[-1.0, 3.0, 2.0, 3.0]), 1);
        assert_eq!(first_maximum(&[-2.0, -2.0]), 0);
        assert_eq!(first_maximum(&[-2.0, -3.0, -1.0]), 2);
    }
}
