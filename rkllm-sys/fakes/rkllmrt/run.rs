//! A run: what is told to the callback, and how.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::{null, null_mut};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::behaviour::Behaviour;
use super::hooks::{ask_embedding, ask_nonsense, ask_tokenizer};
use super::late::{self, Watched};
use super::record::structure;
use super::{HIDDEN, Handle, ResultCallback, VOCAB, lock, note};
use crate::IS_1_3;
use crate::facts::{self, get, put};

const NORMAL: c_int = 0;
const WAITING: c_int = 1;
const FINISH: c_int = 2;
const ERROR: c_int = 3;

/// A reply with characters of one, two, three and four bytes.
const WIDE: &str = "aé汉🙂b";

/// What one callback is told of each input of the batch.
#[derive(Default)]
struct Told {
    text: Option<Vec<u8>>,
    token: i32,
    hidden: Vec<f32>,
    logits: Vec<f32>,
    perf: Option<(i32, i32)>,
}

/// What a callback said, or that there was nobody to ask.
#[derive(PartialEq, Eq)]
enum Said {
    GoOn,
    Pause,
}

/// Runs and returns what the vendor's function returns.
///
/// # Safety
/// Arguments as for the vendor's `rkllm_run`.
pub(crate) unsafe fn run(
    call: &str,
    handle: &Handle,
    input: *const u8,
    infer: *const u8,
    userdata: *mut c_void,
) -> c_int {
    if input.is_null() || infer.is_null() {
        note(format!("VIOLATION {call} without an input or parameters"));
        return -1;
    }
    let stride = facts::of("RKLLMInput").size;
    for i in 0..handle.batch {
        // SAFETY: an array of as many inputs as the batch has.
        unsafe { structure(call, &format!("input[{i}]"), "RKLLMInput", input.add(i * stride)) };
    }
    // SAFETY: the caller's struct.
    unsafe { structure(call, "infer", "RKLLMInferParam", infer) };
    handle.userdata.store(userdata as usize, Ordering::SeqCst);
    // SAFETY: the caller's struct, whose first field is a C string: the role.
    *lock(&handle.input) = Some(unsafe { Watched::new(input, stride) });
    let keys = handle.keys.load(Ordering::SeqCst) as *const u8;
    if !keys.is_null() {
        // SAFETY: the caller keeps the arrays of a call that succeeded.
        let first = unsafe { get::<f32>(keys, 0) };
        note(format!("{call} attends to encoder_k_cache[0]={first}"));
    }
    let behaviour = handle.behaviour();
    if behaviour.run_fails {
        return -1;
    }
    // SAFETY: the caller's inputs.
    let ids: Vec<Vec<i32>> = (0..handle.batch)
        .map(|i| unsafe { ids(handle, &behaviour, input.add(i * stride)) })
        .collect();
    let layout = facts::of("RKLLMInferParam");
    // SAFETY: fields of the caller's struct.
    let (mode, keep_history, limit) = unsafe {
        let limit = if IS_1_3 { get::<i32>(infer, layout.at("max_new_tokens")) } else { 0 };
        (get::<u32>(infer, 0), get::<i32>(infer, layout.at("keep_history")), limit)
    };
    count(handle, keep_history, &ids);
    let run = Run { call, handle, behaviour, userdata: userdata as usize };
    let limit = if limit > 0 { limit } else { handle.max_new_tokens };
    let input = input as usize;
    let tell = || match mode {
        0 => run.generate(limit, &ids, input as *const u8),
        1 | 2 if handle.batch > 1 => -1,
        1 => run.states(&ids[0], false),
        2 => run.states(&ids[0], true),
        other => {
            note(format!("VIOLATION {call} with mode {other}"));
            -1
        }
    };
    let code = match run.behaviour.thread {
        false => tell(),
        true => std::thread::scope(|scope| scope.spawn(tell).join().unwrap_or(-1)),
    };
    if run.behaviour.late_token {
        late::tell(run.target(), handle.batch);
    }
    if run.behaviour.late_reader {
        late::look_again(handle, 1);
    }
    code
}

/// ERROR for the run in flight, on this thread.
pub(crate) fn tell_error(handle: &Handle) {
    let userdata = handle.userdata.load(Ordering::SeqCst);
    let run = Run { call: "rkllm_abort", handle, behaviour: handle.behaviour(), userdata };
    run.tell(&Told::default(), ERROR);
}

/// The KV cache before the first new token.
fn count(handle: &Handle, keep_history: i32, ids: &[Vec<i32>]) {
    let mut kv = lock(&handle.kv);
    let goes_on = handle.paused.swap(false, Ordering::SeqCst) || keep_history == 1;
    for (positions, ids) in kv.iter_mut().zip(ids) {
        *positions = if goes_on { *positions } else { 0 } + ids.len() as i32;
    }
    handle.keep_history.store(keep_history, Ordering::SeqCst);
}

/// The token ids of an input: its own, or one per byte or row.
///
/// # Safety
/// `input` is an `RKLLMInput`.
unsafe fn ids(handle: &Handle, behaviour: &Behaviour, input: *const u8) -> Vec<i32> {
    let layout = facts::of("RKLLMInput");
    let payload = layout.fields.iter().find(|f| f.name.is_empty()).expect("the union").offset;
    // SAFETY: the union's members begin with a pointer; a count follows, but for the prompt.
    let (kind, first, second) = unsafe {
        let kind = get::<u32>(input, layout.at("input_type"));
        let second = if kind == 1 || kind == 2 { get::<usize>(input, payload + 8) } else { 0 };
        (kind, get::<*const u8>(input, payload), second)
    };
    match kind {
        // SAFETY: so many ids, by the caller.
        1 => (0..second).map(|i| unsafe { get::<i32>(first, 4 * i) }).collect(),
        2 => (0..second as i32).collect(),
        _ if first.is_null() => Vec::new(),
        _ => {
            // SAFETY: the prompt of a text or multimodal input.
            let text = unsafe { CStr::from_ptr(first.cast::<c_char>()) };
            // SAFETY: the caller's callbacks.
            let asked = unsafe { ask_tokenizer(handle, behaviour, text) };
            // SAFETY: as above.
            unsafe { ask_embedding(handle, behaviour) };
            // SAFETY: as above.
            unsafe { ask_nonsense(handle, behaviour) };
            asked.unwrap_or_else(|| text.to_bytes().iter().map(|b| i32::from(*b)).collect())
        }
    }
}

/// What the callbacks of one run have in common.
struct Run<'a> {
    call: &'a str,
    handle: &'a Handle,
    behaviour: Behaviour,
    userdata: usize,
}

impl Run<'_> {
    /// Tokens with text.
    fn generate(&self, limit: i32, ids: &[Vec<i32>], input: *const u8) -> c_int {
        let b = &self.behaviour;
        let mut pieces = self.pieces(input);
        if limit > 0 {
            pieces.truncate(limit as usize);
        }
        if b.unknown_state {
            self.tell(&Told::default(), 77);
        }
        for (i, (state, text)) in pieces.iter().enumerate() {
            if self.stopped() {
                return self.end_aborted();
            }
            if let Some(fault) = b.run_fault.filter(|_| i == 1) {
                return fault.strike();
            }
            if i == 2 && (b.error || b.error_but_0) {
                self.tell(&Told::default(), ERROR);
                return if b.error { -1 } else { 0 };
            }
            lock(&self.handle.kv).iter_mut().for_each(|positions| *positions += 1);
            let told = Told { text: text.clone(), token: 100 + i as i32, ..Told::default() };
            if self.tell_all(&told, *state) == Said::Pause {
                self.handle.paused.store(true, Ordering::SeqCst);
                return 0;
            }
        }
        if b.hang {
            while !self.stopped() {
                std::thread::sleep(Duration::from_millis(1));
            }
            return self.end_aborted();
        }
        self.finish(ids.iter().map(Vec::len).sum::<usize>() as i32, pieces.len() as i32);
        0
    }

    /// States and texts of a reply.
    fn pieces(&self, input: *const u8) -> Vec<(c_int, Option<Vec<u8>>)> {
        let b = &self.behaviour;
        if b.hang {
            return Vec::new();
        }
        let text = |text: &[u8]| Some(text.to_vec());
        if b.bang {
            return vec![(NORMAL, text(b"!")); b.tokens.unwrap_or(300)];
        }
        if b.utf8_split {
            return WIDE.bytes().map(|byte| (NORMAL, text(&[byte]))).collect();
        }
        if b.utf8_waiting {
            let of_char = |c: char| {
                let bytes = c.to_string().into_bytes();
                let parts = (1..=bytes.len()).map(|n| {
                    let state = if n == bytes.len() { NORMAL } else { WAITING };
                    (state, text(&bytes[..n]))
                });
                parts.collect::<Vec<_>>()
            };
            return WIDE.chars().flat_map(of_char).collect();
        }
        if b.echo {
            let layout = facts::of("RKLLMInput");
            let payload = layout.fields.iter().find(|f| f.name.is_empty()).expect("a union").offset;
            // SAFETY: the prompt of the first input, which has one where echo is asked for.
            let prompt = unsafe { CStr::from_ptr(get::<*const c_char>(input, payload)) };
            let prompt = prompt.to_string_lossy();
            return prompt.chars().map(|c| (NORMAL, text(c.to_string().as_bytes()))).collect();
        }
        (0..b.tokens.unwrap_or(4))
            .map(|i| match () {
                () if b.null_text => (NORMAL, None),
                () if b.invalid_utf8 => (NORMAL, text(b"x\xff\xc3(")),
                () => (NORMAL, text(format!("t{i} ").as_bytes())),
            })
            .collect()
    }

    /// One callback with hidden states or logits of every position, then FINISH.
    fn states(&self, ids: &[i32], logits: bool) -> c_int {
        let mut told = Told::default();
        for id in ids {
            if logits {
                let next = (id + 1).rem_euclid(VOCAB as i32) as usize;
                told.logits
                    .extend((0..VOCAB).map(|v| if v == next { 2.0 } else { v as f32 / 64.0 }));
            } else {
                told.hidden.extend((0..HIDDEN).map(|d| *id as f32 + d as f32 / 8.0));
            }
        }
        if self.stopped() {
            return self.end_aborted();
        }
        if logits && self.behaviour.last_logits {
            // An empty text has no last row.
            told.logits.drain(..told.logits.len().saturating_sub(VOCAB));
        }
        if self.tell(&told, NORMAL) == Said::Pause {
            self.handle.paused.store(true, Ordering::SeqCst);
            return 0;
        }
        self.finish(ids.len() as i32, 0);
        0
    }

    fn stopped(&self) -> bool {
        for _ in 0..self.behaviour.slow {
            if self.handle.aborted.load(Ordering::SeqCst) {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.handle.aborted.load(Ordering::SeqCst)
    }

    fn end_aborted(&self) -> c_int {
        match &self.behaviour {
            b if b.abort_silent => 0,
            b if b.abort_error => {
                self.tell(&Told::default(), ERROR);
                -1
            }
            _ => {
                self.finish(0, 0);
                0
            }
        }
    }

    fn finish(&self, prefilled: i32, generated: i32) {
        let b = &self.behaviour;
        if b.no_finish {
            return;
        }
        let told = Told { perf: Some((prefilled, generated)), token: -1, ..Told::default() };
        if b.null_result {
            // SAFETY: the caller's callback.
            unsafe { self.call_back(null_mut(), FINISH) };
        } else {
            self.tell(&told, FINISH);
        }
        if b.token_after_finish {
            let late = Told { text: Some(b"late".to_vec()), token: 9, ..Told::default() };
            self.tell(&late, NORMAL);
        }
        if b.double_finish {
            self.tell(&told, FINISH);
        }
        if b.late_finish {
            let (callback, userdata) = self.target();
            let callback = callback.map(|callback| callback as usize);
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(20));
                if let Some(callback) = callback {
                    // SAFETY: the address of the caller's callback; a null result needs nothing.
                    unsafe {
                        let callback = std::mem::transmute::<usize, ResultCallback>(callback);
                        callback(null_mut(), userdata as *mut c_void, FINISH);
                    }
                }
            });
        }
    }

    /// The callback of this run and what it is handed.
    fn target(&self) -> (Option<ResultCallback>, usize) {
        if !IS_1_3 {
            // SAFETY: what rkllm_init was handed in this ABI.
            let callback = unsafe {
                std::mem::transmute::<usize, Option<ResultCallback>>(self.handle.callback)
            };
            return (callback, self.userdata);
        }
        let (layout, base) = (facts::of("RKLLMCallback"), self.handle.callback as *const u8);
        if base.is_null() {
            return (None, 0);
        }
        // SAFETY: the caller keeps its struct of callbacks alive.
        unsafe {
            let own = get::<usize>(base, layout.at("result_userdata"));
            let userdata = if self.userdata == 0 { own } else { self.userdata };
            (get(base, layout.at("result_callback")), userdata)
        }
    }

    /// Calls back, from several threads at once if asked for.
    fn tell_all(&self, told: &Told, state: c_int) -> Said {
        if self.behaviour.crowd {
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| self.tell(told, state));
                }
            });
        }
        self.tell(told, state)
    }

    /// Calls back with a result per input; what it points to is gone afterwards.
    fn tell(&self, told: &Told, state: c_int) -> Said {
        let layout = facts::of("RKLLMResult");
        let mut results = vec![0u64; layout.size * self.handle.batch / 8];
        let base = results.as_mut_ptr().cast::<u8>();
        // What is told must not have a NUL inside; the made-up texts have none.
        let mut text =
            told.text.clone().map(|text| CString::new(text).expect("no NUL").into_bytes_with_nul());
        let (mut hidden, mut logits) = (told.hidden.clone(), told.logits.clone());
        for i in 0..self.handle.batch {
            // SAFETY: fields of our own buffer.
            unsafe {
                fill(base.add(i * layout.size), told, &text, &hidden, &logits);
                distort(base.add(i * layout.size), &self.behaviour);
            }
        }
        // SAFETY: the caller's callback with a result of the vendor's layout.
        let said = unsafe { self.call_back(base, state) };
        results.fill(u64::MAX);
        text.iter_mut().for_each(|text| text.fill(b'#'));
        hidden.fill(f32::NAN);
        logits.fill(f32::NAN);
        said
    }

    /// # Safety
    /// `result` is a result of the vendor's layout, or null.
    unsafe fn call_back(&self, result: *mut u8, state: c_int) -> Said {
        let (Some(callback), userdata) = self.target() else { return Said::GoOn };
        // SAFETY: as promised by the caller.
        let userdata = match &self.behaviour {
            b if b.null_userdata => 0,
            b if b.wrong_userdata => userdata.wrapping_add(0x7fff_0000_1000),
            _ => userdata,
        };
        // SAFETY: as promised by the caller; nobody may go to the user data.
        match unsafe { callback(result, userdata as *mut c_void, state) } {
            0 => Said::GoOn,
            1 => {
                note(format!("{} paused", self.call));
                if self.behaviour.ignore_pause { Said::GoOn } else { Said::Pause }
            }
            2 if IS_1_3 => {
                note(format!("{} released the output", self.call));
                Said::GoOn
            }
            other => {
                note(format!("VIOLATION a callback returned {other}"));
                Said::GoOn
            }
        }
    }
}

/// Counts that make no sense, where there are rows.
///
/// # Safety
/// `base` is a result.
unsafe fn distort(base: *mut u8, behaviour: &Behaviour) {
    let layout = facts::of("RKLLMResult");
    for (name, inner, pointer, width) in [
        ("last_hidden_layer", "RKLLMResultLastHiddenLayer", "hidden_states", "embd_size"),
        ("logits", "RKLLMResultLogits", "logits", "vocab_size"),
    ] {
        let (at, inner) = (layout.at(name), facts::of(inner));
        let (rows, columns) = match behaviour {
            b if b.negative_rows => (Some(-3), None),
            b if b.negative_columns => (None, Some(-5)),
            b if b.huge_rows => (Some(i32::MAX), Some(i32::MAX)),
            b if b.many_rows => (Some(1_000_000), None),
            _ => (None, None),
        };
        // SAFETY: fields of the struct inside the result.
        unsafe {
            if get::<usize>(base, at + inner.at(pointer)) == 0 {
                continue;
            }
            if let Some(rows) = rows {
                put(base, at + inner.at("num_tokens"), rows);
            }
            if let Some(columns) = columns {
                put(base, at + inner.at(width), columns);
            }
        }
    }
}

/// Writes one `RKLLMResult`.
///
/// # Safety
/// `base` has room for one; the slices outlive its use.
unsafe fn fill(base: *mut u8, told: &Told, text: &Option<Vec<u8>>, hidden: &[f32], logits: &[f32]) {
    let layout = facts::of("RKLLMResult");
    let array =
        |name: &str, inner: &str, pointer: &str, width: &str, values: &[f32], size: usize| {
            let (at, inner) = (layout.at(name), facts::of(inner));
            if values.is_empty() {
                return;
            }
            // SAFETY: fields of the struct inside the result.
            unsafe {
                put(base, at + inner.at(pointer), values.as_ptr());
                put(base, at + inner.at(width), size as i32);
                put(base, at + inner.at("num_tokens"), (values.len() / size) as i32);
            }
        };
    // SAFETY: fields of the result.
    unsafe {
        put(base, layout.at("text"), text.as_ref().map_or(null(), |text| text.as_ptr()));
        put(base, layout.at("token_id"), told.token);
    }
    array(
        "last_hidden_layer",
        "RKLLMResultLastHiddenLayer",
        "hidden_states",
        "embd_size",
        hidden,
        HIDDEN,
    );
    array("logits", "RKLLMResultLogits", "logits", "vocab_size", logits, VOCAB);
    if let Some((prefilled, generated)) = told.perf {
        let (at, perf) = (layout.at("perf"), facts::of("RKLLMPerfStat"));
        // SAFETY: fields of the struct inside the result.
        unsafe {
            put(base, at + perf.at("prefill_time_ms"), 12.5f32);
            put(base, at + perf.at("prefill_tokens"), prefilled);
            put(base, at + perf.at("generate_time_ms"), 80.25f32);
            put(base, at + perf.at("generate_tokens"), generated);
            put(base, at + perf.at("memory_usage_mb"), 456.75f32);
        }
    }
}
