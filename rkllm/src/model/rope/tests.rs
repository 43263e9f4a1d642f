use serde_json::{Value, json};

use super::super::ModelConfig;
use super::{RopeConfig, RopeScaling};
use crate::{ErrorKind, Result};

/// A Llama with heads of 16, made for 128 positions, and these fields on top.
fn rope(extra: Value) -> Result<RopeConfig> {
    let mut config = json!({
        "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 96,
        "num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": 32,
        "max_position_embeddings": 128
    });
    config.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    ModelConfig::from_value(&config).map(|config| config.rope)
}

fn error(extra: Value) -> crate::Error {
    rope(extra).unwrap_err()
}

/// Both round to f32, transformers after each step and this crate once.
fn assert_close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found / expected - 1.0).abs() < 5e-7, "{found} is not {expected}");
    }
}

/// Frequencies and factors printed by transformers 4.57.1 (`ROPE_INIT_FUNCTIONS`).
#[test]
fn frequencies_are_those_of_transformers() {
    let plain =
        [1.0, 0.316_227_76, 0.1, 0.031_622_78, 0.01, 0.003_162_277_9, 0.001, 0.000_316_227_76];
    assert_close(&rope(json!({})).unwrap().inv_freq(7), &plain);

    let partial = rope(json!({"partial_rotary_factor": 0.6})).unwrap();
    assert_eq!((partial.rotary_dim, partial.dim), (10, 9));
    let expected = [1.0, 0.129_154_97, 0.016_681_006, 0.002_154_434_3, 0.000_278_255_93];
    assert_close(&partial.inv_freq(7), &expected);

    let linear = rope(json!({"rope_scaling": {"type": "linear", "factor": 2.5}})).unwrap();
    let expected: Vec<f32> = plain.iter().map(|v| v / 2.5).collect();
    assert_close(&linear.inv_freq(7), &expected);

    let dynamic = rope(json!({"rope_scaling": {"rope_type": "dynamic", "factor": 2}})).unwrap();
    assert_close(&dynamic.inv_freq(100), &plain);
    assert_close(&dynamic.inv_freq(128), &plain);
    let expected = [
        1.0,
        0.262_445,
        0.068_877_37,
        0.018_076_52,
        0.004_744_092,
        0.001_245_063_3,
        0.000_326_760_6,
        8.575_668e-5,
    ];
    assert_close(&dynamic.inv_freq(300), &expected);

    let llama3 = rope(json!({"rope_theta": 500000.0, "rope_scaling": {
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32}}));
    let expected = [
        1.0,
        0.024_240_345,
        0.004_700_754,
        0.000_911_583_1,
        0.000_176_776_68,
        3.428_102_4e-5,
        6.647_87e-6,
        1.289_173_2e-6,
    ];
    assert_close(&llama3.unwrap().inv_freq(7), &expected);
}

#[test]
fn yarn_is_that_of_transformers() {
    let yarn = rope(json!({"rope_scaling": {
        "type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}}))
    .unwrap();
    let mut expected =
        [1.0, 0.197_642_36, 0.025, 0.007_905_695, 0.0025, 0.000_790_569_47, 0.000_25, 7.905_695e-5];
    assert_close(&yarn.inv_freq(7), &expected);
    assert!((yarn.attention_factor() - 1.138_629_436_111_989).abs() < 1e-15);
    // A factor that is not stated is the ratio of the two lengths.
    let implied = rope(json!({"rope_scaling": {
        "type": "yarn", "original_max_position_embeddings": 32}}));
    assert_eq!(implied.unwrap(), yarn);

    let yarn = rope(json!({"rope_scaling": {
        "type": "yarn", "factor": 4.0, "mscale": 0.8, "mscale_all_dim": 0.5, "beta_fast": 16,
        "beta_slow": 2, "truncate": false}}))
    .unwrap();
    (expected[1], expected[2]) = (0.212_468_68, 0.025_664_398);
    assert_close(&yarn.inv_freq(7), &expected);
    assert!((yarn.attention_factor() - 1.038_892_975_221_742_8).abs() < 1e-15);

    let stated = rope(json!({"rope_scaling": {
        "type": "yarn", "factor": 4.0, "attention_factor": 0.5, "mscale": 0.8}}));
    assert_eq!(stated.unwrap().attention_factor(), 0.5);
}

fn longrope(top: Value, inner: Value) -> Result<RopeConfig> {
    let mut scaling = json!({
        "type": "longrope",
        "short_factor": [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7],
        "long_factor": [1.0, 1.5, 2, 3, 4, 6, 8, 12]});
    scaling.as_object_mut().unwrap().extend(inner.as_object().unwrap().clone());
    let mut config = json!({"rope_scaling": scaling});
    config.as_object_mut().unwrap().extend(top.as_object().unwrap().clone());
    rope(config)
}

#[test]
fn longrope_switches_by_the_context_reserved() {
    let long = longrope(json!({"original_max_position_embeddings": 32}), json!({})).unwrap();
    let expected = [
        1.0,
        0.287_479_76,
        0.083_333_336,
        0.024_325_214,
        0.007_142_857,
        0.002_108_185_3,
        0.000_625,
        0.000_186_016_33,
    ];
    assert_close(&long.inv_freq(32), &expected);
    let expected =
        [1.0, 0.210_818_5, 0.05, 0.010_540_925, 0.0025, 0.000_527_046_3, 0.000_125, 2.635_231_4e-5];
    assert_close(&long.inv_freq(33), &expected);
    assert!((long.attention_factor() - 1.183_215_956_619_923_2).abs() < 1e-15);
    // A table is of one rule, however few of its positions are asked for.
    let table = long.table(3, 33);
    assert_eq!(table.cos.len(), 3 * 8);
    assert_eq!(table.cos[8..16], long.table(2, 33).cos[8..]);
    assert_ne!(table.cos[9], long.table(3, 32).cos[9]);
}

#[test]
fn longrope_lengths_follow_transformers() {
    let parts = |config: RopeConfig| match config.scaling {
        RopeScaling::LongRope { attention_factor, original_max_position_embeddings, .. } => {
            (original_max_position_embeddings, attention_factor)
        }
        other => panic!("{other:?}"),
    };
    // The length at the top counts, and its ratio beats a factor.
    let top = json!({"original_max_position_embeddings": 32});
    let inner = json!({"factor": 2.0, "original_max_position_embeddings": 16});
    let (original, factor) = parts(longrope(top.clone(), inner).unwrap());
    assert_eq!(original, 32);
    assert!((factor - 1.183_215_956_619_923_2).abs() < 1e-15);
    // Beside a factor an inner length means nothing in this spelling; alone it does.
    let inner = json!({"factor": 1.0, "original_max_position_embeddings": 16});
    assert_eq!(parts(longrope(json!({}), inner).unwrap()), (128, 1.0));
    let inner = json!({"original_max_position_embeddings": 32});
    assert_eq!(parts(longrope(json!({}), inner).unwrap()).0, 32);
    assert_eq!(parts(longrope(top, json!({"attention_factor": 1.25})).unwrap()).1, 1.25);
    // su is the old name.
    assert!(longrope(json!({}), json!({"type": "su"})).is_ok());
}

#[test]
fn tables_hold_cosines_and_sines_times_the_factor() {
    let yarn = rope(json!({"rope_scaling": {
        "type": "yarn", "factor": 4.0, "attention_factor": 2.0}}))
    .unwrap();
    let table = yarn.table(2, 2);
    assert_eq!((table.cos.len(), table.sin.len()), (16, 16));
    assert!(table.cos[..8].iter().all(|&c| c == 2.0) && table.sin[..8].iter().all(|&s| s == 0.0));
    let angle = f64::from(yarn.inv_freq(2)[0]);
    assert_eq!(table.cos[8], (libm::cos(angle) * 2.0) as f32);
    assert_eq!(table.sin[8], (libm::sin(angle) * 2.0) as f32);
}

#[test]
fn both_spellings_agree_or_are_refused() {
    let old = rope(json!({"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2.0}}));
    let old = old.unwrap();
    let new = json!({"rope_theta": 5e5, "rope_type": "linear", "factor": 2.0});
    assert_eq!(rope(json!({"rope_parameters": new})).unwrap(), old);
    let both = json!({"rope_theta": 5e5, "rope_parameters": new,
        "rope_scaling": {"type": "linear", "factor": 2.0}});
    assert_eq!(rope(both).unwrap(), old);
    let partial = rope(json!({"rope_parameters": {
        "rope_theta": 7.0, "rope_type": "default", "partial_rotary_factor": 0.5}}))
    .unwrap();
    assert_eq!((partial.theta, partial.rotary_dim), (7.0, 8));
    // The type may be left out of what scales nothing.
    assert_eq!(rope(json!({"rope_parameters": {"rope_theta": 7.0}})).unwrap().theta, 7.0);
    for harmless in [json!({"rope_scaling": null}), json!({"rope_scaling": {}})] {
        assert_eq!(rope(harmless).unwrap().scaling, RopeScaling::Default);
    }

    let contradiction = json!({"rope_parameters": new, "rope_scaling": {"type": "default"}});
    assert!(error(contradiction).to_string().contains("rope_parameters"));
    let contradiction = json!({"rope_theta": 1e4, "rope_parameters": new});
    assert!(error(contradiction).to_string().contains("10000"));
    let contradiction = json!({"rope_scaling":
        {"type": "linear", "rope_type": "dynamic", "factor": 2.0}});
    assert_eq!(error(contradiction).kind(), ErrorKind::Format);
}

#[test]
fn what_cannot_run_is_said() {
    for (scaling, kind, word) in [
        (json!({"type": "ntk", "factor": 2.0}), ErrorKind::Unsupported, "\"ntk\""),
        (json!({"factor": 2.0}), ErrorKind::Missing, "rope_type"),
        (json!({"type": 3}), ErrorKind::Format, "type"),
        (json!("linear"), ErrorKind::Format, "rope_scaling"),
        (json!({"type": "linear"}), ErrorKind::Missing, "rope_scaling.factor"),
        (json!({"type": "linear", "factor": 0}), ErrorKind::Format, "positive"),
        (json!({"type": "linear", "factor": -1.5}), ErrorKind::Format, "positive"),
        (json!({"type": "linear", "factor": "2"}), ErrorKind::Format, "\"2\""),
        (json!({"type": "linear", "factor": 1e-300}), ErrorKind::Format, "finite"),
        (json!({"type": "default", "mrope_section": [1, 2]}), ErrorKind::Unsupported, "mrope"),
        (json!({"full_attention": {"rope_type": "default"}}), ErrorKind::Unsupported, "layer"),
        (
            json!({"type": "llama3", "factor": 8.0, "low_freq_factor": 4.0,
                "high_freq_factor": 4.0, "original_max_position_embeddings": 32}),
            ErrorKind::Format,
            "high_freq_factor",
        ),
        (
            json!({"type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                "high_freq_factor": 4.0}),
            ErrorKind::Missing,
            "original_max_position_embeddings",
        ),
        (
            json!({"type": "yarn", "factor": 2.0, "attention_factor": -1.0}),
            ErrorKind::Format,
            "attention_factor",
        ),
        (json!({"type": "yarn", "factor": 2.0, "beta_fast": -3}), ErrorKind::Format, "beta_fast"),
        (
            json!({"type": "longrope", "short_factor": [1.0], "long_factor": [1.0]}),
            ErrorKind::Format,
            "expected 8 numbers",
        ),
        (json!({"type": "longrope", "factor": 4.0}), ErrorKind::Missing, "short_factor"),
        (
            json!({"type": "longrope", "short_factor": [1, 1, 1, 0, 1, 1, 1, 1],
                "long_factor": [1, 1, 1, 1, 1, 1, 1, 1]}),
            ErrorKind::Format,
            "short_factor",
        ),
        // ln(1) = 0 in the attention factor.
        (
            json!({"type": "longrope", "short_factor": [1, 1, 1, 1, 1, 1, 1, 1],
                "long_factor": [1, 1, 1, 1, 1, 1, 1, 1], "original_max_position_embeddings": 1}),
            ErrorKind::Format,
            "attention_factor",
        ),
    ] {
        let error = error(json!({"rope_scaling": scaling}));
        assert_eq!(error.kind(), kind, "{scaling}: {error}");
        assert!(error.to_string().contains(word), "{scaling}: {error}");
    }
    for (fields, word) in [
        (json!({"rope_theta": 0}), "rope_theta"),
        (json!({"rope_theta": -5.0}), "rope_theta"),
        (json!({"rope_theta": 1e-300}), "finite"),
        (json!({"rope_theta": 1.0, "rope_scaling": {"type": "yarn", "factor": 2.0}}), "rope_theta"),
        (json!({"partial_rotary_factor": 0.0}), "partial_rotary_factor"),
        (json!({"partial_rotary_factor": 1.5}), "partial_rotary_factor"),
        (json!({"partial_rotary_factor": 0.01}), "partial_rotary_factor"),
        (json!({"head_dim": 2, "rope_scaling": {"type": "dynamic", "factor": 2.0}}), "dynamic"),
    ] {
        assert!(error(fields.clone()).to_string().contains(word), "{fields}");
    }
}
