//! Images and videos, as the embeddings an encoder made of them.

use crate::{Error, ErrorKind, Result};

/// The texts around an image or a video and the one that stands for its tokens, by the model.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MediaTags {
    /// Before it, such as `<|vision_start|>`.
    pub start: String,
    /// After it.
    pub end: String,
    /// For its tokens, such as `<|image_pad|>`.
    pub content: String,
}

impl MediaTags {
    /// The three texts.
    pub fn new(
        start: impl Into<String>,
        end: impl Into<String>,
        content: impl Into<String>,
    ) -> Self {
        Self { start: start.into(), end: end.into(), content: content.into() }
    }
}

/// Embeddings of the images of one input.
#[derive(Debug, Clone, PartialEq)]
pub struct Images {
    pub(super) values: Vec<f32>,
    pub(super) count: usize,
    pub(super) tokens: usize,
    pub(super) size: (usize, usize),
    pub(super) tags: Option<MediaTags>,
}

impl Images {
    /// `values` is `[count][tokens][hidden size]`, `tokens` per image. For models that take several
    /// outputs of the encoder per token (Qwen3-VL), each row is all of them, one after the other.
    pub fn new(values: impl Into<Vec<f32>>, count: usize, tokens: usize) -> Self {
        Self { values: values.into(), count, tokens, size: (0, 0), tags: None }
    }

    /// Width and height in pixels, which some models use for positions.
    #[must_use]
    pub fn with_size(mut self, width: usize, height: usize) -> Self {
        self.size = (width, height);
        self
    }

    /// Tags of these images; 1.3. In 1.2 a model is loaded with them.
    #[must_use]
    pub fn with_tags(mut self, tags: MediaTags) -> Self {
        self.tags = Some(tags);
        self
    }
}

/// Embeddings of the videos of one input; 1.3.
#[derive(Debug, Clone, PartialEq)]
pub struct Videos {
    pub(super) values: Vec<f32>,
    pub(super) count: usize,
    pub(super) frames: usize,
    pub(super) tokens: usize,
    pub(super) size: (usize, usize),
    pub(super) tags: MediaTags,
}

impl Videos {
    /// `values` is `[count][frames][tokens][hidden size]`, `frames` per video and `tokens` per frame.
    pub fn new(
        values: impl Into<Vec<f32>>,
        count: usize,
        frames: usize,
        tokens: usize,
        tags: MediaTags,
    ) -> Self {
        Self { values: values.into(), count, frames, tokens, size: (0, 0), tags }
    }

    /// Width and height of a frame in pixels.
    #[must_use]
    pub fn with_size(mut self, width: usize, height: usize) -> Self {
        self.size = (width, height);
        self
    }
}

/// The most outputs of an encoder that a model takes per token. Qwen3-VL takes 4.
const LEVELS: usize = 8;

/// Checks that `values` are whole rows, one for each of `rows`, and makes room behind them.
///
/// How many outputs of the encoder a model takes per token is in no interface, so it cannot be checked.
/// What is lent is therefore as long as for the most there can be, zero after what was given: a runtime
/// that reads more per row than the caller has put there reads zeros.
pub(super) fn padded(
    what: &str,
    values: &[f32],
    rows: &[(&str, usize)],
    hidden: usize,
) -> Result<Vec<f32>> {
    let refuse = |message: String| {
        let sizes: Vec<_> = rows.iter().map(|(name, size)| format!("{size} {name}")).collect();
        Error::new(ErrorKind::Shape, message)
            .about(what)
            .with_hint(format!("given as {}, of a hidden size of {hidden}", sizes.join(" x ")))
    };
    let count = rows.iter().try_fold(1usize, |product, (_, size)| product.checked_mul(*size));
    let count = count.filter(|count| *count > 0);
    let count = count.ok_or_else(|| refuse("a size that is zero or overflows".into()))?;
    let longest = count
        .checked_mul(hidden)
        .and_then(|row| row.checked_mul(LEVELS))
        .filter(|values| *values <= isize::MAX as usize / size_of::<f32>())
        .ok_or_else(|| refuse("more values than memory can hold".into()))?;
    let whole = values.len().is_multiple_of(count * hidden);
    if values.is_empty() || !whole || values.len() > longest {
        let expected = count * hidden;
        return Err(refuse(format!("expected {expected} values, found {}", values.len())));
    }
    // Zeroed pages that nobody reads take no memory.
    let mut all = vec![0.0; longest];
    all[..values.len()].copy_from_slice(values);
    Ok(all)
}

/// Checks that `prompt` has `count` times `marker`.
pub(super) fn check_markers(prompt: &str, marker: &str, count: usize) -> Result<()> {
    let found = prompt.matches(marker).count();
    if found == count {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Input, format!("{count} embedded, but {found} times {marker}"))
        .about("the prompt")
        .with_hint(format!("put one {marker} where each belongs")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_whole_and_zeros_follow() {
        let lent = padded("i", &[1.0; 12], &[("images", 1), ("tokens", 2)], 6).unwrap();
        assert_eq!((lent.len(), &lent[..12]), (2 * 6 * LEVELS, &[1.0; 12][..]));
        assert!(lent[12..].iter().all(|value| *value == 0.0));
        let deep = padded("i", &[1.0; 48], &[("images", 1), ("tokens", 2)], 6).unwrap();
        assert_eq!(deep.len(), 2 * 6 * LEVELS);
        for (values, images, tokens) in
            [(11, 1, 2), (0, 1, 2), (12, 0, 2), (12, usize::MAX, 2), (12 * 9, 1, 2), (18, 1, 2)]
        {
            let found =
                padded("i", &vec![0.0; values], &[("images", images), ("tokens", tokens)], 6);
            assert_eq!(found.unwrap_err().kind(), ErrorKind::Shape, "{values} {images} {tokens}");
        }
    }

    #[test]
    fn there_is_a_marker_for_each() {
        assert!(check_markers("<image> and <image>", "<image>", 2).is_ok());
        assert_eq!(check_markers("none", "<image>", 1).unwrap_err().kind(), ErrorKind::Input);
    }
}
