//! Callbacks made into outputs.

use std::ffi::CStr;

use rkllm_sys::v1_3::{LLMCallState, RKLLMResult};

use super::output::{End, Flow, Output, Performance, Report, Rows};
use super::run_options::Mode;
use super::runtime::failed;
use super::text::PartialText;
use crate::{Error, ErrorKind, Result};

/// A caller's closure.
pub(super) type OnOutput<'a> = dyn FnMut(Output<'_>) -> Flow + Send + 'a;

/// What a callback is to answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    GoOn,
    Release,
    Pause,
    /// The run is not wanted any more.
    End,
}

/// How the runtime said the run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Finish,
    Error,
}

/// What results may look like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    pub(super) mode: Mode,
    pub(super) batch: usize,
    /// Rows at most; 0 if that is not known.
    pub(super) context: usize,
    /// Width of hidden states, if that is known.
    pub(super) hidden_size: Option<usize>,
}

/// More columns than any vocabulary has.
const COLUMNS: usize = 1 << 22;
/// Rows may be filled up to a multiple of this.
const ROWS: usize = 128;

/// Takes the callbacks of one run.
pub(super) struct Sink {
    /// The caller's closure. It lives as long as the run that closes this; see `Core::run`.
    on_output: *mut OnOutput<'static>,
    expected: Expected,
    texts: Vec<PartialText>,
    tokens: usize,
    outputs: usize,
    said: Option<Said>,
    /// What this side wanted: a pause, or the end.
    wanted: Option<End>,
    error: Option<Error>,
    performance: Option<Performance>,
}

// SAFETY: the closure is `Send`; whoever locks the run calls it, one at a time.
unsafe impl Send for Sink {}

impl Sink {
    /// # Safety
    /// `on_output` may be called until the run is closed.
    pub(super) unsafe fn new(on_output: *mut OnOutput<'static>, expected: Expected) -> Self {
        Self {
            on_output,
            texts: std::iter::repeat_with(PartialText::default).take(expected.batch).collect(),
            expected,
            tokens: 0,
            outputs: 0,
            said: None,
            wanted: None,
            error: None,
            performance: None,
        }
    }

    /// Ends the run at this callback.
    pub(super) fn stop(&mut self) {
        self.wanted = Some(End::Aborted);
    }

    /// # Safety
    /// As for [`Run::tell`](super::run::Run::tell).
    pub(super) unsafe fn tell(
        &mut self,
        result: *const RKLLMResult,
        state: LLMCallState,
        stopped: bool,
    ) -> Told {
        if stopped && self.said.is_none() {
            self.stop();
        }
        match state {
            // Whatever follows the end says nothing.
            _ if self.said.is_some() => Told::Pause,
            LLMCallState::RKLLM_RUN_FINISH => {
                self.said = Some(Said::Finish);
                if !result.is_null() {
                    // SAFETY: a result of the runtime; unaligned costs nothing.
                    let c = unsafe { result.read_unaligned() };
                    self.performance = Some(Performance::new(&c.perf));
                }
                self.flush();
                Told::GoOn
            }
            LLMCallState::RKLLM_RUN_ERROR => {
                self.said = Some(Said::Error);
                Told::GoOn
            }
            _ if self.wanted == Some(End::Paused) => {
                self.error.get_or_insert(
                    Error::new(ErrorKind::Runtime, "the runtime went on after a pause").with_hint(
                        "pause runs without history only; what is cached is not known now",
                    ),
                );
                self.stop();
                Told::End
            }
            _ if self.wanted.is_some() => Told::End,
            LLMCallState::RKLLM_RUN_NORMAL | LLMCallState::RKLLM_RUN_WAITING => {
                let waiting = state == LLMCallState::RKLLM_RUN_WAITING;
                // SAFETY: passed on.
                unsafe { self.results(result, waiting) }.unwrap_or_else(|error| {
                    self.error.get_or_insert(error);
                    self.stop();
                    Told::End
                })
            }
            LLMCallState(other) => {
                let message = format!("the runtime told of a state {other}, which is not known");
                self.error.get_or_insert(
                    Error::new(ErrorKind::Runtime, message)
                        .with_hint("the library may be newer than it says"),
                );
                self.stop();
                Told::End
            }
        }
    }

    /// The results of every place of the batch.
    ///
    /// # Safety
    /// As for [`Run::tell`](super::run::Run::tell).
    unsafe fn results(&mut self, result: *const RKLLMResult, waiting: bool) -> Result<Told> {
        if result.is_null() {
            return Ok(Told::GoOn);
        }
        let mut told = Told::GoOn;
        for index in 0..self.texts.len() {
            // SAFETY: as many results as the batch has inputs.
            let c = unsafe { result.add(index).read_unaligned() };
            // In a batch a negative id marks an input that has finished.
            if self.texts.len() > 1 && c.token_id < 0 {
                continue;
            }
            // SAFETY: the pointers of a result hold during the callback.
            let flow = unsafe { self.one(index, &c, waiting) }?;
            match flow {
                Flow::Continue => {}
                Flow::Release if told == Told::GoOn => told = Told::Release,
                Flow::Release => {}
                Flow::Pause if told != Told::End => {
                    self.wanted = Some(End::Paused);
                    told = Told::Pause;
                }
                Flow::Pause => {}
                Flow::Stop => {
                    self.stop();
                    told = Told::End;
                }
            }
        }
        Ok(told)
    }

    /// # Safety
    /// The pointers in `c` are null or hold during this call.
    unsafe fn one(&mut self, index: usize, c: &RKLLMResult, waiting: bool) -> Result<Flow> {
        let text = match c.text.is_null() {
            true => String::new(),
            // SAFETY: not null, so a C string of the runtime.
            false => self.texts[index].push(unsafe { CStr::from_ptr(c.text) }.to_bytes(), waiting),
        };
        let (logits, hidden) = (&c.logits, &c.last_hidden_layer);
        // SAFETY: by the mode of the run the runtime has filled these. In other modes nobody says that
        // they are null, so they are not looked at.
        let (logits, hidden_states) = unsafe {
            match self.expected.mode {
                Mode::Generate => (None, None),
                Mode::Logits => {
                    (self.rows(logits.logits, logits.num_tokens, logits.vocab_size)?, None)
                }
                Mode::LastHiddenLayer => {
                    (None, self.rows(hidden.hidden_states, hidden.num_tokens, hidden.embd_size)?)
                }
            }
        };
        let generates = self.expected.mode == Mode::Generate;
        let token = u32::try_from(c.token_id).ok().filter(|_| generates || !c.text.is_null());
        self.tokens += usize::from(generates && token.is_some());
        self.outputs += usize::from(generates || logits.is_some() || hidden_states.is_some());
        Ok(self.call(Output { index, text: &text, token, logits, hidden_states }))
    }

    /// The floats of a result; none where the runtime has none.
    ///
    /// # Safety
    /// `values` is null or so many rows and columns that hold for `'a`.
    unsafe fn rows<'a>(
        &self,
        values: *const f32,
        rows: i32,
        columns: i32,
    ) -> Result<Option<Rows<'a>>> {
        if values.is_null() || rows == 0 || columns == 0 {
            return Ok(None);
        }
        let nonsense = |why: &str| Err(nonsense(rows, columns, why));
        let (Ok(height), Ok(width)) = (usize::try_from(rows), usize::try_from(columns)) else {
            return nonsense("negative");
        };
        if !values.is_aligned() {
            return nonsense("at an odd address");
        }
        let Expected { mode, context, hidden_size, .. } = self.expected;
        if context != 0 && height > context.next_multiple_of(ROWS) {
            return nonsense(&format!("more rows than the context of {context}"));
        }
        if width > COLUMNS {
            return nonsense("wider than any vocabulary");
        }
        if mode == Mode::LastHiddenLayer && hidden_size.is_some_and(|size| size != width) {
            return nonsense("of another width than the model's hidden size");
        }
        let total = height.checked_mul(width).filter(|all| *all <= isize::MAX as usize / 4);
        let Some(total) = total else { return nonsense("more than memory can hold") };
        // SAFETY: not null, aligned, not too long, and as many as the caller promises.
        Ok(Some(Rows::new(unsafe { std::slice::from_raw_parts(values, total) }, width)))
    }

    /// Bytes that never became a character are shown as the replacement character.
    fn flush(&mut self) {
        for index in 0..self.texts.len() {
            let text = self.texts[index].finish();
            if !text.is_empty() && self.wanted.is_none() {
                let rest =
                    Output { index, text: &text, token: None, logits: None, hidden_states: None };
                self.call(rest);
            }
        }
    }

    fn call(&mut self, output: Output<'_>) -> Flow {
        // SAFETY: the run is not closed, because this is reached through its open sink alone.
        unsafe { (*self.on_output)(output) }
    }

    /// What became of the run that returned `code`.
    pub(super) fn end(self, code: i32, stopped: bool) -> Result<Report> {
        let report = |end| Report { end, tokens: self.tokens, performance: self.performance };
        if let Some(error) = self.error {
            return Err(error);
        }
        if stopped {
            return Ok(report(End::Aborted));
        }
        match (self.wanted, self.said) {
            (Some(End::Aborted), _) => Ok(report(End::Aborted)),
            (_, Some(Said::Error)) => {
                Err(failed("rkllm_run", code).about("the run told of an error"))
            }
            _ if code != 0 => Err(failed("rkllm_run", code)),
            (Some(end), _) => Ok(report(end)),
            (None, Some(Said::Finish)) => Ok(report(End::Finished)),
            // Whether logits and hidden states are followed by FINISH is not documented.
            (None, None) if self.expected.mode != Mode::Generate && self.outputs > 0 => {
                Ok(report(End::Finished))
            }
            (None, _) => Err(Error::new(ErrorKind::Runtime, "rkllm_run returned before its end")
                .with_hint("its callback was never told FINISH: the library is not what it says")),
        }
    }
}

fn nonsense(rows: i32, columns: i32, why: &str) -> Error {
    Error::new(ErrorKind::Runtime, format!("a result of {rows} x {columns} values, {why}"))
        .with_hint("the library's structs are not those of the version it says it is")
}
