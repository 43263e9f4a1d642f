//! The models whose layers are measured, by their published configurations.

/// What of a model decides the shapes of its products.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// As benches name it.
    pub name: &'static str,
    /// Hidden size.
    pub hidden: usize,
    /// Inner size of the feed-forward block.
    pub intermediate: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Values per head.
    pub head_dim: usize,
    /// Rows of the output head.
    pub vocab: usize,
}

/// Qwen2.5-0.5B and 1.5B, TinyLlama-1.1B, Phi-3-mini.
pub const MODELS: [Shape; 4] = [
    Shape {
        name: "qwen2.5-0.5b",
        hidden: 896,
        intermediate: 4864,
        heads: 14,
        kv_heads: 2,
        head_dim: 64,
        vocab: 151_936,
    },
    Shape {
        name: "qwen2.5-1.5b",
        hidden: 1536,
        intermediate: 8960,
        heads: 12,
        kv_heads: 2,
        head_dim: 128,
        vocab: 151_936,
    },
    Shape {
        name: "tinyllama-1.1b",
        hidden: 2048,
        intermediate: 5632,
        heads: 32,
        kv_heads: 4,
        head_dim: 64,
        vocab: 32_000,
    },
    Shape {
        name: "phi-3-mini",
        hidden: 3072,
        intermediate: 8192,
        heads: 32,
        kv_heads: 32,
        head_dim: 96,
        vocab: 32_064,
    },
];

impl Shape {
    /// Its linear layers as the engine runs them: name, K, N.
    pub fn layers(&self) -> [(&'static str, usize, usize); 5] {
        let q = self.heads * self.head_dim;
        [
            ("qkv", self.hidden, q + 2 * self.kv_heads * self.head_dim),
            ("output", q, self.hidden),
            ("gate_up", self.hidden, 2 * self.intermediate),
            ("down", self.intermediate, self.hidden),
            ("head", self.hidden, self.vocab),
        ]
    }
}
