//! How a fake misbehaves.

use super::fault::Fault;

/// What was asked for by words such as `tokens=8+thread+double_finish`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Behaviour {
    /// `tokens=N`: so many tokens per run instead of 4.
    pub(crate) tokens: Option<usize>,
    /// `slow=N`: milliseconds before each token.
    pub(crate) slow: u64,
    /// `thread`: callbacks come from another thread.
    pub(crate) thread: bool,
    /// `hang`: no token until the run is aborted.
    pub(crate) hang: bool,
    /// `double_finish`: FINISH is told twice.
    pub(crate) double_finish: bool,
    /// `token_after_finish`: a token follows FINISH.
    pub(crate) token_after_finish: bool,
    /// `no_finish`: the run returns without FINISH.
    pub(crate) no_finish: bool,
    /// `late_finish`: another FINISH 20 ms after the run returned, from another thread.
    pub(crate) late_finish: bool,
    /// `error`: ERROR after the second token, and -1.
    pub(crate) error: bool,
    /// `error_but_0`: ERROR after the second token, and 0.
    pub(crate) error_but_0: bool,
    /// `null_text`: tokens without text.
    pub(crate) null_text: bool,
    /// `invalid_utf8`: a byte no UTF-8 text has.
    pub(crate) invalid_utf8: bool,
    /// `utf8_waiting`: characters of several bytes, told as WAITING until they are whole.
    pub(crate) utf8_waiting: bool,
    /// `utf8_split`: the same, byte after byte as NORMAL.
    pub(crate) utf8_split: bool,
    /// `echo`: the reply is the prompt, a character per token.
    pub(crate) echo: bool,
    /// `null_result`: FINISH comes without a result.
    pub(crate) null_result: bool,
    /// `unknown_state`: a state that no header has, before the first token.
    pub(crate) unknown_state: bool,
    /// `abort_silent`: an aborted run returns without a callback.
    pub(crate) abort_silent: bool,
    /// `abort_error`: an aborted run tells ERROR and returns -1.
    pub(crate) abort_error: bool,
    /// `init_fails`: `rkllm_init` returns -1.
    pub(crate) init_fails: bool,
    /// `init_null`: `rkllm_init` returns 0 and leaves the handle null, as 1.1 did.
    pub(crate) init_null: bool,
    /// `run_fails`: runs return -1 without a callback.
    pub(crate) run_fails: bool,
    /// `calls_fail`: every other function returns -1.
    pub(crate) calls_fail: bool,
    /// `no_tokenizer`: the model has none, so the tokenizer callback is asked (1.3).
    pub(crate) no_tokenizer: bool,
    /// `last_logits`: logits of the last position only.
    pub(crate) last_logits: bool,
    /// `ignore_pause`: a callback's 1 changes nothing.
    pub(crate) ignore_pause: bool,
    /// `no_embedding`: the model has none, so the embedding callback is asked (1.3).
    pub(crate) no_embedding: bool,
    /// `late_token`: a token with its text and FINISH come 1 ms after the run returned, from another thread.
    pub(crate) late_token: bool,
    /// `after_destroy`: every callback is called once more 500 ms after the handle was destroyed.
    pub(crate) after_destroy: bool,
    /// `destroy_fails`: `rkllm_destroy` returns -1, and the library looks at what it was handed 5 ms later.
    pub(crate) destroy_fails: bool,
    /// `wrong_userdata`: callbacks are handed an address that was never given.
    pub(crate) wrong_userdata: bool,
    /// `null_userdata`: callbacks are handed null.
    pub(crate) null_userdata: bool,
    /// `slow_is_running`: `rkllm_is_running` takes 30 ms.
    pub(crate) slow_is_running: bool,
    /// `negative_rows`: logits and hidden states of -3 rows.
    pub(crate) negative_rows: bool,
    /// `negative_columns`: logits and hidden states of -5 columns.
    pub(crate) negative_columns: bool,
    /// `huge_rows`: logits and hidden states of 2147483647 rows and columns.
    pub(crate) huge_rows: bool,
    /// `many_rows`: logits and hidden states of a million rows.
    pub(crate) many_rows: bool,
    /// `hostile_hooks`: the tokenizer and the embedding are asked with lengths that make no sense (1.3).
    pub(crate) hostile_hooks: bool,
    /// `ask_at_init`: the tokenizer and the embedding are asked by `rkllm_init` (1.3).
    pub(crate) ask_at_init: bool,
    /// `ask_at_calls`: they are asked by `rkllm_set_chat_template` (1.3).
    pub(crate) ask_at_calls: bool,
    /// `abort_tells`: `rkllm_abort` itself tells ERROR, on the thread that calls it.
    pub(crate) abort_tells: bool,
    /// `crowd`: every token is told by three threads at once.
    pub(crate) crowd: bool,
    /// `zero_defaults`: `rkllm_createDefaultParam` says 0 for the context and the new tokens.
    pub(crate) zero_defaults: bool,
    /// `clear_fails`: `rkllm_clear_kv_cache` returns -1.
    pub(crate) clear_fails: bool,
    /// `negative_sizes`: the KV cache has -1 positions.
    pub(crate) negative_sizes: bool,
    /// `odd_is_running`: `rkllm_is_running` answers 7.
    pub(crate) odd_is_running: bool,
    /// `late_reader`: the library looks at the last run's input 1 ms after the run returned.
    pub(crate) late_reader: bool,
    /// `bang`: `!` again and again, 300 times or `tokens`.
    pub(crate) bang: bool,
    /// `init_segv` and the like.
    pub(crate) init_fault: Option<Fault>,
    /// `run_segv` and the like, after the first token.
    pub(crate) run_fault: Option<Fault>,
}

/// What the environment asks for, so that a process started by a test can be told: the words of
/// `RKLLM_FAKE`, and those in the file that `RKLLM_FAKE_FILE` names, read at every use.
pub(crate) fn environment() -> String {
    let words = std::env::var("RKLLM_FAKE").unwrap_or_default();
    let file = std::env::var_os("RKLLM_FAKE_FILE");
    let of_file = file.and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
    format!("{words}+{}", of_file.trim())
}

impl Behaviour {
    /// `None` for a word that is none.
    pub(crate) fn parse(words: &str) -> Option<Self> {
        let mut it = Self::default();
        for word in words.split('+').filter(|word| !word.is_empty()) {
            match word.split_once('=') {
                Some(("tokens", n)) => it.tokens = Some(n.parse().ok()?),
                Some(("slow", n)) => it.slow = n.parse().ok()?,
                Some(_) => return None,
                None => match it.fault(word) {
                    Some(fault) => *fault.0 = Some(fault.1),
                    None => *it.flag(word)? = true,
                },
            }
        }
        Some(it)
    }

    fn fault(&mut self, word: &str) -> Option<(&mut Option<Fault>, Fault)> {
        if let Some(fault) = word.strip_prefix("init_").and_then(Fault::parse) {
            return Some((&mut self.init_fault, fault));
        }
        let fault = word.strip_prefix("run_").and_then(Fault::parse)?;
        Some((&mut self.run_fault, fault))
    }

    fn flag(&mut self, word: &str) -> Option<&mut bool> {
        Some(match word {
            "thread" => &mut self.thread,
            "hang" => &mut self.hang,
            "double_finish" => &mut self.double_finish,
            "token_after_finish" => &mut self.token_after_finish,
            "no_finish" => &mut self.no_finish,
            "late_finish" => &mut self.late_finish,
            "error" => &mut self.error,
            "error_but_0" => &mut self.error_but_0,
            "null_text" => &mut self.null_text,
            "invalid_utf8" => &mut self.invalid_utf8,
            "utf8_waiting" => &mut self.utf8_waiting,
            "utf8_split" => &mut self.utf8_split,
            "echo" => &mut self.echo,
            "null_result" => &mut self.null_result,
            "unknown_state" => &mut self.unknown_state,
            "abort_silent" => &mut self.abort_silent,
            "abort_error" => &mut self.abort_error,
            "init_fails" => &mut self.init_fails,
            "init_null" => &mut self.init_null,
            "run_fails" => &mut self.run_fails,
            "calls_fail" => &mut self.calls_fail,
            "no_tokenizer" => &mut self.no_tokenizer,
            "last_logits" => &mut self.last_logits,
            "ignore_pause" => &mut self.ignore_pause,
            "no_embedding" => &mut self.no_embedding,
            "late_token" => &mut self.late_token,
            "after_destroy" => &mut self.after_destroy,
            "destroy_fails" => &mut self.destroy_fails,
            "wrong_userdata" => &mut self.wrong_userdata,
            "null_userdata" => &mut self.null_userdata,
            "slow_is_running" => &mut self.slow_is_running,
            "negative_rows" => &mut self.negative_rows,
            "negative_columns" => &mut self.negative_columns,
            "huge_rows" => &mut self.huge_rows,
            "many_rows" => &mut self.many_rows,
            "hostile_hooks" => &mut self.hostile_hooks,
            "ask_at_init" => &mut self.ask_at_init,
            "ask_at_calls" => &mut self.ask_at_calls,
            "abort_tells" => &mut self.abort_tells,
            "crowd" => &mut self.crowd,
            "zero_defaults" => &mut self.zero_defaults,
            "clear_fails" => &mut self.clear_fails,
            "negative_sizes" => &mut self.negative_sizes,
            "odd_is_running" => &mut self.odd_is_running,
            "late_reader" => &mut self.late_reader,
            "bang" => &mut self.bang,
            _ => return None,
        })
    }
}
