//! A backend that counts: after token n comes n + 1, and it remembers how it was used.

use std::sync::{Arc, Mutex};

use rkllm::session::Model;
use rkllm::{Backend, Error, ErrorKind, Result, Want};
use serde_json::json;

/// Called with the number of the call.
type Before = Box<dyn FnMut(usize) -> Result<()> + Send>;

/// What was fed, call by call.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) fed: Vec<Vec<u32>>,
    /// Called before each feeding; an error fails it.
    pub(crate) before: Option<Before>,
}

pub(crate) struct Counter {
    context: usize,
    tokens: usize,
    log: Arc<Mutex<Log>>,
}

impl Backend for Counter {
    fn vocab_size(&self) -> usize {
        64
    }

    fn context(&self) -> usize {
        self.context
    }

    fn position(&self) -> usize {
        self.tokens
    }

    fn reset(&mut self) {
        self.tokens = 0;
    }

    fn forward(
        &mut self,
        tokens: &[u32],
        want: Want,
        sink: &mut dyn FnMut(usize, &[f32]) -> Result<()>,
    ) -> Result<()> {
        let mut log = self.log.lock().unwrap();
        let calls = log.fed.len();
        if let Some(before) = &mut log.before {
            before(calls)?;
        }
        if self.tokens + tokens.len() > self.context {
            return Err(Error::new(ErrorKind::Context, "full"));
        }
        log.fed.push(tokens.to_vec());
        drop(log);
        self.tokens += tokens.len();
        let mut logits = [0.0; 64];
        logits[(tokens[tokens.len() - 1] as usize + 1) % 64] = 1.0;
        match want {
            Want::Last => sink(self.tokens - 1, &logits),
            _ => Ok(()),
        }
    }
}

/// A model whose sessions count, and their log. Chunks of 4 tokens; 2 ends an answer.
pub(crate) fn counting(context: usize) -> (Model, Arc<Mutex<Log>>) {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| std::fs::write(dir.path().join(name), text).unwrap();
    write("tokenizer.json", crate::small::tokenizer_json());
    write("tokenizer_config.json", json!({"bos_token": "<s>", "eos_token": "</s>"}).to_string());
    let log = Arc::new(Mutex::new(Log::default()));
    let shared = Arc::clone(&log);
    let model = Model::options()
        .with_prefill_chunk(4)
        .with_template(crate::small::TEMPLATE)
        .with_backend(dir.path(), move || {
            Ok(Box::new(Counter { context, tokens: 0, log: Arc::clone(&shared) }))
        })
        .unwrap();
    (model, log)
}
