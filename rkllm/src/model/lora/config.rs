//! What `adapter_config.json` says.

use serde_json::Value;

use crate::model::json::{self, Fields, kind_of, shorten};
use crate::{Error, ErrorKind, Result};

/// Largest rank believed.
const MAX_RANK: usize = 1 << 16;

/// Options that make something else of an adapter than `B (A x)`, unless they are absent, false or empty.
const OTHER: [(&str, &str); 15] = [
    ("use_dora", "weight-decomposed adapters (DoRA)"),
    ("lora_bias", "adapters with a bias"),
    ("fan_in_fan_out", "transposed weights"),
    ("modules_to_save", "modules that are saved whole"),
    ("rank_pattern", "ranks by module"),
    ("alpha_pattern", "alphas by module"),
    ("layer_replication", "layers that are repeated"),
    ("trainable_token_indices", "tokens with embeddings of their own"),
    ("target_parameters", "adapters of parameters that are no module"),
    ("use_qalora", "adapters of pooled inputs (QA-LoRA)"),
    ("alora_invocation_tokens", "adapters that tokens switch on (aLoRA)"),
    ("arrow_config", "adapters that are routed (Arrow)"),
    ("megatron_config", "layers of Megatron"),
    ("use_bdlora", "block-diagonal adapters"),
    ("lora_ga_config", "adapters that change the weights below them (LoRA-GA)"),
];

/// Ways to begin that leave the weights below as they are; the others subtract from them.
const PLAIN_INITS: [&str; 3] = ["gaussian", "eva", "orthogonal"];

pub(super) struct LoraConfig {
    pub(super) rank: usize,
    pub(super) scaling: f64,
    /// Names or ends of names of modules; `None` where a pattern says which.
    targets: Option<Vec<String>>,
    /// Layers that have them; `None` for all.
    layers: Option<Vec<u64>>,
    /// Some that match have none.
    excludes: bool,
}

impl LoraConfig {
    pub(super) fn from_json(text: &str) -> Result<Self> {
        let map = json::parse_object(text)?;
        let fields = Fields::new(&map, "");
        check_kind(&fields)?;
        let rank = fields.required_dimension("r", MAX_RANK)?;
        let alpha = fields.number("lora_alpha")?.ok_or_else(|| fields.missing("lora_alpha"))?;
        let divisor = match fields.boolean("use_rslora")?.unwrap_or(false) {
            true => (rank as f64).sqrt(),
            false => rank as f64,
        };
        let targets = match fields.get("target_modules") {
            None | Some(Value::String(_)) => None,
            Some(_) => Some(names(&fields, "target_modules")?),
        };
        let layers = match fields.get("layers_to_transform") {
            None => None,
            Some(Value::Array(values)) => {
                Some(values.iter().map(|value| layer(&fields, value)).collect::<Result<Vec<_>>>()?)
            }
            Some(value) => Some(vec![layer(&fields, value)?]),
        };
        let excludes = fields.get("exclude_modules").is_some_and(|value| !is_empty(value));
        Ok(Self { rank, scaling: alpha / divisor, targets, layers, excludes })
    }

    /// True unless the configuration names modules, and not this one.
    pub(super) fn allows(&self, module: &str) -> bool {
        self.targets.as_ref().is_none_or(|targets| {
            targets.iter().any(|target| {
                module
                    .strip_suffix(target.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            })
        })
    }

    /// True if the file is not whole without this module.
    pub(super) fn demands(&self, module: &str, layer: Option<usize>) -> bool {
        let of_layer = match (&self.layers, layer) {
            (None, _) => true,
            (Some(layers), Some(layer)) => layers.contains(&(layer as u64)),
            (Some(_), None) => false,
        };
        self.targets.is_some() && !self.excludes && of_layer && self.allows(module)
    }
}

fn check_kind(fields: &Fields<'_>) -> Result<()> {
    let kind = fields.string("peft_type")?.ok_or_else(|| fields.missing("peft_type"))?;
    if kind != "LORA" {
        return Err(unsupported(
            fields,
            "peft_type",
            &format!("adapters of type {}", shorten(kind)),
        ));
    }
    for (name, what) in OTHER {
        if fields.get(name).is_some_and(|value| !is_empty(value)) {
            return Err(unsupported(fields, name, what));
        }
    }
    match fields.string("bias")? {
        None | Some("none") => {}
        Some(_) => return Err(unsupported(fields, "bias", "adapters that train biases")),
    }
    match fields.get("init_lora_weights") {
        None | Some(Value::Bool(_)) => Ok(()),
        Some(Value::String(init)) if PLAIN_INITS.contains(&init.as_str()) => Ok(()),
        Some(_) => Err(unsupported(
            fields,
            "init_lora_weights",
            "adapters that began by changing the weights below them",
        )),
    }
}

fn unsupported(fields: &Fields<'_>, name: &str, what: &str) -> Error {
    fields
        .error(ErrorKind::Unsupported, name, format!("{what} are not supported"))
        .with_hint("convert it to a plain LoRA adapter, or merge it into the model")
}

/// False, nothing, or an empty list, object or text.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(values) => values.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

fn names(fields: &Fields<'_>, name: &str) -> Result<Vec<String>> {
    let values = fields.list(name)?.unwrap_or_default();
    let names = values.iter().map(|value| match value {
        Value::String(text) if !text.is_empty() => Ok(text.clone()),
        _ => Err(fields.error(
            ErrorKind::Format,
            name,
            format!("expected names of modules, found {}", kind_of(value)),
        )),
    });
    names.collect()
}

fn layer(fields: &Fields<'_>, value: &Value) -> Result<u64> {
    value.as_u64().ok_or_else(|| {
        fields.error(
            ErrorKind::Format,
            "layers_to_transform",
            format!("expected the number of a layer, found {}", kind_of(value)),
        )
    })
}
