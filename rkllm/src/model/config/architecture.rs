//! What sets the architectures apart, one row each.

use super::super::json::Fields;
use super::super::json::{kind_of, shorten};
use crate::{Error, ErrorKind, Result};

/// The supported architectures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Architecture {
    /// `LlamaForCausalLM`
    Llama,
    /// `MistralForCausalLM`
    Mistral,
    /// `Qwen2ForCausalLM` (Qwen2 and Qwen2.5)
    Qwen2,
    /// `Qwen3ForCausalLM`
    Qwen3,
    /// `Phi3ForCausalLM` (Phi-3, Phi-3.5 mini, Phi-4 mini)
    Phi3,
}

impl Architecture {
    /// The name of the class in `config.json`.
    pub fn class(self) -> &'static str {
        // Every variant has a row; the test holds that.
        ROWS.iter().find(|row| row.architecture == self).map_or("", |row| row.class)
    }
}

impl std::fmt::Display for Architecture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.class())
    }
}

/// Whether projections have a bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Bias {
    Always,
    Never,
    /// As `attention_bias` or `mlp_bias` says, by default without.
    Configured,
}

impl Bias {
    pub(super) fn is_on(self, configured: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Configured => configured,
        }
    }
}

/// Which layers see a window only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum WindowRule {
    /// None; a stray `sliding_window` means nothing.
    NoLayer,
    /// All, where `sliding_window` is set.
    EveryLayer,
    /// By `use_sliding_window`, then `layer_types`, then `max_window_layers`.
    LayerTypes,
}

/// One architecture: its differences from the common decoder, and the defaults that transformers
/// 4.57 gives to fields a `config.json` leaves out.
#[derive(Debug)]
pub(in super::super) struct Row {
    pub architecture: Architecture,
    pub class: &'static str,
    pub model_type: &'static str,
    pub qkv_bias: Bias,
    pub o_bias: Bias,
    pub mlp_bias: Bias,
    pub qk_norm: bool,
    pub fused_projections: bool,
    pub window: WindowRule,
    /// `sliding_window` where the field is absent (not where it is null).
    pub sliding_window: Option<usize>,
    pub num_key_value_heads: Option<usize>,
    pub head_dim: Option<usize>,
    pub max_position_embeddings: usize,
    pub original_max_position_embeddings: Option<usize>,
    pub rms_norm_eps: f64,
    pub bos_token_id: Option<u32>,
    pub eos_token_id: Option<u32>,
}

const LLAMA: Row = Row {
    architecture: Architecture::Llama,
    class: "LlamaForCausalLM",
    model_type: "llama",
    qkv_bias: Bias::Configured,
    o_bias: Bias::Configured,
    mlp_bias: Bias::Configured,
    qk_norm: false,
    fused_projections: false,
    window: WindowRule::NoLayer,
    sliding_window: None,
    num_key_value_heads: None,
    head_dim: None,
    max_position_embeddings: 2048,
    original_max_position_embeddings: None,
    rms_norm_eps: 1e-6,
    bos_token_id: Some(1),
    eos_token_id: Some(2),
};

const QWEN2: Row = Row {
    architecture: Architecture::Qwen2,
    class: "Qwen2ForCausalLM",
    model_type: "qwen2",
    qkv_bias: Bias::Always,
    o_bias: Bias::Never,
    mlp_bias: Bias::Never,
    window: WindowRule::LayerTypes,
    sliding_window: Some(4096),
    num_key_value_heads: Some(32),
    max_position_embeddings: 32768,
    bos_token_id: None,
    eos_token_id: None,
    ..LLAMA
};

static ROWS: [Row; 5] = [
    LLAMA,
    Row {
        architecture: Architecture::Mistral,
        class: "MistralForCausalLM",
        model_type: "mistral",
        qkv_bias: Bias::Never,
        o_bias: Bias::Never,
        mlp_bias: Bias::Never,
        window: WindowRule::EveryLayer,
        sliding_window: Some(4096),
        num_key_value_heads: Some(8),
        max_position_embeddings: 131_072,
        ..LLAMA
    },
    QWEN2,
    Row {
        architecture: Architecture::Qwen3,
        class: "Qwen3ForCausalLM",
        model_type: "qwen3",
        qkv_bias: Bias::Configured,
        o_bias: Bias::Configured,
        qk_norm: true,
        head_dim: Some(128),
        ..QWEN2
    },
    Row {
        architecture: Architecture::Phi3,
        class: "Phi3ForCausalLM",
        model_type: "phi3",
        qkv_bias: Bias::Never,
        o_bias: Bias::Never,
        mlp_bias: Bias::Never,
        fused_projections: true,
        window: WindowRule::EveryLayer,
        max_position_embeddings: 4096,
        original_max_position_embeddings: Some(4096),
        rms_norm_eps: 1e-5,
        eos_token_id: Some(32000),
        ..LLAMA
    },
];

/// The row of the configuration's `architectures`, or of its `model_type` where that is absent.
pub(super) fn row(fields: Fields<'_>) -> Result<&'static Row> {
    let class = match fields.list("architectures")? {
        Some([first, ..]) => Some(first.as_str().ok_or_else(|| {
            let found = format!("expected class names, found {}", kind_of(first));
            fields.error(ErrorKind::Format, "architectures", found)
        })?),
        _ => None,
    };
    let model_type = fields.string("model_type")?;
    let row = match (class, model_type) {
        (Some(class), _) => ROWS.iter().find(|row| row.class == class),
        (None, Some(model_type)) => ROWS.iter().find(|row| row.model_type == model_type),
        (None, None) => return Err(fields.missing("architectures").with_hint(supported())),
    };
    let Some(row) = row else {
        let name = shorten(class.or(model_type).unwrap_or_default());
        return Err(Error::new(ErrorKind::Unsupported, format!("unknown architecture {name}"))
            .with_hint(supported()));
    };
    if let Some(other) = model_type.filter(|&name| name != row.model_type) {
        return Err(fields
            .error(
                ErrorKind::Unsupported,
                "model_type",
                format!("found {}, but {} is {:?}", shorten(other), row.class, row.model_type),
            )
            .with_hint("correct config.json or take it from the original model"));
    }
    Ok(row)
}

fn supported() -> String {
    let classes: Vec<&str> = ROWS.iter().map(|row| row.class).collect();
    format!("supported are {}", classes.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_architecture_has_its_row() {
        use Architecture::*;
        for architecture in [Llama, Mistral, Qwen2, Qwen3, Phi3] {
            let class = architecture.class();
            assert!(class.ends_with("ForCausalLM"), "{architecture:?}");
            assert!(class.starts_with(&format!("{architecture:?}")), "{architecture:?} {class}");
        }
    }
}
