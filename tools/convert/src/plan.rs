//! What becomes of every tensor of a model.

use rkllm::model::ModelConfig;

/// The token embedding's name in every supported architecture.
pub(crate) const EMBEDDING: &str = "model.embed_tokens.weight";
/// The output head's name in every supported architecture.
pub(crate) const HEAD: &str = "lm_head.weight";

/// What a tensor is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The token embedding.
    Embedding,
    /// The matrix of a linear layer.
    Linear,
    /// The matrix of the output head.
    Head,
    /// A norm or a bias: stored as it is.
    Small,
}

/// A tensor of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) role: Role,
}

/// Every tensor of a model, in the order a forward pass reads them.
pub(crate) fn tensors(config: &ModelConfig) -> Vec<Item> {
    let mut plan = Plan { items: Vec::new() };
    let (hidden, vocab) = (config.hidden_size, config.vocab_size);
    plan.push(EMBEDDING, &[vocab, hidden], Role::Embedding);
    for layer in 0..config.num_hidden_layers {
        plan.layer(config, &format!("model.layers.{layer}"));
    }
    plan.push("model.norm.weight", &[hidden], Role::Small);
    plan.push(HEAD, &[vocab, hidden], Role::Head);
    plan.items
}

struct Plan {
    items: Vec<Item>,
}

impl Plan {
    fn push(&mut self, name: impl Into<String>, shape: &[usize], role: Role) {
        self.items.push(Item { name: name.into(), shape: shape.to_vec(), role });
    }

    fn linear(&mut self, module: String, n: usize, k: usize, bias: bool) {
        self.push(format!("{module}.weight"), &[n, k], Role::Linear);
        if bias {
            self.push(format!("{module}.bias"), &[n], Role::Small);
        }
    }

    fn layer(&mut self, config: &ModelConfig, layer: &str) {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let (q, kv) = (config.q_size(), config.kv_size());
        let attention = |name| format!("{layer}.self_attn.{name}");
        let mlp = |name| format!("{layer}.mlp.{name}");
        self.push(format!("{layer}.input_layernorm.weight"), &[hidden], Role::Small);
        if config.fused_projections {
            self.linear(attention("qkv_proj"), q + 2 * kv, hidden, config.qkv_bias);
        } else {
            self.linear(attention("q_proj"), q, hidden, config.qkv_bias);
            self.linear(attention("k_proj"), kv, hidden, config.qkv_bias);
            self.linear(attention("v_proj"), kv, hidden, config.qkv_bias);
        }
        if config.qk_norm {
            self.push(attention("q_norm.weight"), &[config.head_dim], Role::Small);
            self.push(attention("k_norm.weight"), &[config.head_dim], Role::Small);
        }
        self.linear(attention("o_proj"), hidden, q, config.o_bias);
        self.push(format!("{layer}.post_attention_layernorm.weight"), &[hidden], Role::Small);
        if config.fused_projections {
            self.linear(mlp("gate_up_proj"), 2 * inner, hidden, config.mlp_bias);
        } else {
            self.linear(mlp("gate_proj"), inner, hidden, config.mlp_bias);
            self.linear(mlp("up_proj"), inner, hidden, config.mlp_bias);
        }
        self.linear(mlp("down_proj"), hidden, inner, config.mlp_bias);
    }
}
