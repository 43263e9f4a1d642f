//! Random sequences of calls on runtimes that misbehave: no crash, no leak, no hang.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::thread;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rkllm::npu::{
    CrossAttention, CrossAttentionSize, Flow, Images, Input, MediaTags, Mode, NpuModel, NpuOptions,
    RunOptions,
};

use crate::board::{Board, Fake, HIDDEN};

/// Sequences over both ABIs; `RKLLM_NPU_SEQUENCES` asks for another number, such as under valgrind.
const SEQUENCES: u32 = 10_000;

#[derive(Debug, Clone)]
enum Call {
    Run { input: u8, mode: u8, history: bool, flow: Said, at: usize },
    Stream { take: usize, leak: bool },
    AbortDuring { after: u8 },
    Sizes,
    Clear(bool),
    ClearRange(usize, usize),
    Template,
    Tools,
    Lora(bool),
    Cache,
    CrossAttention(u8),
    Images(bool),
    Hooks(Hook),
    Another,
    IsRunning,
    Abort,
    Reload,
    GoToAThread,
}

/// What the caller's tokenizer does from now on (1.3).
#[derive(Debug, Clone, Copy)]
enum Hook {
    Answer,
    Fail,
    Panic,
    TooMuch,
}

#[derive(Debug, Clone, Copy)]
enum Said {
    Continue,
    Release,
    Pause,
    Stop,
    Abort,
    Panic,
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let said = prop_oneof![
        4 => Just(Said::Continue),
        1 => Just(Said::Release),
        2 => Just(Said::Pause),
        2 => Just(Said::Stop),
        1 => Just(Said::Abort),
        1 => Just(Said::Panic),
    ];
    let run = (0u8..6, 0u8..4, any::<bool>(), said, 0usize..5)
        .prop_map(|(input, mode, history, flow, at)| Call::Run { input, mode, history, flow, at });
    let call = prop_oneof![
        8 => run,
        2 => (0usize..6, prop::bool::weighted(0.1)).prop_map(|(take, leak)| Call::Stream { take, leak }),
        1 => (0u8..3).prop_map(|after| Call::AbortDuring { after }),
        2 => Just(Call::Sizes),
        1 => any::<bool>().prop_map(Call::Clear),
        2 => (0usize..8, 0usize..8).prop_map(|(a, b)| Call::ClearRange(a, b)),
        1 => Just(Call::Template),
        1 => Just(Call::Tools),
        1 => any::<bool>().prop_map(Call::Lora),
        1 => Just(Call::Cache),
        1 => (0u8..3).prop_map(Call::CrossAttention),
        1 => any::<bool>().prop_map(Call::Images),
        1 => prop_oneof![Just(Hook::Answer), Just(Hook::Fail), Just(Hook::Panic), Just(Hook::TooMuch)]
            .prop_map(Call::Hooks),
        1 => Just(Call::Another),
        1 => Just(Call::IsRunning),
        1 => Just(Call::Abort),
        1 => Just(Call::Reload),
        1 => Just(Call::GoToAThread),
    ];
    prop::collection::vec(call, 1..12)
}

fn behaviour() -> impl Strategy<Value = Vec<&'static str>> {
    const WORDS: [&str; 34] = [
        "thread",
        "double_finish",
        "token_after_finish",
        "no_finish",
        "late_finish",
        "error",
        "error_but_0",
        "null_text",
        "invalid_utf8",
        "utf8_waiting",
        "utf8_split",
        "null_result",
        "unknown_state",
        "abort_silent",
        "abort_error",
        "run_fails",
        "calls_fail",
        "ignore_pause",
        "last_logits",
        "tokens=0",
        "tokens=9",
        "init_null",
        "late_token",
        "after_destroy",
        "wrong_userdata",
        "null_userdata",
        "negative_rows",
        "huge_rows",
        "hostile_hooks",
        "no_tokenizer",
        "no_embedding",
        "abort_tells",
        "crowd",
        "clear_fails",
    ];
    prop::sample::subsequence(WORDS.to_vec(), 0..4)
}

/// One model and what became of it.
struct Case<'a> {
    board: &'a Board,
    model: Option<NpuModel>,
    words: String,
    batch: u8,
    hook: Arc<Mutex<Hook>>,
    fake: Fake,
    /// Held by every closure: none may be left.
    held: Arc<()>,
}

impl Case<'_> {
    fn load(&mut self) {
        self.model = None;
        let options = NpuOptions::default().with_batch(self.batch);
        let options = match self.batch {
            // SAFETY: the fake's sizes.
            1 => unsafe {
                options.with_hidden_size_unchecked(HIDDEN).with_cross_attention(
                    CrossAttentionSize { layers: 2, kv_heads: 2, head_dim: 4 },
                )
            },
            _ => options,
        };
        let options = match self.fake {
            Fake::V1_2 => options,
            Fake::V1_3 => with_hooks(options, &self.hook, &self.held),
        };
        let loaded = self.board.try_load(&self.words, options);
        assert_eq!(loaded.is_ok(), !self.words.contains("init_null"), "{loaded:?}");
        self.model = loaded.ok();
    }

    fn act(&mut self, call: &Call) {
        let Some(model) = &mut self.model else { return };
        let held = Arc::clone(&self.held);
        let default = RunOptions::default();
        match *call {
            Call::Run { input, mode, history, flow, at } => {
                run(model, held, input, mode, history, flow, at);
            }
            Call::Stream { take, leak } => {
                if model.batch() == 1 {
                    expect(|| {
                        let mut stream = model.stream("abc", &default).unwrap();
                        stream.by_ref().take(take).for_each(drop);
                        if leak && may_leak() {
                            std::mem::forget(stream);
                        }
                    });
                }
            }
            Call::AbortDuring { after } => {
                let abort = model.abort_handle();
                let aborter = thread::spawn(move || {
                    for _ in 0..after {
                        thread::yield_now();
                    }
                    abort.abort()
                });
                let inputs = vec![Input::prompt("abc"); model.batch()];
                expect(|| drop(model.run_batch(inputs, &default, |_| Flow::Continue)));
                aborter.join().unwrap();
            }
            Call::Sizes => drop(model.kv_cache_sizes()),
            Call::Clear(keep) => drop(model.clear_kv_cache(keep)),
            Call::ClearRange(start, end) => {
                let ranges = vec![start..end; model.batch()];
                let _ = model.clear_kv_ranges(&ranges);
            }
            Call::Template => drop(model.set_chat_template("s", "p", "q")),
            Call::Tools => drop(model.set_function_tools("s", "[]", "t")),
            Call::Lora(load) => {
                if load {
                    let _ = model.load_lora(self.board.model(""), "n", 1.0);
                }
                let inputs = vec![Input::prompt("abc"); model.batch()];
                let options = default.with_lora("n");
                expect(|| drop(model.run_batch(inputs, &options, |_| Flow::Continue)));
            }
            Call::Cache => {
                let _ = model.load_prompt_cache(self.board.model(""));
                let _ = model.release_prompt_cache();
            }
            Call::CrossAttention(tokens) => {
                let tokens = usize::from(tokens);
                let state = CrossAttention {
                    keys: vec![1.0; 16 * tokens],
                    values: vec![1.0; 16],
                    mask: vec![0.0; tokens],
                    positions: vec![0; tokens],
                };
                let _ = model.set_cross_attention(state);
            }
            Call::Images(pause) => {
                let images = Images::new(vec![0.5; 2 * HIDDEN], 1, 2);
                let images = match self.fake {
                    Fake::V1_2 => images,
                    Fake::V1_3 => images.with_tags(MediaTags::new("a", "b", "c")),
                };
                let input = Input::prompt("<image>").with_images(images);
                let inputs = vec![input; model.batch()];
                expect(|| {
                    let _ = model.run_batch(inputs, &default, |_| {
                        if pause { Flow::Pause } else { Flow::Continue }
                    });
                });
            }
            Call::Hooks(hook) => *self.hook.lock().unwrap() = hook,
            Call::Another => {
                // Another model of the same library, run from a closure of this one's run.
                let another = self.board.try_load("", NpuOptions::default());
                let mut another = another.unwrap();
                let inputs = vec![Input::prompt("abc"); model.batch()];
                expect(|| {
                    let _ = model.run_batch(inputs, &default, |_| {
                        another.generate("x", &RunOptions::default()).unwrap();
                        Flow::Continue
                    });
                });
            }
            Call::IsRunning => {
                // A run of a leaked stream may still be there.
                let _ = model.abort_handle().is_running();
            }
            Call::Abort => {
                model.abort_handle().abort();
            }
            Call::Reload => self.load(),
            Call::GoToAThread => {
                let mut model = self.model.take().unwrap();
                let back = thread::spawn(move || {
                    let inputs = vec![Input::prompt("abc"); model.batch()];
                    let options = RunOptions::default();
                    expect(|| drop(model.run_batch(inputs, &options, |_| Flow::Continue)));
                    model
                });
                self.model = Some(back.join().unwrap());
            }
        }
    }
}

fn run(
    model: &mut NpuModel,
    held: Arc<()>,
    input: u8,
    mode: u8,
    history: bool,
    flow: Said,
    at: usize,
) {
    let input = || match input {
        0 => Input::tokens([1, 2, 3]),
        1 => Input::embeddings(vec![0.5; 2 * HIDDEN]),
        2 => Input::tokens([]),
        3 => Input::prompt("a\0"),
        _ => Input::prompt("abc"),
    };
    let options = RunOptions::default().with_history(history).with_mode(match mode {
        0 => Mode::Logits,
        1 => Mode::LastHiddenLayer,
        _ => Mode::Generate,
    });
    let abort = model.abort_handle();
    let inputs = (0..model.batch()).map(|_| input()).collect();
    let mut told = 0;
    let ended = AtomicU64::new(0);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        model.run_batch(inputs, &options, |output| {
            let _held = &held;
            assert_eq!(ended.load(Ordering::SeqCst), 0, "told after the end it asked for");
            std::hint::black_box(output.text.chars().count());
            let floats = output.logits.or(output.hidden_states);
            let sum: f32 = floats.map_or(0.0, |rows| rows.values().iter().sum());
            assert!(!sum.is_nan());
            told += 1;
            if told <= at {
                return Flow::Continue;
            }
            match flow {
                Said::Continue => Flow::Continue,
                Said::Release => Flow::Release,
                Said::Pause => Flow::Pause,
                Said::Stop => Flow::Stop,
                Said::Abort => {
                    abort.abort();
                    Flow::Continue
                }
                Said::Panic => {
                    ended.store(1, Ordering::SeqCst);
                    std::panic::panic_any(Expected)
                }
            }
        })
    }));
    if let Err(panic) = outcome {
        assert!(panic.is::<Expected>(), "another panic than the closure's");
    }
}

/// Panics of a tokenizer's and no others.
fn expect(act: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(act)) {
        assert!(panic.is::<Expected>(), "another panic than the closure's");
    }
}

fn with_hooks(options: NpuOptions, hook: &Arc<Mutex<Hook>>, held: &Arc<()>) -> NpuOptions {
    let (hook, held) = (Arc::clone(hook), Arc::clone(held));
    let of_embedding = Arc::clone(&held);
    options
        .with_tokenizer(move |_| {
            let _held = &held;
            let hook = *hook.lock().unwrap();
            match hook {
                Hook::Answer => Ok(vec![1, 2]),
                Hook::Fail => Err(rkllm::Error::new(rkllm::ErrorKind::Tokenizer, "no")),
                Hook::Panic => std::panic::panic_any(Expected),
                Hook::TooMuch => Ok(vec![1; 1000]),
            }
        })
        .with_embedding(move |_, rows| {
            let _held = &of_embedding;
            rows.fill(0.0);
            Ok(())
        })
}

/// Streams are leaked on purpose, but where a leak checker looks: `RKLLM_NPU_LEAKS=0`.
fn may_leak() -> bool {
    std::env::var_os("RKLLM_NPU_LEAKS").is_none_or(|leaks| leaks != "0")
}

/// The panics that closures here have.
struct Expected;

/// They would fill the screen.
fn silence_expected_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.payload().is::<Expected>() {
                others(info);
            }
        }));
    });
}

/// Ends the process if a sequence takes a minute: a hang would wait for ever.
fn watch(progress: Arc<AtomicU64>, doing: Arc<Mutex<String>>) {
    thread::spawn(move || {
        loop {
            let before = progress.load(Ordering::SeqCst);
            thread::sleep(Duration::from_secs(120));
            if progress.load(Ordering::SeqCst) == u64::MAX {
                return;
            }
            if progress.load(Ordering::SeqCst) == before {
                eprintln!("a hang in {}", doing.lock().unwrap());
                std::process::abort();
            }
        }
    });
}

fn sequences(fake: Fake) {
    silence_expected_panics();
    let board = Board::new(fake);
    let asked = std::env::var("RKLLM_NPU_SEQUENCES").ok();
    let cases = asked.map_or(SEQUENCES, |n| n.parse().unwrap()) / 2;
    let progress = Arc::new(AtomicU64::new(0));
    let doing = Arc::new(Mutex::new(String::new()));
    watch(Arc::clone(&progress), Arc::clone(&doing));
    let mut runner =
        TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let strategy = (behaviour(), 1u8..4, calls());
    let outcome = runner.run(&strategy, |(words, batch, calls)| {
        *doing.lock().unwrap() = format!("{words:?} {batch} {calls:?}");
        board.forget();
        let held = Arc::new(());
        let mut case = Case {
            board: &board,
            model: None,
            words: words.join("+"),
            batch: if batch == 3 { 2 } else { 1 },
            hook: Arc::new(Mutex::new(Hook::Answer)),
            fake,
            held: Arc::clone(&held),
        };
        case.load();
        for call in &calls {
            case.act(call);
        }
        drop(case);
        // The thread of a leaked stream may not have begun: it finds its model gone and ends.
        let started = Instant::now();
        while Arc::strong_count(&held) > 1 && started.elapsed() < Duration::from_secs(30) {
            thread::yield_now();
        }
        prop_assert_eq!(Arc::strong_count(&held), 1, "a closure was kept");
        prop_assert_eq!(board.alive(), 0, "a handle was kept");
        let record = board.record();
        let bad: Vec<_> = record.iter().filter(|line| line.starts_with("VIOLATION")).collect();
        prop_assert!(bad.is_empty(), "{:?}", bad);
        progress.fetch_add(1, Ordering::SeqCst);
        Ok(())
    });
    progress.store(u64::MAX, Ordering::SeqCst);
    outcome.unwrap();
    println!("{cases} sequences");
}

#[test]
fn random_sequences_1_2() {
    sequences(Fake::V1_2);
}

#[test]
fn random_sequences_1_3() {
    sequences(Fake::V1_3);
}
