//! How a fake misbehaves.

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
    /// `no_embedding`: the model has none, so the embedding callback is asked (1.3).
    pub(crate) no_embedding: bool,
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
                None => *it.flag(word)? = true,
            }
        }
        Some(it)
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
            "no_embedding" => &mut self.no_embedding,
            _ => return None,
        })
    }
}
