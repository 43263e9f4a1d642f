//! What a quantisation scheme costs on a text: perplexity in float and quantised, as a program measures it.
//!
//! ```sh
//! cargo run --release -p rkllm-examples --example perplexity -- models/tutor-nano models/tutor-nano/eval.es.txt w4a16_g32
//! ```

use std::ops::ControlFlow;
use std::sync::Arc;

use rkllm::cpu::{Engine, EngineOptions};
use rkllm::eval::{EvalOptions, Perplexity, perplexity};
use rkllm::model::{Checkpoint, Load, Tokenizer, WeightOptions};
use rkllm::quant::QuantScheme;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [dir, text, scheme] = &args[..] else {
        return Err("expected MODEL TEXT SCHEME, such as models/tutor-nano eval.txt w8a8".into());
    };
    let checkpoint = Checkpoint::open(dir, Load::Map)?;
    let tokenizer = Tokenizer::open(dir)?;
    let tokens = tokenizer.encode(&std::fs::read_to_string(text)?)?;
    let options = EvalOptions { bos: tokenizer.bos(), ..EvalOptions::default() };

    let float = measure(&checkpoint, QuantScheme::F32, &tokens, &options)?;
    let quantised = measure(&checkpoint, scheme.parse()?, &tokens, &options)?;

    println!("tokens scored  {}", float.tokens_scored);
    println!("f32            {:.4}", float.perplexity);
    println!("{scheme:<14} {:.4}", quantised.perplexity);
    println!("loss           {:+.2} %", (quantised.perplexity / float.perplexity - 1.0) * 100.0);
    Ok(())
}

/// Perplexity of the text by the `windows` method, with the checkpoint quantised in memory.
fn measure(
    checkpoint: &Checkpoint,
    scheme: QuantScheme,
    tokens: &[u32],
    options: &EvalOptions,
) -> rkllm::Result<Perplexity> {
    let weights = Arc::new(checkpoint.weights(Some(scheme), &WeightOptions::default())?);
    let context = EngineOptions { context: options.window, ..EngineOptions::default() };
    let mut engine = Engine::new(weights, context)?;
    perplexity(&mut engine, tokens, options, &mut |_| ControlFlow::Continue(()))
}
