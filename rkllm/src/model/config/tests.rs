use serde_json::{Value, json};

use super::{Activation, Architecture, ModelConfig};
use crate::{Error, ErrorKind, Result};

/// The fields no configuration can leave out, for a class.
fn base(class: &str) -> Value {
    json!({
        "architectures": [class], "hidden_size": 64, "intermediate_size": 96,
        "num_hidden_layers": 3, "num_attention_heads": 4, "vocab_size": 32
    })
}

/// The same with `extra` on top.
fn parse(class: &str, extra: Value) -> Result<ModelConfig> {
    let mut config = base(class);
    config.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    ModelConfig::from_value(&config)
}

fn llama(extra: Value) -> ModelConfig {
    parse("LlamaForCausalLM", extra).unwrap()
}

fn error(class: &str, extra: Value) -> Error {
    parse(class, extra).unwrap_err()
}

#[test]
fn defaults_are_those_of_transformers() {
    let config = llama(json!({}));
    assert_eq!(config.architecture, Architecture::Llama);
    assert_eq!((config.num_key_value_heads, config.head_dim), (4, 16));
    assert_eq!(config.max_position_embeddings, 2048);
    assert_eq!((config.rms_norm_eps, config.hidden_act), (1e-6, Activation::Silu));
    assert_eq!((config.rope.theta, config.rope.rotary_dim), (10_000.0, 16));
    assert!(!config.tie_word_embeddings && !config.qkv_bias && !config.mlp_bias);
    assert_eq!((config.bos_token_id, config.eos_token_ids), (Some(1), vec![2]));
    assert_eq!(config.sliding_window, [None; 3]);

    let mistral = parse("MistralForCausalLM", json!({"num_attention_heads": 16})).unwrap();
    assert_eq!((mistral.num_key_value_heads, mistral.head_dim), (8, 4));
    assert_eq!(mistral.sliding_window, [Some(4096); 3]);
    assert_eq!(mistral.max_position_embeddings, 131_072);
    let qwen3 = parse("Qwen3ForCausalLM", json!({})).unwrap();
    assert_eq!((qwen3.head_dim, qwen3.bos_token_id, qwen3.qk_norm), (128, None, true));
    let phi3 = parse("Phi3ForCausalLM", json!({})).unwrap();
    assert_eq!((phi3.rms_norm_eps, phi3.eos_token_ids), (1e-5, vec![32000]));
    assert!(phi3.fused_projections);
}

#[test]
fn heads_in_every_spelling() {
    assert_eq!(llama(json!({"num_key_value_heads": null})).num_key_value_heads, 4);
    assert_eq!(llama(json!({"num_key_value_heads": 2})).num_key_value_heads, 2);
    assert_eq!(llama(json!({"head_dim": null})).head_dim, 16);
    assert_eq!(llama(json!({"head_dim": 24})).head_dim, 24);
    assert_eq!(llama(json!({"head_dim": 24})).q_size(), 96);
    assert_eq!(llama(json!({"head_dim": 20, "hidden_size": 63})).head_dim, 20);
    let qwen3 = parse("Qwen3ForCausalLM", json!({"head_dim": null})).unwrap();
    assert_eq!(qwen3.head_dim, 16);
    // A default that cannot be meant is not taken.
    let mistral = parse("MistralForCausalLM", json!({})).unwrap();
    assert_eq!(mistral.num_key_value_heads, 4);
}

#[test]
fn biases_by_architecture() {
    let biases = |class, extra| {
        let config = parse(class, extra).unwrap();
        (config.qkv_bias, config.o_bias, config.mlp_bias)
    };
    let on = json!({"attention_bias": true, "mlp_bias": true});
    assert_eq!(biases("LlamaForCausalLM", on.clone()), (true, true, true));
    assert_eq!(biases("Qwen2ForCausalLM", json!({})), (true, false, false));
    assert_eq!(biases("Qwen3ForCausalLM", json!({"attention_bias": true})), (true, true, false));
    assert_eq!(biases("Phi3ForCausalLM", json!({})), (false, false, false));
    for class in ["MistralForCausalLM", "Phi3ForCausalLM", "Qwen3ForCausalLM"] {
        assert_eq!(error(class, on.clone()).kind(), ErrorKind::Unsupported, "{class}");
    }
}

#[test]
fn windows_by_architecture() {
    let windows = |class: &str, extra| parse(class, extra).unwrap().sliding_window;
    let eight = json!({"sliding_window": 8});
    assert_eq!(windows("LlamaForCausalLM", eight.clone()), [None; 3]);
    assert_eq!(windows("MistralForCausalLM", eight.clone()), [Some(8); 3]);
    assert_eq!(windows("MistralForCausalLM", json!({"sliding_window": null})), [None; 3]);
    assert_eq!(windows("Phi3ForCausalLM", eight.clone()), [Some(8); 3]);
    assert_eq!(windows("Phi3ForCausalLM", json!({})), [None; 3]);

    for class in ["Qwen2ForCausalLM", "Qwen3ForCausalLM"] {
        assert_eq!(windows(class, eight.clone()), [None; 3]);
        let types = json!(["sliding_attention", "full_attention", "sliding_attention"]);
        let off = json!({"sliding_window": 8, "use_sliding_window": false, "layer_types": types});
        assert_eq!(windows(class, off), [None; 3]);
        let on = json!({"sliding_window": 8, "use_sliding_window": true, "layer_types": types,
            "max_window_layers": 0});
        assert_eq!(windows(class, on), [Some(8), None, Some(8)]);
        let on = json!({"sliding_window": 8, "use_sliding_window": true, "max_window_layers": 1});
        assert_eq!(windows(class, on), [None, Some(8), Some(8)]);
        let on = json!({"sliding_window": 8, "use_sliding_window": true});
        assert_eq!(windows(class, on), [None; 3]);
        let on = json!({"use_sliding_window": true, "max_window_layers": 2});
        assert_eq!(windows(class, on), [None, None, Some(4096)]);
        let on = json!({"use_sliding_window": true, "max_window_layers": 0,
            "sliding_window": null});
        assert_eq!(windows(class, on), [None; 3]);
    }

    let short = json!({"layer_types": ["full_attention"]});
    assert_eq!(error("Qwen2ForCausalLM", short).kind(), ErrorKind::Format);
    let chunked = json!({"layer_types": ["chunked_attention", "full_attention", "full_attention"]});
    assert_eq!(error("Qwen2ForCausalLM", chunked).kind(), ErrorKind::Unsupported);
    let mixed = json!({"sliding_window": 8,
        "layer_types": ["sliding_attention", "full_attention", "full_attention"]});
    assert_eq!(error("MistralForCausalLM", mixed).kind(), ErrorKind::Unsupported);
    let zero = error("MistralForCausalLM", json!({"sliding_window": 0}));
    assert!(zero.to_string().contains("sliding_window"), "{zero}");
}

#[test]
fn tokens_in_every_spelling() {
    let ids = |bos: Value, eos: Value| {
        let config = llama(json!({"bos_token_id": bos, "eos_token_id": eos}));
        (config.bos_token_id, config.eos_token_ids)
    };
    assert_eq!(ids(json!(5), json!(6)), (Some(5), vec![6]));
    assert_eq!(ids(json!(null), json!([6, 7])), (None, vec![6, 7]));
    assert_eq!(ids(json!(-1), json!(null)), (None, vec![]));
    assert_eq!(
        error("LlamaForCausalLM", json!({"eos_token_id": "</s>"})).kind(),
        ErrorKind::Format
    );
}

#[test]
fn activations() {
    let act = |name: &str| parse("LlamaForCausalLM", json!({"hidden_act": name}));
    assert_eq!(act("gelu_pytorch_tanh").unwrap().hidden_act, Activation::GeluTanh);
    let error = act("relu2").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("relu2") && error.to_string().contains("silu"), "{error}");
}

#[test]
fn architectures_by_class_or_type() {
    let mut config = base("LlamaForCausalLM");
    config.as_object_mut().unwrap().remove("architectures");
    assert_eq!(ModelConfig::from_value(&config).unwrap_err().kind(), ErrorKind::Missing);
    config["model_type"] = json!("phi3");
    assert_eq!(ModelConfig::from_value(&config).unwrap().architecture, Architecture::Phi3);

    let error = error("Gemma2ForCausalLM", json!({})).to_string();
    for name in ["Gemma2", "LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM"] {
        assert!(error.contains(name), "{error}");
    }
    assert!(error.contains("Qwen3ForCausalLM") && error.contains("Phi3ForCausalLM"), "{error}");
    let mixed = parse("LlamaForCausalLM", json!({"model_type": "mixtral"})).unwrap_err();
    assert_eq!(mixed.kind(), ErrorKind::Unsupported);
}

#[test]
fn features_of_other_models_are_refused() {
    for feature in [
        json!({"attn_logit_softcapping": 50.0}),
        json!({"final_logit_softcapping": 30.0}),
        json!({"num_local_experts": 8}),
        json!({"residual_multiplier": 0.22}),
        json!({"no_rope_layers": [1, 1, 0]}),
        json!({"lm_head_bias": true}),
    ] {
        let error = parse("LlamaForCausalLM", feature.clone()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{feature}");
        let name = feature.as_object().unwrap().keys().next().unwrap().clone();
        assert!(error.to_string().contains(&name), "{error}");
    }
    // Neutral values are no feature.
    llama(json!({"attn_logit_softcapping": null, "residual_multiplier": 1.0, "num_experts": 0,
        "lm_head_bias": false, "no_rope_layers": []}));
}

#[test]
fn dimensions_are_checked_by_name() {
    for (extra, word) in [
        (json!({"hidden_size": 0}), "hidden_size"),
        (json!({"hidden_size": null}), "hidden_size"),
        (json!({"hidden_size": 65}), "divisible"),
        (json!({"hidden_size": "64"}), "\"64\""),
        (json!({"hidden_size": 64.5}), "64.5"),
        (json!({"hidden_size": -64}), "-64"),
        (json!({"hidden_size": true}), "true"),
        (json!({"hidden_size": 4294967296u64}), "4294967296"),
        (json!({"intermediate_size": 0}), "intermediate_size"),
        (json!({"num_hidden_layers": 0}), "num_hidden_layers"),
        (json!({"num_hidden_layers": 1u64 << 40}), "num_hidden_layers"),
        (json!({"num_attention_heads": 0}), "num_attention_heads"),
        (json!({"num_key_value_heads": 3}), "num_key_value_heads"),
        (json!({"num_key_value_heads": 0}), "num_key_value_heads"),
        (json!({"vocab_size": 1e30}), "vocab_size"),
        (json!({"max_position_embeddings": 0}), "max_position_embeddings"),
        (json!({"head_dim": 7}), "even"),
        (json!({"head_dim": 0}), "head_dim"),
        (json!({"head_dim": 1u64 << 62}), "head_dim"),
        (json!({"hidden_size": 60}), "head_dim"),
        (json!({"rms_norm_eps": -1.0}), "rms_norm_eps"),
        (json!({"rms_norm_eps": "small"}), "rms_norm_eps"),
        (json!({"tie_word_embeddings": "yes"}), "tie_word_embeddings"),
        (json!({"architectures": [7]}), "architectures"),
        (json!({"architectures": "LlamaForCausalLM"}), "architectures"),
    ] {
        let error = parse("LlamaForCausalLM", extra.clone()).unwrap_err();
        assert!(error.to_string().contains(word), "{extra}: {error}");
    }
}

#[test]
fn text_that_is_no_configuration() {
    let with = |text: &str| {
        let mut config = base("LlamaForCausalLM").to_string();
        config.pop();
        ModelConfig::from_json(&format!("{config}, {text}}}"))
    };
    assert!(with(r#""use_cache": true"#).is_ok());
    for (text, word) in [
        (r#""hidden_size": 64"#, "duplicate key \"hidden_size\""),
        (r#""rope_scaling": {"type": "linear", "type": "yarn"}"#, "duplicate key \"type\""),
        (r#""rms_norm_eps": NaN"#, "JSON"),
        (r#""rms_norm_eps": 1e999"#, "JSON"),
        (r#""x": "\ud800""#, "JSON"),
    ] {
        let error = with(text).unwrap_err().to_string();
        assert!(error.contains(word), "{text}: {error}");
    }
    let deep = "[".repeat(100_000);
    for text in ["", "{", "[]", "null", "7", "\u{0}", deep.as_str(), "{\"a\":1}x"] {
        assert!(ModelConfig::from_json(text).is_err(), "{text:.20}");
    }
}
