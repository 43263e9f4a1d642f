//! What a run tells its callback.

use std::ffi::{CString, c_int};
use std::ptr::null;

use rkllm_sys::v1_3::{
    LLMCallState, RKLLMPerfStat, RKLLMResult, RKLLMResultLastHiddenLayer, RKLLMResultLogits,
};

use super::callback::{Callbacks, UserData};

/// What one input of the batch is told.
#[derive(Debug, Default)]
pub(super) struct Told<'a> {
    pub(super) text: Vec<u8>,
    /// Below zero for none.
    pub(super) token: i32,
    pub(super) hidden: &'a [f32],
    pub(super) logits: &'a [f32],
    pub(super) perf: RKLLMPerfStat,
}

impl Told<'_> {
    pub(super) fn nothing() -> Self {
        Self { token: -1, ..Self::default() }
    }
}

/// What the callback wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    GoOn,
    Pause,
}

/// Who is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listener<'a> {
    pub(super) callbacks: &'a Callbacks,
    pub(super) userdata: UserData,
    pub(super) number: u64,
    /// Values per hidden state and per row of logits.
    pub(super) hidden: usize,
    pub(super) vocab: usize,
}

impl Listener<'_> {
    pub(super) fn tell(&self, told: &[Told<'_>], state: LLMCallState) -> Said {
        let texts: Vec<CString> = told.iter().map(|told| c_text(&told.text)).collect();
        let rows = |values: &[f32], width: usize| (values.len() / width.max(1)) as c_int;
        let address = |values: &[f32]| if values.is_empty() { null() } else { values.as_ptr() };
        let width =
            |values: &[f32], width: usize| if values.is_empty() { 0 } else { width as c_int };
        let results = told.iter().zip(&texts).map(|(told, text)| RKLLMResult {
            text: text.as_ptr(),
            token_id: told.token,
            last_hidden_layer: RKLLMResultLastHiddenLayer {
                hidden_states: address(told.hidden),
                embd_size: width(told.hidden, self.hidden),
                num_tokens: rows(told.hidden, self.hidden),
            },
            logits: RKLLMResultLogits {
                logits: address(told.logits),
                vocab_size: width(told.logits, self.vocab),
                num_tokens: rows(told.logits, self.vocab),
            },
            perf: told.perf,
        });
        let mut results: Vec<RKLLMResult> = results.collect();
        // 2 asks to let go of what was told, which happens after every call.
        match self.callbacks.tell(self.number, self.userdata, &mut results, state) {
            1 => Said::Pause,
            _ => Said::GoOn,
        }
    }
}

/// A C string; a NUL ends the text for every reader, so none goes in.
pub(super) fn c_text(text: &[u8]) -> CString {
    let text: Vec<u8> = text.iter().copied().filter(|byte| *byte != 0).collect();
    CString::new(text).unwrap_or_default()
}
