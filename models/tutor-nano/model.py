"""The network of tutor-nano in plain torch: the Llama architecture of transformers."""

import json
from dataclasses import asdict, dataclass

import torch
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Shape:
    """Sizes of the model; every dimension of a matrix is a multiple of 128."""

    vocab_size: int = 2048
    hidden_size: int = 256
    intermediate_size: int = 512
    num_hidden_layers: int = 5
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-6
    max_position_embeddings: int = 1024

    @property
    def head_dim(self):
        """Size of one head."""
        return self.hidden_size // self.num_attention_heads


def config_json(shape):
    """config.json as transformers reads it (Llama architecture)."""
    fields = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "float16", "hidden_act": "silu",
        "attention_bias": False, "mlp_bias": False, "attention_dropout": 0.0, "initializer_range": 0.02,
        "tie_word_embeddings": True, "use_cache": True, "rope_scaling": None, "head_dim": shape.head_dim,
        "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 0, **asdict(shape),
    }
    return json.dumps(dict(sorted(fields.items())), indent=2) + "\n"


def rotate(x, cos, sin):
    """Rotary position embedding in the halves layout of transformers; x is [batch, heads, time, head_dim]."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


class Attention(nn.Module):
    """Grouped-query attention."""

    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        kv = shape.num_key_value_heads * shape.head_dim
        self.q_proj = nn.Linear(shape.hidden_size, shape.hidden_size, bias=False)
        self.k_proj = nn.Linear(shape.hidden_size, kv, bias=False)
        self.v_proj = nn.Linear(shape.hidden_size, kv, bias=False)
        self.o_proj = nn.Linear(shape.hidden_size, shape.hidden_size, bias=False)

    def forward(self, x, cos, sin, mask, cache):
        """x [batch, time, hidden]; cache is None or a dict that keeps keys and values."""
        batch, time, _ = x.shape
        split = lambda y, heads: y.view(batch, time, heads, self.shape.head_dim).transpose(1, 2)  # noqa: E731
        q = rotate(split(self.q_proj(x), self.shape.num_attention_heads), cos, sin)
        k = rotate(split(self.k_proj(x), self.shape.num_key_value_heads), cos, sin)
        v = split(self.v_proj(x), self.shape.num_key_value_heads)
        if cache is not None:
            if "k" in cache:
                k, v = torch.cat((cache["k"], k), dim=2), torch.cat((cache["v"], v), dim=2)
            cache["k"], cache["v"] = k, v
        repeat = self.shape.num_attention_heads // self.shape.num_key_value_heads
        k, v = k.repeat_interleave(repeat, dim=1), v.repeat_interleave(repeat, dim=1)
        causal = mask is None and time > 1
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        return self.o_proj(y.transpose(1, 2).reshape(batch, time, -1))


class Feed(nn.Module):
    """SwiGLU feed-forward."""

    def __init__(self, shape):
        super().__init__()
        self.gate_proj = nn.Linear(shape.hidden_size, shape.intermediate_size, bias=False)
        self.up_proj = nn.Linear(shape.hidden_size, shape.intermediate_size, bias=False)
        self.down_proj = nn.Linear(shape.intermediate_size, shape.hidden_size, bias=False)

    def forward(self, x):
        """x [batch, time, hidden]."""
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    """One decoder layer."""

    def __init__(self, shape):
        super().__init__()
        self.input_layernorm = nn.RMSNorm(shape.hidden_size, eps=shape.rms_norm_eps)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = nn.RMSNorm(shape.hidden_size, eps=shape.rms_norm_eps)
        self.mlp = Feed(shape)

    def forward(self, x, cos, sin, mask, cache):
        """x [batch, time, hidden]."""
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, mask, cache)
        return x + self.mlp(self.post_attention_layernorm(x))


class Tutor(nn.Module):
    """The whole model with tied embeddings."""

    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.embed_tokens = nn.Embedding(shape.vocab_size, shape.hidden_size)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.num_hidden_layers))
        self.norm = nn.RMSNorm(shape.hidden_size, eps=shape.rms_norm_eps)
        frequency = shape.rope_theta ** (-torch.arange(0, shape.head_dim, 2).float() / shape.head_dim)
        angles = torch.outer(torch.arange(shape.max_position_embeddings).float(), frequency)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        self.reset()

    def reset(self):
        """Initial weights: normal 0.02, the matrices that write to the residual stream scaled by depth."""
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                out = name.endswith(("o_proj.weight", "down_proj.weight"))
                std = 0.02 / (2 * self.shape.num_hidden_layers) ** 0.5 if out else 0.02
                nn.init.normal_(weight, 0.0, 2.0 * std)

    def hidden(self, ids, positions=None, mask=None, caches=None):
        """Last hidden states [batch, time, hidden] of ids [batch, time]; positions [batch, time] or from zero."""
        if positions is None:
            positions = torch.arange(ids.shape[1])[None]
        cos, sin = self.cos[positions][:, None], self.sin[positions][:, None]
        x = self.embed_tokens(ids)
        for i, layer in enumerate(self.layers):
            x = layer(x, cos, sin, mask, None if caches is None else caches[i])
        return self.norm(x)

    def forward(self, ids, **options):
        """Logits [batch, time, vocab]."""
        return F.linear(self.hidden(ids, **options), self.embed_tokens.weight)

    def checkpoint(self):
        """Tensors under transformers' names, float16; lm_head is tied and left out."""
        return {f"model.{name}": p.detach().to(torch.float16).contiguous() for name, p in self.named_parameters()}
