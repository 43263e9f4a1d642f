//! A memory plan for people.

use rkllm::cpu::{Engine, MemoryPlan};
use rkllm::session::Model;

use crate::args::Settings;
use crate::output::bytes;

/// Where a model computes and what it takes, in lines.
pub(crate) fn plan(model: &Model, settings: &Settings) -> String {
    let mut text = settings.placement();
    if let Some(memory) = model.memory_plan() {
        let [model, engine] = describe(&memory);
        text += &format!("\nmodel {model}\nengine {engine}");
    }
    text
}

/// The same of an engine, and the scheme it runs in.
pub(crate) fn engine(engine: &Engine) -> String {
    let [model, own] = describe(&engine.memory_plan());
    let scheme = engine.weights().scheme;
    format!("{scheme} on {}\nmodel {model}\nengine {own}", engine.placement())
}

/// One line on the model and one on the engine, without an end.
pub(crate) fn describe(plan: &MemoryPlan) -> [String; 2] {
    let parts = |parts: &[(u64, &str)]| {
        let said = parts.iter().filter(|part| part.0 > 0);
        said.map(|(count, what)| format!("{} {what}", bytes(*count))).collect::<Vec<_>>().join(", ")
    };
    let model = parts(&[
        (plan.weights, "weights"),
        (plan.embedding, "embedding (rows as tokens need them)"),
        (plan.vectors, "norms and biases"),
    ]);
    let engine = parts(&[
        (plan.kv_cache, "KV cache"),
        (plan.activations, "activations"),
        (plan.quantized_activations, "quantised activations"),
        (plan.prepared_weights, "prepared weights"),
        (plan.attention, "attention"),
        (plan.rope, "RoPE table"),
        (plan.logits, "logits"),
    ]);
    [
        format!("{}: {model}", bytes(plan.model())),
        format!("{} at most: {engine}", bytes(plan.engine())),
    ]
}
