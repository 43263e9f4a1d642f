//! Encoder state for models with cross attention.

use rkllm_sys::v1_3::RKLLMCrossAttnParam;

use super::arena::Arena;
use super::runtime::int;
use crate::{Error, ErrorKind, Result};

/// What a model's cross attention looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrossAttentionSize {
    /// Decoder layers that attend to the encoder.
    pub layers: usize,
    /// KV heads per layer.
    pub kv_heads: usize,
    /// Values per head.
    pub head_dim: usize,
}

/// The state an encoder computed, for [`NpuModel::set_cross_attention`](super::NpuModel::set_cross_attention).
/// The number of encoder positions is that of `positions`.
#[derive(Debug, Clone, PartialEq)]
pub struct CrossAttention {
    /// `[layers][tokens][kv_heads][head_dim]`.
    pub keys: Vec<f32>,
    /// `[layers][kv_heads][head_dim][tokens]`.
    pub values: Vec<f32>,
    /// `[tokens]`.
    pub mask: Vec<f32>,
    /// `[tokens]`.
    pub positions: Vec<i32>,
}

impl CrossAttention {
    /// Checks every length and lends all of it to `arena`.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] for an array that is shorter or longer than its dimensions say.
    pub(super) fn lend(
        self,
        size: CrossAttentionSize,
        arena: &mut Arena,
    ) -> Result<RKLLMCrossAttnParam> {
        let tokens = self.positions.len();
        let of_token = size.layers.checked_mul(size.kv_heads);
        let of_token = of_token.and_then(|heads| heads.checked_mul(size.head_dim));
        let cache = of_token.and_then(|values| values.checked_mul(tokens)).ok_or_else(|| {
            Error::new(ErrorKind::Shape, "the dimensions of cross attention overflow")
        })?;
        if tokens == 0 {
            return Err(Error::new(ErrorKind::Shape, "cross attention over no position"));
        }
        for (name, found, expected) in [
            ("keys", self.keys.len(), cache),
            ("values", self.values.len(), cache),
            ("mask", self.mask.len(), tokens),
        ] {
            if found != expected {
                let message = format!("expected {expected} values, found {found}");
                return Err(Error::new(ErrorKind::Shape, message)
                    .about(format!("{name} of the cross attention"))
                    .with_hint(format!("{tokens} positions of {size:?}")));
            }
        }
        Ok(RKLLMCrossAttnParam {
            encoder_k_cache: arena.floats(self.keys),
            encoder_v_cache: arena.floats(self.values),
            encoder_mask: arena.floats(self.mask),
            encoder_pos: arena.ids(self.positions),
            num_tokens: int("encoder positions", tokens)?,
        })
    }
}
