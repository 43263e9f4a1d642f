//! The shortest useful program: open a model, ask, print the answer as it comes.
//!
//! ```sh
//! cargo run --release -p rkllm-examples --example quickstart -- models/tutor-nano "What is 6 A times 47 Ω?"
//! ```

use std::io::{Write, stdout};

use rkllm::session::Model;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().unwrap_or_else(|| "models/tutor-nano".into());
    let question = args.next().unwrap_or_else(|| "¿Cuál es la unidad de la presión?".into());

    let model = Model::open(dir)?;
    let mut chat = model.chat().with_max_tokens(128).start()?;
    let mut answer = chat.ask(question)?;
    for piece in &mut answer {
        print!("{}", piece?);
        stdout().flush()?;
    }
    let statistics = answer.finish()?;
    println!();
    eprintln!(
        "[{} tokens in, {} out, {:.0} tokens/s]",
        statistics.prompt_tokens,
        statistics.new_tokens,
        statistics.decode_tokens_per_second().unwrap_or(0.0)
    );
    Ok(())
}
