//! RoPE parameters from `config.json`: the old `rope_scaling` and the newer `rope_parameters`.

use serde_json::{Map, Value};

use super::{RopeConfig, RopeScaling};
use crate::model::config::Row;
use crate::model::json::{Fields, kind_of};
use crate::{ErrorKind, Result};

const MAX_LENGTH: usize = 1 << 31;

impl RopeConfig {
    /// Reads the RoPE fields of a configuration.
    pub(in super::super) fn from_fields(
        fields: Fields<'_>,
        row: &Row,
        head_dim: usize,
        max_position_embeddings: usize,
    ) -> Result<Self> {
        let old = fields.object("rope_scaling")?.filter(|map| !map.is_empty());
        let new = fields.object("rope_parameters")?.filter(|map| !map.is_empty());
        let inner = match new {
            Some(map) => Fields::new(map, "rope_parameters."),
            None => fields,
        };
        // Both spellings in one file must agree, or two readers would compute two models.
        let theta = agree(fields, inner, "rope_theta")?.unwrap_or(10_000.0);
        let partial = agree(fields, inner, "partial_rotary_factor")?.unwrap_or(1.0);
        if theta <= 0.0 {
            return Err(fields.error(
                ErrorKind::Format,
                "rope_theta",
                format!("expected a positive number, found {theta}"),
            ));
        }
        let dim = (head_dim as f64 * partial) as usize;
        if !(partial > 0.0 && partial <= 1.0) || dim == 0 {
            return Err(fields.error(
                ErrorKind::Format,
                "partial_rotary_factor",
                format!("{partial} of head_dim = {head_dim} is no number of rotated values"),
            ));
        }
        let rotary_dim = dim.next_multiple_of(2);
        let context = Context { fields, row, dim, rotary_dim, theta, max_position_embeddings };
        let mut scaling = RopeScaling::Default;
        if let Some(map) = old {
            scaling = context.scaling(map, "rope_scaling.")?;
        }
        if let Some(map) = new {
            let newer = context.scaling(map, "rope_parameters.")?;
            if old.is_some() && newer != scaling {
                return Err(fields.error(
                    ErrorKind::Format,
                    "rope_parameters",
                    "says something else than rope_scaling",
                ));
            }
            scaling = newer;
        }
        let config = Self { theta, rotary_dim, dim, scaling };
        for context in [1, MAX_LENGTH] {
            if config.inv_freq(context).iter().any(|frequency| !frequency.is_finite()) {
                return Err(fields.error(
                    ErrorKind::Format,
                    "rope_theta",
                    format!("{theta} with this scaling gives frequencies that are not finite"),
                ));
            }
        }
        Ok(config)
    }
}

/// A number that may stand at the top, in `rope_parameters`, or equal in both.
fn agree(top: Fields<'_>, inner: Fields<'_>, name: &str) -> Result<Option<f64>> {
    match (top.number(name)?, inner.number(name)?) {
        (Some(top_value), Some(inner_value)) if top_value != inner_value => Err(inner.error(
            ErrorKind::Format,
            name,
            format!("found {inner_value}, but {top_value} at the top of the file"),
        )),
        (top_value, inner_value) => Ok(inner_value.or(top_value)),
    }
}

/// What the scaling rules need from the rest of the configuration.
struct Context<'a> {
    fields: Fields<'a>,
    row: &'a Row,
    dim: usize,
    rotary_dim: usize,
    theta: f64,
    max_position_embeddings: usize,
}

impl Context<'_> {
    fn scaling(&self, map: &Map<String, Value>, prefix: &str) -> Result<RopeScaling> {
        let fields = Fields::new(map, prefix);
        self.refuse(map, fields)?;
        match self.rope_type(fields)? {
            "default" => Ok(RopeScaling::Default),
            "linear" => Ok(RopeScaling::Linear { factor: positive(fields, "factor")? }),
            "dynamic" => self.dynamic(fields),
            "llama3" => self.llama3(fields),
            "yarn" => self.yarn(fields),
            "longrope" => self.longrope(fields, prefix == "rope_parameters."),
            other => Err(fields
                .error(ErrorKind::Unsupported, "rope_type", format!("unknown type {other:?}"))
                .with_hint("known are default, linear, dynamic, llama3, yarn and longrope")),
        }
    }

    fn refuse(&self, map: &Map<String, Value>, fields: Fields<'_>) -> Result<()> {
        if let Some(name) = map.keys().find(|name| name.starts_with("mrope")) {
            return Err(fields.error(
                ErrorKind::Unsupported,
                name,
                "positions with several axes cannot run",
            ));
        }
        if let Some((name, _)) = map.iter().find(|(_, value)| value.is_object()) {
            return Err(fields.error(
                ErrorKind::Unsupported,
                name,
                "RoPE parameters per kind of layer cannot run",
            ));
        }
        Ok(())
    }

    fn rope_type<'a>(&self, fields: Fields<'a>) -> Result<&'a str> {
        let name = match (fields.string("rope_type")?, fields.string("type")?) {
            (Some(new), Some(old)) if new != old => {
                let message = format!("found {old:?}, but rope_type is {new:?}");
                return Err(fields.error(ErrorKind::Format, "type", message));
            }
            // The newer spelling may leave out the type of what scales nothing.
            (None, None) if fields.has("rope_theta") && !fields.has("factor") => "default",
            (new, old) => new.or(old).ok_or_else(|| fields.missing("rope_type"))?,
        };
        Ok(match name {
            "su" => "longrope",
            // Phi-3's first configurations called its two lists of factors yarn.
            "yarn" if self.row.fused_projections && fields.has("short_factor") => "longrope",
            name => name,
        })
    }

    fn dynamic(&self, fields: Fields<'_>) -> Result<RopeScaling> {
        if self.dim <= 2 {
            return Err(fields.error(
                ErrorKind::Unsupported,
                "rope_type",
                "dynamic needs more than two rotated values per head",
            ));
        }
        Ok(RopeScaling::Dynamic {
            factor: positive(fields, "factor")?,
            max_position_embeddings: self.max_position_embeddings,
        })
    }

    fn llama3(&self, fields: Fields<'_>) -> Result<RopeScaling> {
        let low_freq_factor = positive(fields, "low_freq_factor")?;
        let high_freq_factor = positive(fields, "high_freq_factor")?;
        if high_freq_factor <= low_freq_factor {
            return Err(fields.error(
                ErrorKind::Format,
                "high_freq_factor",
                format!(
                    "expected more than low_freq_factor = {low_freq_factor}, found {high_freq_factor}"
                ),
            ));
        }
        Ok(RopeScaling::Llama3 {
            factor: positive(fields, "factor")?,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings: fields
                .required_dimension("original_max_position_embeddings", MAX_LENGTH)?,
        })
    }

    fn yarn(&self, fields: Fields<'_>) -> Result<RopeScaling> {
        if self.theta <= 1.0 {
            return Err(fields.error(
                ErrorKind::Format,
                "rope_theta",
                format!("yarn needs more than 1, found {}", self.theta),
            ));
        }
        let original_max_position_embeddings = fields
            .dimension("original_max_position_embeddings", MAX_LENGTH)?
            .unwrap_or(self.max_position_embeddings);
        let factor = match fields.has("factor") {
            true => positive(fields, "factor")?,
            false => self.max_position_embeddings as f64 / original_max_position_embeddings as f64,
        };
        let mscale = |scale: f64| match factor <= 1.0 {
            true => 1.0,
            false => 0.1 * scale * libm::log(factor) + 1.0,
        };
        // transformers takes a zero in these four as absent.
        let nonzero = |name: &str| fields.number(name).map(|value| value.filter(|&v| v != 0.0));
        let attention_factor = match fields.number("attention_factor")? {
            Some(factor) => factor,
            None => match (nonzero("mscale")?, nonzero("mscale_all_dim")?) {
                (Some(one), Some(all)) => mscale(one) / mscale(all),
                _ => mscale(1.0),
            },
        };
        let beta = |name: &str, default: f64| match nonzero(name)? {
            None => Ok(default),
            Some(_) => positive(fields, name),
        };
        Ok(RopeScaling::Yarn {
            factor,
            attention_factor: finite(fields, "attention_factor", attention_factor)?,
            beta_fast: beta("beta_fast", 32.0)?,
            beta_slow: beta("beta_slow", 1.0)?,
            truncate: fields.boolean("truncate")?.unwrap_or(true),
            original_max_position_embeddings,
        })
    }

    fn longrope(&self, fields: Fields<'_>, newer: bool) -> Result<RopeScaling> {
        let field = "original_max_position_embeddings";
        let top = match self.fields.has(field) {
            true => self.fields.dimension(field, MAX_LENGTH)?,
            false => self.row.original_max_position_embeddings.filter(|_| !newer),
        };
        let inner = fields.dimension(field, MAX_LENGTH)?;
        let factor = match fields.has("factor") {
            true => Some(positive(fields, "factor")?),
            false => None,
        };
        // The old spelling has the original length at the top, and an inner one counts for nothing
        // beside a factor; the newer spelling reads the inner one.
        let original = top
            .or(inner.filter(|_| newer || factor.is_none()))
            .or(self.row.original_max_position_embeddings)
            .unwrap_or(self.max_position_embeddings);
        let ratio = self.max_position_embeddings as f64 / original as f64;
        let factor = match top {
            Some(_) => ratio,
            None => factor.unwrap_or(ratio),
        };
        let attention_factor = match fields.number("attention_factor")? {
            Some(factor) => factor,
            None if factor <= 1.0 => 1.0,
            None => (1.0 + libm::log(factor) / libm::log(original as f64)).sqrt(),
        };
        Ok(RopeScaling::LongRope {
            short_factor: self.factors(fields, "short_factor")?,
            long_factor: self.factors(fields, "long_factor")?,
            attention_factor: finite(fields, "attention_factor", attention_factor)?,
            original_max_position_embeddings: original,
        })
    }

    fn factors(&self, fields: Fields<'_>, name: &str) -> Result<Vec<f64>> {
        let values = fields.list(name)?.ok_or_else(|| fields.missing(name))?;
        let expected = self.rotary_dim / 2;
        if values.len() != expected {
            return Err(fields.error(
                ErrorKind::Format,
                name,
                format!("expected {expected} numbers, found {}", values.len()),
            ));
        }
        let positive = values.iter().map(|value| {
            value.as_f64().filter(|v| v.is_finite() && *v > 0.0).ok_or_else(|| {
                let found = format!("expected positive numbers, found {}", kind_of(value));
                fields.error(ErrorKind::Format, name, found)
            })
        });
        positive.collect()
    }
}

fn positive(fields: Fields<'_>, name: &str) -> Result<f64> {
    let value = fields.number(name)?.ok_or_else(|| fields.missing(name))?;
    if value > 0.0 {
        Ok(value)
    } else {
        Err(fields.error(
            ErrorKind::Format,
            name,
            format!("expected a positive number, found {value}"),
        ))
    }
}

fn finite(fields: Fields<'_>, name: &str, value: f64) -> Result<f64> {
    if (value as f32).is_finite() && value > 0.0 {
        Ok(value)
    } else {
        Err(fields.error(
            ErrorKind::Format,
            name,
            format!("expected a positive number, found {value}"),
        ))
    }
}
