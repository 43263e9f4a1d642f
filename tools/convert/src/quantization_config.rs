//! `quantization_config`: the scheme in the words of compressed-tensors 0.12.

use rkllm::quant::{Group, QuantScheme};
use rkllm::{Error, ErrorKind, Result};
use serde_json::{Map, Value, json};

/// The version of compressed-tensors whose schema this is.
const SCHEMA_VERSION: &str = "0.12.2";
/// How the output head of every artifact is stored: int8, a scale per row, no zero points.
pub(crate) const HEAD: QuantScheme = QuantScheme::W8A8(Group::Channel);

/// The `config.json` of an artifact: the source's, with what quantisation changed. `tied` says that one matrix
/// of the artifact is both embedding and head.
///
/// # Errors
/// [`ErrorKind::Format`] if `source` is no object.
pub(crate) fn artifact_config(
    source: &Value,
    scheme: QuantScheme,
    symmetric: bool,
    tied: bool,
) -> Result<Value> {
    let Value::Object(config) = source else {
        return Err(Error::new(ErrorKind::Format, "expected a JSON object").about("config.json"));
    };
    let mut config = config.clone();
    // False wherever the head has rows of its own: with `true` transformers would silently use the
    // embedding instead.
    config.insert("tie_word_embeddings".into(), Value::Bool(tied));
    config.insert("quantization_config".into(), quantization_config(scheme, symmetric));
    Ok(Value::Object(config))
}

fn quantization_config(scheme: QuantScheme, symmetric: bool) -> Value {
    let layers = group(scheme, symmetric, "Linear");
    let head = group(HEAD, true, "lm_head");
    let mut groups = Map::new();
    let int4 = matches!(scheme, QuantScheme::W4A16(_));
    if scheme == HEAD && symmetric {
        groups.insert("group_0".into(), layers);
    } else {
        // transformers takes the first target that matches a module, and the head is a Linear too.
        groups.insert("group_0".into(), head);
        groups.insert("group_1".into(), layers);
    }
    let mut config = json!({
        "quant_method": "compressed-tensors",
        "format": if int4 { "mixed-precision" } else { "int-quantized" },
        "quantization_status": "compressed",
        "config_groups": groups,
        "ignore": [],
        "kv_cache_scheme": null,
        "global_compression_ratio": null,
        "sparsity_config": {},
        "transform_config": {},
        "version": SCHEMA_VERSION,
    });
    if int4 {
        // transformers 4.57 runs compressed layers in one format only; unpacking at load takes both.
        config["run_compressed"] = Value::Bool(false);
    }
    config
}

fn group(scheme: QuantScheme, symmetric: bool, target: &str) -> Value {
    let int4 = matches!(scheme, QuantScheme::W4A16(_));
    let weights = args(scheme, symmetric, "channel", Some("minmax"));
    // Activations of w4a16 are 16-bit fixed point, which the schema cannot say; it calls them floats.
    let activations = (!int4).then(|| args(scheme, true, "token", None));
    json!({
        "targets": [target],
        "weights": weights,
        "input_activations": activations,
        "output_activations": null,
        "format": if int4 { "pack-quantized" } else { "int-quantized" },
    })
}

/// Quantisation arguments; without an observer they are dynamic. `ungrouped` is the strategy of schemes
/// without groups.
fn args(scheme: QuantScheme, symmetric: bool, ungrouped: &str, observer: Option<&str>) -> Value {
    let (strategy, group_size) = match scheme.group() {
        Some(Group::Columns(size)) => ("group", Some(size)),
        _ => (ungrouped, None),
    };
    json!({
        "num_bits": scheme.weight_bits(),
        "type": "int",
        "symmetric": symmetric,
        "strategy": strategy,
        "group_size": group_size,
        "block_structure": null,
        "dynamic": observer.is_none(),
        "actorder": null,
        "observer": observer,
        "observer_kwargs": {},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w8a8_is_one_group_with_token_activations() {
        let source =
            json!({"model_type": "llama", "tie_word_embeddings": true, "dtype": "float32"});
        let config = artifact_config(&source, HEAD, true, false).unwrap();
        let keys: Vec<_> = config.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["model_type", "tie_word_embeddings", "dtype", "quantization_config"]);
        assert_eq!(config["tie_word_embeddings"], json!(false));
        let q = &config["quantization_config"];
        assert_eq!(q["format"], "int-quantized");
        assert_eq!(q["config_groups"].as_object().unwrap().len(), 1);
        let group = &q["config_groups"]["group_0"];
        assert_eq!(group["weights"]["strategy"], "channel");
        assert_eq!(group["input_activations"]["strategy"], "token");
        assert_eq!(group["input_activations"]["dynamic"], true);
        assert!(q.get("run_compressed").is_none());
    }

    #[test]
    fn grouped_w4a16_keeps_the_head_apart() {
        let scheme = QuantScheme::W4A16(Group::Columns(32));
        let q = quantization_config(scheme, false);
        assert_eq!(
            (&q["format"], &q["run_compressed"]),
            (&json!("mixed-precision"), &json!(false))
        );
        let (head, layers) = (&q["config_groups"]["group_0"], &q["config_groups"]["group_1"]);
        assert_eq!(head["targets"], json!(["lm_head"]));
        assert_eq!(
            (&head["format"], &head["weights"]["num_bits"]),
            (&json!("int-quantized"), &json!(8))
        );
        assert_eq!(head["weights"]["symmetric"], true);
        assert_eq!(layers["targets"], json!(["Linear"]));
        assert_eq!(layers["weights"]["symmetric"], false);
        assert_eq!(layers["weights"]["group_size"], 32);
        assert_eq!(layers["input_activations"], Value::Null);
    }

    #[test]
    fn the_head_is_what_the_reader_makes_of_it() {
        let options = crate::ConvertOptions { symmetric: false, ..Default::default() };
        assert_eq!(options.head_spec().scheme, HEAD);
        assert!(options.head_spec().symmetric && !options.layer_spec().symmetric);
    }

    #[test]
    fn only_objects_are_configurations() {
        assert!(artifact_config(&json!([]), HEAD, true, false).is_err());
    }
}
