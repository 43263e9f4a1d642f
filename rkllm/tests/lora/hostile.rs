//! Adapters that cannot be: each an error of its kind, and none a panic.

use rkllm::model::{Load, Lora, ModelConfig};
use rkllm::{Bytes, Error, ErrorKind};
use safetensors::tensor::Dtype;
use serde_json::{Value, json};

use crate::common::{data, weights};
use crate::made::{Made, Random, Stored, bytes_of, write};

const Q: &str = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";

fn model() -> ModelConfig {
    weights(&data("golden/llama-f32"), None).config.clone()
}

fn made() -> Made {
    Made::new(&data("golden/llama-f32"), 4, Dtype::F32, 7, |name| name.contains("proj"))
}

/// The error of both ways in, whose kind and text agree.
fn refused(config: &str, tensors: &[Stored]) -> Error {
    let bytes = bytes_of(tensors);
    let error = Lora::from_bytes(config, Bytes::new(bytes.clone()), &model()).unwrap_err();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("adapter_config.json"), config).unwrap();
    std::fs::write(dir.path().join("adapter_model.safetensors"), bytes).unwrap();
    for load in [Load::Map, Load::Copy] {
        let other = Lora::open(dir.path(), &model(), load).unwrap_err();
        assert_eq!(other.kind(), error.kind());
        assert!(other.to_string().ends_with(&error.to_string()), "{other} / {error}");
    }
    error
}

#[test]
fn configurations_that_are_not_plain_lora() {
    let made = made();
    let with = |name: &str, value: Value| {
        let mut config = made.config();
        config[name] = value;
        config.to_string()
    };
    let cases = [
        (with("peft_type", json!("LOHA")), ErrorKind::Unsupported, "LOHA"),
        (with("peft_type", json!(null)), ErrorKind::Missing, "peft_type"),
        (with("use_dora", json!(true)), ErrorKind::Unsupported, "DoRA"),
        (with("bias", json!("all")), ErrorKind::Unsupported, "bias"),
        (with("lora_bias", json!(true)), ErrorKind::Unsupported, "bias"),
        (with("fan_in_fan_out", json!(true)), ErrorKind::Unsupported, "transposed"),
        (with("modules_to_save", json!(["lm_head"])), ErrorKind::Unsupported, "saved whole"),
        (with("rank_pattern", json!({"q_proj": 8})), ErrorKind::Unsupported, "ranks"),
        (with("alpha_pattern", json!({"q_proj": 8})), ErrorKind::Unsupported, "alphas"),
        (with("init_lora_weights", json!("pissa")), ErrorKind::Unsupported, "init_lora_weights"),
        (with("layer_replication", json!([[0, 1]])), ErrorKind::Unsupported, "repeated"),
        (with("r", json!(0)), ErrorKind::Format, "r: "),
        (with("r", json!(-4)), ErrorKind::Format, "r: "),
        (with("r", json!(4.5)), ErrorKind::Format, "r: "),
        (with("r", json!(1u64 << 40)), ErrorKind::Format, "r: "),
        (with("r", json!(null)), ErrorKind::Missing, "r: "),
        (with("r", json!(5)), ErrorKind::Shape, "lora_A"),
        (with("lora_alpha", json!("16")), ErrorKind::Format, "lora_alpha"),
        (with("lora_alpha", json!(null)), ErrorKind::Missing, "lora_alpha"),
        (with("target_modules", json!([1])), ErrorKind::Format, "target_modules"),
        (with("target_modules", json!(7)), ErrorKind::Format, "target_modules"),
        (with("target_modules", json!(["q_proj"])), ErrorKind::Format, "not among"),
        (with("layers_to_transform", json!("x")), ErrorKind::Format, "layers_to_transform"),
        (r#"{"r": 1, "r": 2}"#.into(), ErrorKind::Format, "duplicate"),
        ("[]".into(), ErrorKind::Format, "object"),
        ("{".into(), ErrorKind::Format, "JSON"),
        (String::new(), ErrorKind::Format, "JSON"),
    ];
    for (config, kind, word) in cases {
        let error = refused(&config, &made.tensors());
        assert_eq!(error.kind(), kind, "{config}: {error}");
        assert!(error.to_string().contains(word), "{config}: {error}");
    }
}

#[test]
fn tensors_that_do_not_fit() {
    let made = made();
    let changed = |change: &dyn Fn(&mut Vec<Stored>)| {
        let mut tensors = made.tensors();
        change(&mut tensors);
        refused(&made.config().to_string(), &tensors)
    };
    let named = |new: &'static str| {
        changed(&move |tensors| {
            let mut copy = tensors[0].clone();
            copy.0 = new.into();
            tensors.push(copy);
        })
    };
    let at =
        |tensors: &[Stored]| tensors.iter().position(|(name, ..)| name == Q).expect("the tensor");
    let cases = [
        (changed(&|t| t.retain(|(name, ..)| name != Q)), ErrorKind::Missing),
        (changed(&|t| t.retain(|(name, ..)| !name.contains("layers.1"))), ErrorKind::Missing),
        (changed(&|t| t.clear()), ErrorKind::Missing),
        (
            changed(&|t| {
                let i = at(t);
                t[i].2.reverse()
            }),
            ErrorKind::Shape,
        ),
        (
            changed(&|t| {
                let i = at(t);
                t[i].2.push(1)
            }),
            ErrorKind::Shape,
        ),
        (
            changed(&|t| {
                let i = at(t);
                t[i].1 = Dtype::I32
            }),
            ErrorKind::Dtype,
        ),
        (
            changed(&|t| {
                let i = at(t);
                t[i].3[..4].copy_from_slice(&f32::NAN.to_le_bytes())
            }),
            ErrorKind::NonFinite,
        ),
        (
            named("base_model.model.model.layers.9.self_attn.q_proj.lora_A.weight"),
            ErrorKind::Unsupported,
        ),
        (
            named("base_model.model.model.layers.0.self_attn.qkv_proj.lora_A.weight"),
            ErrorKind::Unsupported,
        ),
        (named("base_model.model.model.embed_tokens.lora_embedding_A"), ErrorKind::Unsupported),
        (
            named("base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector.weight"),
            ErrorKind::Unsupported,
        ),
        (named("lm_head.weight"), ErrorKind::Unsupported),
    ];
    for (error, kind) in cases {
        assert_eq!(error.kind(), kind, "{error}");
    }
}

#[test]
fn files_that_are_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Lora::open(dir.path(), &model(), Load::Copy).unwrap_err();
    let absent = Lora::open(dir.path().join("none"), &model(), Load::Copy).unwrap_err();
    assert_eq!(absent.kind(), ErrorKind::Missing);
    assert_eq!(open().kind(), ErrorKind::Missing);
    std::fs::write(dir.path().join("adapter_config.json"), made().config().to_string()).unwrap();
    std::fs::write(dir.path().join("adapter_model.bin"), "").unwrap();
    let error = open();
    assert!(error.kind() == ErrorKind::Missing && error.to_string().contains("pickled"), "{error}");
    write(dir.path(), &made().config(), &made().tensors());
    assert!(Lora::open(dir.path(), &model(), Load::Copy).is_ok());
}

/// What PEFT itself would take: names no layer has, a pattern, some of the layers.
#[test]
fn targets_in_every_spelling() {
    let (made, whole) = (made(), made().tensors());
    let first: Vec<Stored> =
        whole.iter().filter(|(name, ..)| name.contains("layers.0")).cloned().collect();
    let with = |changes: &[(&str, Value)]| {
        let mut config = made.config();
        changes.iter().for_each(|(name, value)| config[*name] = value.clone());
        config.to_string()
    };
    let extra =
        ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "c_attn"];
    let full: Vec<String> = whole
        .iter()
        .map(|(name, ..)| name["base_model.model.".len()..].split(".lora").next().unwrap().into())
        .collect();
    for (config, tensors, modules) in [
        (with(&[("target_modules", json!(extra))]), &whole, 14),
        (with(&[("target_modules", json!("all-linear"))]), &whole, 14),
        (with(&[("target_modules", json!(".*_proj"))]), &first, 7),
        (with(&[("target_modules", json!(full))]), &whole, 14),
        (with(&[("layers_to_transform", json!([0]))]), &first, 7),
        (with(&[("layers_to_transform", json!(0))]), &first, 7),
        (with(&[("exclude_modules", json!(["layers.1"]))]), &first, 7),
    ] {
        let lora = Lora::from_bytes(&config, Bytes::new(bytes_of(tensors)), &model()).unwrap();
        assert_eq!(lora.modules().count(), modules, "{config}");
        assert_eq!((lora.rank(), lora.scaling()), (4, 2.0));
    }
}

#[test]
fn damaged_bytes_never_panic() {
    let made = made();
    let (config, tensors) = (made.config().to_string().into_bytes(), bytes_of(&made.tensors()));
    let (model, mut random) = (model(), Random(11));
    let mut refused = 0;
    for round in 0..600 {
        let (mut config, mut tensors) = (config.clone(), tensors.clone());
        let damaged = if round % 2 == 0 { &mut config } else { &mut tensors };
        for _ in 0..1 + random.next() % 3 {
            // Half of the changes fall where the header is.
            let end = if random.next() % 2 == 0 { damaged.len().min(2048) } else { damaged.len() };
            let at = random.next() as usize % end.max(1);
            match random.next() % 3 {
                0 if !damaged.is_empty() => damaged[at] ^= 1 << (random.next() % 8),
                1 => damaged.truncate(at),
                _ => damaged.insert(at.min(damaged.len()), b"09\"},[-"[random.next() as usize % 7]),
            }
        }
        let Ok(config) = String::from_utf8(config) else { continue };
        refused += u32::from(Lora::from_bytes(&config, Bytes::new(tensors), &model).is_err());
    }
    assert!(refused > 300, "only {refused} refused");
}
