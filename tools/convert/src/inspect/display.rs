//! An inspection as lines of text.

use std::fmt;

use super::{DtypeUse, Inspection, Kind, Memory};
use crate::manifest::Manifest;

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = &self.dimensions;
        let row = |f: &mut fmt::Formatter<'_>, name: &str, value: &dyn fmt::Display| {
            writeln!(f, "{name:<14}{value}")
        };
        let kind = match self.kind {
            Kind::Checkpoint => "checkpoint",
            Kind::Artifact => "artifact",
        };
        row(f, "kind", &format_args!("{kind}, {}", self.architecture))?;
        row(f, "scheme", &self.scheme)?;
        row(f, "parameters", &self.parameters)?;
        row(f, "bits/weight", &format_args!("{:.3}", self.bits_per_weight))?;
        row(
            f,
            "layers",
            &format_args!(
                "{} of hidden {}, inner {}, {} heads of {}, {} for keys and values",
                size.layers,
                size.hidden_size,
                size.intermediate_size,
                size.heads,
                size.head_dim,
                size.kv_heads
            ),
        )?;
        let tied = if self.tied { ", head tied to the embedding" } else { "" };
        row(f, "vocabulary", &format_args!("{}{tied}", size.vocab_size))?;
        match size.sliding_window {
            None => row(f, "context", &size.context)?,
            Some(window) => row(
                f,
                "context",
                &format_args!(
                    "{}, window {window} in {} layers",
                    size.context, size.sliding_layers
                ),
            )?,
        }
        row(
            f,
            "rope",
            &format_args!(
                "{}, theta {}, {} of {} values",
                self.rope.scaling, self.rope.theta, self.rope.rotary_dim, size.head_dim
            ),
        )?;
        let parts = &self.parts;
        row(
            f,
            "bytes",
            &format_args!(
                "{} layers, {} embedding, {} head, {} other",
                parts.layers, parts.embedding, parts.head, parts.other
            ),
        )?;
        for of_type in &self.dtypes {
            let DtypeUse { dtype, tensors, bytes } = of_type;
            row(f, dtype, &format_args!("{tensors} tensors, {bytes} bytes"))?;
        }
        row(f, "kv cache", &format_args!("{} bytes per token", self.kv_bytes_per_token))?;
        for memory in &self.memory {
            let Memory { context, total, .. } = memory;
            row(f, "memory", &format_args!("{total} bytes with {context} tokens of context"))?;
        }
        let yes = |there| if there { "yes" } else { "no" };
        row(f, "tokenizer", &yes(self.tokenizer.tokenizer_json))?;
        row(f, "chat template", &yes(self.tokenizer.chat_template))?;
        if let Some(manifest) = &self.manifest {
            let Manifest { source, tool, algorithm, .. } = manifest;
            row(
                f,
                "made",
                &format_args!(
                    "from {} by {} {}, {}, clip {}, {}",
                    source.name,
                    tool.name,
                    tool.version,
                    algorithm.name,
                    algorithm.clip,
                    if algorithm.symmetric { "symmetric" } else { "asymmetric" }
                ),
            )?;
            for measured in &manifest.perplexities {
                row(
                    f,
                    "perplexity",
                    &format_args!(
                        "{:.4} on {} ({} tokens, {})",
                        measured.perplexity, measured.text, measured.tokens_scored, measured.method
                    ),
                )?;
            }
        }
        Ok(())
    }
}
