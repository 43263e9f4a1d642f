//! `quantization_config` in the compressed-tensors schema: which layer is stored how.

mod pattern;
mod stored;

use serde_json::Value;

use super::config::ModelConfig;
use super::json::{Fields, kind_of, shorten};
use crate::quant::{Group, QuantScheme};
use crate::{Error, ErrorKind, Result};
use pattern::Pattern;

/// How the layers of an artifact are stored.
#[derive(Debug)]
pub(super) struct Quantization {
    /// Targets from the most to the least specific, with the scheme of their group.
    targets: Vec<(Target, LayerScheme)>,
    ignore: Vec<Target>,
    /// What the first quantised layer has.
    scheme: QuantScheme,
}

/// How one linear layer is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LayerScheme {
    scheme: QuantScheme,
    /// One scale for the whole matrix.
    per_tensor: bool,
    symmetric: bool,
}

/// Which modules a rule is about. Sorted as compressed-tensors does: a name first, then patterns in
/// the order of their text, then the class of all linear layers.
#[derive(Debug)]
enum Target {
    Name(String),
    Pattern(String, Pattern),
    Linear,
}

const KEY: &str = "quantization_config";
/// Rules of real files are a handful; more would only cost time.
const MAX_RULES: usize = 4096;

impl Quantization {
    /// Reads the rules, if the configuration has any.
    pub(super) fn from_fields(fields: Fields<'_>, config: &ModelConfig) -> Result<Option<Self>> {
        let Some(map) = fields.object(KEY)? else { return Ok(None) };
        let fields = Fields::new(map, "quantization_config.");
        refuse_foreign(fields)?;
        let groups = fields.object("config_groups")?;
        let groups = groups.ok_or_else(|| fields.missing("config_groups"))?;
        let format = fields.string("format")?;
        let mut targets = Vec::new();
        for (name, group) in groups {
            let prefix = format!("quantization_config.config_groups.{name}.");
            let Some(group) = group.as_object() else {
                return Err(fields.error(
                    ErrorKind::Unsupported,
                    "config_groups",
                    format!("{} is {}, not a scheme", shorten(name), kind_of(group)),
                ));
            };
            let group = Fields::new(group, &prefix);
            let scheme = LayerScheme::from_group(group, format)?;
            for target in names(group, "targets")? {
                targets.push((Target::new(group, "targets", target)?, scheme));
            }
        }
        targets.sort_by(|(a, _), (b, _)| a.rank().cmp(&b.rank()));
        let ignore = names(fields, "ignore")?
            .into_iter()
            .map(|name| Target::new(fields, "ignore", name))
            .collect::<Result<Vec<_>>>()?;
        if targets.len() + ignore.len() > MAX_RULES {
            return Err(fields.error(
                ErrorKind::Format,
                "config_groups",
                format!("more than {MAX_RULES} targets"),
            ));
        }
        let mut quantization = Self { targets, ignore, scheme: QuantScheme::F32 };
        let first = modules(config).find_map(|module| quantization.of(&module));
        quantization.scheme = first.map(|layer| layer.scheme).ok_or_else(|| {
            let message = "no target matches a layer of the model";
            fields.error(ErrorKind::Unsupported, "config_groups", message)
        })?;
        Ok(Some(quantization))
    }

    pub(super) fn scheme(&self) -> QuantScheme {
        self.scheme
    }

    /// How the linear layer `module` is stored, `None` for as floats.
    fn of(&self, module: &str) -> Option<LayerScheme> {
        if self.ignore.iter().any(|target| target.matches(module)) {
            return None;
        }
        let target = self.targets.iter().find(|(target, _)| target.matches(module));
        target.map(|&(_, scheme)| scheme)
    }
}

/// The linear layers but the head, first layer first.
fn modules(config: &ModelConfig) -> impl Iterator<Item = String> {
    let names: &[&str] = match config.fused_projections {
        true => &["self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj", "mlp.down_proj"],
        false => &[
            "self_attn.q_proj",
            "self_attn.k_proj",
            "self_attn.v_proj",
            "self_attn.o_proj",
            "mlp.gate_proj",
            "mlp.up_proj",
            "mlp.down_proj",
        ],
    };
    (0..config.num_hidden_layers)
        .flat_map(move |layer| names.iter().map(move |name| format!("model.layers.{layer}.{name}")))
}

impl Target {
    fn new(fields: Fields<'_>, field: &str, text: &str) -> Result<Self> {
        match text.strip_prefix("re:") {
            Some(pattern) => Ok(Self::Pattern(
                pattern.to_owned(),
                Pattern::new(pattern).map_err(|error| {
                    fields.error(
                        ErrorKind::Unsupported,
                        field,
                        format!("cannot match {}: {error}", shorten(text)),
                    )
                })?,
            )),
            None if text == "Linear" => Ok(Self::Linear),
            None if text == "Embedding" && field == "targets" => Err(fields.error(
                ErrorKind::Unsupported,
                field,
                "modules of class Embedding cannot run as integers",
            )),
            None => Ok(Self::Name(text.to_owned())),
        }
    }

    fn matches(&self, module: &str) -> bool {
        match self {
            Self::Name(name) => name == module,
            Self::Pattern(_, pattern) => pattern.matches(module),
            Self::Linear => true,
        }
    }

    fn rank(&self) -> (u8, &str) {
        match self {
            Self::Name(name) => (0, name),
            Self::Pattern(text, _) => (1, text),
            Self::Linear => (2, ""),
        }
    }
}

fn names<'a>(fields: Fields<'a>, field: &str) -> Result<Vec<&'a str>> {
    let values = fields.list(field)?.unwrap_or_default();
    let names = values.iter().map(|value| {
        value.as_str().ok_or_else(|| {
            let found = format!("expected strings, found {}", kind_of(value));
            fields.error(ErrorKind::Format, field, found)
        })
    });
    names.collect()
}

/// Refuses what other tools write, and what would change the numbers if it were ignored.
fn refuse_foreign(fields: Fields<'_>) -> Result<()> {
    let unsupported = |field: &str, message: String| {
        Err(fields
            .error(ErrorKind::Unsupported, field, message)
            .with_hint("start from the original checkpoint"))
    };
    match fields.string("quant_method")? {
        Some("compressed-tensors") => {}
        None => return Err(fields.missing("quant_method")),
        Some(other) => {
            return unsupported("quant_method", format!("cannot read {}", shorten(other)));
        }
    }
    if let Some(status) = fields.string("quantization_status")?.filter(|&s| s != "compressed") {
        let message = format!("expected \"compressed\", found {}", shorten(status));
        return unsupported("quantization_status", message);
    }
    for field in ["kv_cache_scheme", "sparsity_config", "transform_config"] {
        let empty = |value: &Value| match value {
            Value::Object(map) => map.iter().all(|(key, value)| match key.as_str() {
                "format" => value == "dense",
                _ => value.as_object().is_some_and(|map| map.is_empty()),
            }),
            _ => false,
        };
        if let Some(value) = fields.get(field).filter(|value| !empty(value)) {
            return unsupported(field, format!("cannot apply {}", kind_of(value)));
        }
    }
    Ok(())
}

impl LayerScheme {
    fn from_group(group: Fields<'_>, format: Option<&str>) -> Result<Self> {
        let unsupported = |field: &str, found: String| {
            Err(group
                .error(ErrorKind::Unsupported, field, found)
                .with_hint("w8a8 with dynamic activations and w4a16 can run"))
        };
        if group.get("output_activations").is_some() {
            return unsupported("output_activations", "quantised outputs cannot run".into());
        }
        let weights = group.object("weights")?.ok_or_else(|| group.missing("weights"))?;
        let args = Args::new(Fields::new(weights, "weights."))
            .map_err(|error| error.about(group_name(group)))?;
        let format = group.string("format")?.or(format).unwrap_or("none");
        let scheme = match (format, args.bits) {
            ("int-quantized" | "naive-quantized", 8) => QuantScheme::W8A8(args.group()),
            ("pack-quantized", 4) => QuantScheme::W4A16(args.group()),
            (format, bits) => {
                return unsupported(
                    "format",
                    format!("cannot read {bits}-bit weights as {}", shorten(format)),
                );
            }
        };
        match (group.object("input_activations")?, scheme) {
            (None, QuantScheme::W4A16(_)) => {}
            (None, _) => {
                return unsupported("input_activations", "8-bit weights with float inputs".into());
            }
            (Some(_), QuantScheme::W4A16(_)) => {
                return unsupported(
                    "input_activations",
                    "4-bit weights with integer inputs".into(),
                );
            }
            (Some(inputs), _) => {
                let inputs = Args::new(Fields::new(inputs, "input_activations."))
                    .map_err(|error| error.about(group_name(group)))?;
                // One scale per token where rows have one scale, one per group where they have groups.
                let same_grouping = match args.strategy {
                    Strategy::Group(size) => inputs.strategy == Strategy::Group(size),
                    _ => inputs.strategy == Strategy::Token,
                };
                if inputs.bits != 8 || !inputs.symmetric || !inputs.dynamic || !same_grouping {
                    return unsupported(
                        "input_activations",
                        format!(
                            "expected dynamic symmetric int8, grouped as the weights: {inputs:?}"
                        ),
                    );
                }
            }
        }
        if args.dynamic || args.strategy == Strategy::Token {
            return unsupported("weights", format!("expected stored scales, found {args:?}"));
        }
        let per_tensor = args.strategy == Strategy::Tensor;
        Ok(Self { scheme, per_tensor, symmetric: args.symmetric })
    }
}

fn group_name(group: Fields<'_>) -> String {
    group.name().trim_end_matches('.').to_owned()
}

/// One `QuantizationArgs`.
#[derive(Debug)]
struct Args {
    bits: u64,
    symmetric: bool,
    dynamic: bool,
    strategy: Strategy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strategy {
    Tensor,
    Channel,
    Token,
    Group(usize),
}

impl Args {
    fn new(fields: Fields<'_>) -> Result<Self> {
        let unsupported =
            |field: &str, found: String| Err(fields.error(ErrorKind::Unsupported, field, found));
        if let Some(kind) = fields.string("type")?.filter(|&kind| kind != "int") {
            return unsupported("type", format!("expected int, found {}", shorten(kind)));
        }
        if let Some(order) = fields.get("actorder") {
            // `weight` and `static` only chose an order of rounding; the others permute columns.
            if !matches!(order.as_str(), Some("weight" | "static")) && order != &Value::Bool(false)
            {
                let message = format!("columns in another order ({}) cannot run", kind_of(order));
                return unsupported("actorder", message);
            }
        }
        if let Some(block) = fields.get("block_structure") {
            return unsupported("block_structure", format!("cannot read {}", kind_of(block)));
        }
        let size = match fields.get("group_size") {
            Some(value) if value.as_i64() == Some(-1) => None,
            _ => fields.dimension("group_size", 1 << 31)?,
        };
        let channel = fields.has("group_size") && fields.get("group_size").is_some();
        let strategy = match (fields.string("strategy")?, size) {
            (Some("tensor"), _) => Strategy::Tensor,
            (Some("channel"), _) => Strategy::Channel,
            (Some("token"), _) => Strategy::Token,
            (Some("group") | None, Some(size)) => Strategy::Group(size),
            (Some("group"), None) => return Err(fields.missing("group_size")),
            (None, None) if channel => Strategy::Channel,
            (None, None) => Strategy::Tensor,
            (Some(other), _) => {
                return unsupported("strategy", format!("unknown strategy {}", shorten(other)));
            }
        };
        let dynamic = match fields.get("dynamic") {
            Some(value) if value.is_string() => {
                return unsupported("dynamic", format!("cannot run {}", kind_of(value)));
            }
            _ => fields.boolean("dynamic")?.unwrap_or(false),
        };
        Ok(Self {
            bits: fields.dimension("num_bits", 64)?.unwrap_or(8) as u64,
            symmetric: fields.boolean("symmetric")?.unwrap_or(true),
            dynamic,
            strategy,
        })
    }

    fn group(&self) -> Group {
        match self.strategy {
            Strategy::Group(size) => Group::Columns(size),
            _ => Group::Channel,
        }
    }
}

/// A tensor that does not fit what the configuration says of its layer.
fn mismatch(kind: ErrorKind, name: &str, message: String) -> Error {
    Error::new(kind, message)
        .about(name)
        .with_hint("the file does not agree with quantization_config; convert or download it again")
}
