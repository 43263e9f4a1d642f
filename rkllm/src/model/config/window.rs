//! Sliding windows: which layer sees how many positions.

use serde_json::Value;

use super::super::json::{Fields, kind_of};
use super::MAX_DIMENSION;
use super::architecture::{Row, WindowRule};
use crate::{ErrorKind, Result};

const SLIDING: &str = "sliding_attention";
const FULL: &str = "full_attention";

/// Per layer: the number of positions a query sees, itself included; `None` for all.
pub(super) fn per_layer(
    fields: Fields<'_>,
    row: &Row,
    layers: usize,
) -> Result<Vec<Option<usize>>> {
    let types = layer_types(fields, layers)?;
    if row.window == WindowRule::LayerTypes {
        if !fields.boolean("use_sliding_window")?.unwrap_or(false) {
            return Ok(vec![None; layers]);
        }
        let window = window(fields, row)?;
        let first = match fields.get("max_window_layers").map(Value::as_u64) {
            None => 28,
            Some(Some(first)) => first,
            Some(None) => {
                return Err(fields.error(
                    ErrorKind::Format,
                    "max_window_layers",
                    "expected a whole number",
                ));
            }
        };
        let slides = |layer: usize| match &types {
            Some(types) => types[layer],
            None => layer as u64 >= first,
        };
        return Ok((0..layers).map(|layer| window.filter(|_| slides(layer))).collect());
    }

    let window = match row.window {
        WindowRule::EveryLayer => window(fields, row)?,
        _ => None,
    };
    // These architectures know no layer types, so a list is accepted only where it says the same.
    if types.is_some_and(|types| types.iter().any(|&slides| slides != window.is_some())) {
        return Err(fields.error(
            ErrorKind::Unsupported,
            "layer_types",
            format!("{} cannot mix sliding and full attention", row.class),
        ));
    }
    Ok(vec![window; layers])
}

fn window(fields: Fields<'_>, row: &Row) -> Result<Option<usize>> {
    match fields.has("sliding_window") {
        true => fields.dimension("sliding_window", MAX_DIMENSION),
        false => Ok(row.sliding_window),
    }
}

/// Per layer, whether it slides.
fn layer_types(fields: Fields<'_>, layers: usize) -> Result<Option<Vec<bool>>> {
    let Some(types) = fields.list("layer_types")? else { return Ok(None) };
    if types.len() != layers {
        return Err(fields.error(
            ErrorKind::Format,
            "layer_types",
            format!("expected num_hidden_layers = {layers} entries, found {}", types.len()),
        ));
    }
    let slides = types.iter().map(|name| match name.as_str() {
        Some(SLIDING) => Ok(true),
        Some(FULL) => Ok(false),
        _ => Err(fields
            .error(ErrorKind::Unsupported, "layer_types", format!("unknown {}", kind_of(name)))
            .with_hint(format!("{FULL} and {SLIDING} can run"))),
    });
    slides.collect::<Result<_>>().map(Some)
}
