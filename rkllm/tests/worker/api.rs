//! A worker does what a model in this process does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rkllm::npu::{
    End, Flow, Input, Mode, NpuBackend, NpuModel, NpuOptions, NpuSampling, Report, RunOptions,
    Runtime,
};
use rkllm::session::{Converse, Model, NpuChat, Stop};
use rkllm::{Backend, ErrorKind, Want};

use crate::bench::{BOTH, Bench, Fake, VOCAB, assert_answers};

crate::tests![
    runs_are_those_of_a_model_here,
    pausing_and_clearing,
    setting_up_survives_a_restart,
    what_is_refused_here_is_refused_there,
    aborting,
    a_panic_of_the_closure_ends_the_run,
    conversations_and_sessions_change_one_line,
    a_backend_of_a_dead_worker_says_that_it_is_dead,
];

/// All that a run tells.
type Told = Vec<(usize, String, Option<u32>, Option<Vec<u32>>, Option<Vec<u32>>)>;

fn collect(
    run: impl FnOnce(&mut (dyn FnMut(rkllm::npu::Output<'_>) -> Flow + Send)) -> rkllm::Result<Report>,
) -> (Told, Result<Report, String>) {
    let mut told = Told::new();
    let report = run(&mut |output| {
        let bits = |rows: rkllm::npu::Rows<'_>| {
            let width = rows.width() as u32;
            rows.values().iter().map(|v| v.to_bits()).chain([width]).collect::<Vec<_>>()
        };
        told.push((
            output.index,
            output.text.to_owned(),
            output.token,
            output.logits.map(bits),
            output.hidden_states.map(bits),
        ));
        Flow::Continue
    });
    (told, report.map_err(|error| error.to_string()))
}

fn here(bench: &Bench, words: &str) -> NpuModel {
    let runtime = Runtime::open(&bench.library).unwrap();
    NpuOptions::default().with_runtime(runtime).load(bench.model(words)).unwrap()
}

fn runs_are_those_of_a_model_here() {
    for fake in BOTH {
        let bench = Bench::new(fake);
        for words in ["", "utf8_split", "utf8_waiting", "thread", "invalid_utf8", "null_text"] {
            let (mut near, mut far) = (here(&bench, words), bench.load(words));
            assert_eq!(near.abi(), far.abi());
            assert_eq!((near.context(), near.batch()), (far.context(), far.batch()));
            for mode in [Mode::Generate, Mode::Logits, Mode::LastHiddenLayer] {
                let options = RunOptions::default().with_mode(mode);
                let input = Input::tokens([1, 2, 3]);
                let expected = collect(|sink| near.run(input.clone(), &options, sink));
                let found = collect(|sink| far.run(input, &options, sink));
                assert_eq!(found, expected, "{fake:?} {words} {mode:?}");
                assert!(found.1.is_ok());
            }
        }
        let mut far = bench.load("");
        let text: String = far
            .stream("hi", &RunOptions::default())
            .unwrap()
            .map(|piece| piece.unwrap().text)
            .collect();
        assert_eq!(text, "t0 t1 t2 t3 ");
    }
}

fn pausing_and_clearing() {
    for fake in BOTH {
        let bench = Bench::new(fake);
        let mut worker = bench.load("");
        let logits = RunOptions::default().with_mode(Mode::Logits);
        let mut widths = Vec::new();
        let report = worker
            .run(Input::tokens([1, 2, 3]), &logits, |output| {
                widths.extend(output.logits.map(|rows| rows.width()));
                Flow::Pause
            })
            .unwrap();
        assert_eq!((report.end, widths), (End::Paused, vec![VOCAB]));
        assert_eq!(worker.kv_cache_sizes().unwrap(), [3]);
        worker.clear_kv_ranges(&[1..3]).unwrap();
        assert_eq!(worker.kv_cache_sizes().unwrap(), [1]);
        let report = worker.run("hi", &RunOptions::default(), |_| Flow::Stop).unwrap();
        assert_eq!(report.end, End::Aborted);
        worker.clear_kv_cache(false).unwrap();
        assert_eq!(worker.kv_cache_sizes().unwrap(), [0]);
        let error = worker.clear_kv_ranges(&[0..1]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input, "{error}");
    }
}

fn setting_up_survives_a_restart() {
    let bench = Bench::new(Fake::V1_3);
    let mut worker = bench.load("");
    let lora = bench.file("lora.rkllm");
    worker.load_lora(&lora, "tuned", 0.5).unwrap();
    worker.set_chat_template("s", "<u>", "</u>").unwrap();
    worker.set_function_tools("s", "[]", "tool_response").unwrap();
    worker.set_vocab_size(VOCAB).unwrap();
    worker.load_prompt_cache(&lora).unwrap();
    worker.release_prompt_cache().unwrap();
    let tuned = RunOptions::default().with_lora("tuned");
    for _ in 0..2 {
        worker.generate("hi", &tuned).unwrap();
        let outside = worker.generate(Input::tokens([VOCAB as u32]), &tuned).unwrap_err();
        assert_eq!(outside.kind(), ErrorKind::Tokenizer, "{outside}");
        worker.restart().unwrap();
    }
    assert_eq!(worker.load_lora(&lora, "tuned", 1.0).unwrap_err().kind(), ErrorKind::Input);
    worker.restart().unwrap();
    // A LoRA whose file has gone is an error of the restart.
    std::fs::remove_file(&lora).unwrap();
    assert_eq!(worker.restart().unwrap_err().kind(), ErrorKind::Io);
    assert!(!worker.is_alive());
}

fn what_is_refused_here_is_refused_there() {
    let bench = Bench::new(Fake::V1_2);
    let load = |options: NpuOptions| bench.options().load(bench.model(""), options);
    let closure = load(NpuOptions::default().with_embedding(|_, _| Ok(()))).unwrap_err();
    assert_eq!(closure.kind(), ErrorKind::Unsupported, "{closure}");
    let context = load(NpuOptions::default().with_context(0)).unwrap_err();
    assert_eq!(context.kind(), ErrorKind::Input, "{context}");
    let missing = bench.options().load(bench.dir().join("none"), NpuOptions::default());
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::Io);
    let library = bench.options().with_library(bench.file("librkllmrt.so"));
    let library = library.load(bench.model(""), NpuOptions::default()).unwrap_err();
    assert_eq!(library.kind(), ErrorKind::Format, "{library}");
    let mut worker = load(NpuOptions::default().with_context(64)).unwrap();
    assert_eq!((worker.context(), worker.library()), (64, &*bench.library));
    let sampling = RunOptions::default().with_sampling(NpuSampling::greedy());
    let error = worker.generate("hi", &sampling).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "1.2 has no sampling per run: {error}");
    assert_eq!(worker.load_lora("/nonexistent", "x", 1.0).unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(worker.set_function_tools("", "{", "").unwrap_err().kind(), ErrorKind::Input);
    assert_answers(&mut worker);
}

fn aborting() {
    for fake in BOTH {
        let bench = Bench::new(fake);
        let mut worker = bench.load("slow=1+tokens=100000");
        let handle = worker.abort_handle();
        assert!(!handle.abort(), "nothing runs");
        // From within, from another thread, and by dropping a stream.
        let within = worker.abort_handle();
        let report = worker
            .run("hi", &RunOptions::default(), |_| {
                assert!(within.is_running().unwrap());
                assert!(within.abort());
                Flow::Continue
            })
            .unwrap();
        assert_eq!(report.end, End::Aborted);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    handle.abort();
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
            for _ in 0..20 {
                let report = worker.run("hi", &RunOptions::default(), |_| Flow::Continue).unwrap();
                assert_eq!(report.end, End::Aborted);
            }
            done.store(true, Ordering::SeqCst);
        });
        for _ in 0..20 {
            drop(worker.stream("hi", &RunOptions::default()).unwrap());
        }
        assert!(worker.is_alive());
        assert!(!worker.abort_handle().is_running().unwrap());
        drop(worker);
        assert!(handle.is_running().is_err(), "gone");
    }
}

fn a_panic_of_the_closure_ends_the_run() {
    let bench = Bench::new(Fake::V1_3);
    let mut worker = bench.load("tokens=1000");
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        // Without a message: `panic!` would print one.
        worker.run("hi", &RunOptions::default(), |_| std::panic::resume_unwind(Box::new(7u8)))
    }));
    assert_eq!(panicked.unwrap_err().downcast_ref::<u8>(), Some(&7));
    let report = worker.run("hi", &RunOptions::default(), |_| Flow::Continue).unwrap();
    assert_eq!(report.tokens, 512, "the documented default of new tokens");
}

/// A tokenizer of sixteen letters, as many as the fake's vocabulary has.
const TOKENIZER: &str = r#"{
    "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
    "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": {"type": "Fuse"},
    "model": {"type": "WordLevel", "unk_token": "p", "vocab": {"a": 0, "b": 1, "c": 2, "d": 3, "e": 4,
        "f": 5, "g": 6, "h": 7, "i": 8, "j": 9, "k": 10, "l": 11, "m": 12, "n": 13, "o": 14, "p": 15}}
}"#;

fn conversations_and_sessions_change_one_line() {
    for fake in BOTH {
        let bench = Bench::new(fake);
        let mut chat = NpuChat::new(bench.load("utf8_split")).with_stop(["🙂"]);
        let statistics = chat.ask("hi").unwrap().finish().unwrap();
        assert_eq!(statistics.stop, Some(Stop::StopString));
        let talk: &mut dyn Converse = &mut chat;
        let mut said = String::new();
        talk.converse("hi", &mut |piece| {
            said += piece;
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(said, "aé汉");
        talk.forget().unwrap();
        chat.model_mut().restart().unwrap();
        assert_eq!(chat.ask("hi").unwrap().text().unwrap(), "aé汉");
        drop(chat);

        std::fs::write(bench.dir().join("tokenizer.json"), TOKENIZER).unwrap();
        let (options, file) = (bench.options(), bench.model(""));
        let model = Model::options()
            .with_backend(bench.dir(), move || {
                let npu = NpuOptions::default().with_context(64);
                Ok(Box::new(NpuBackend::new(options.clone().load(&file, npu)?)?))
            })
            .unwrap();
        let mut session = model.session().unwrap().with_max_tokens(4);
        assert_eq!(session.generate("a b c").unwrap().text().unwrap(), "defg");
        let statistics = session.generate("a b c d e f g").unwrap().finish().unwrap();
        assert_eq!(statistics.reused_tokens, 6, "the part that both begin with");
        bench.behave("calls_fail");
        assert!(session.generate("b").unwrap().text().is_err());
        bench.behave("");
        session.clear();
        assert_eq!(session.generate("a b x").unwrap().text().unwrap(), "abcd");
    }
}

/// A program that restarts what has crashed must be told that it has, whatever it asked for.
fn a_backend_of_a_dead_worker_says_that_it_is_dead() {
    let bench = Bench::new(Fake::V1_3);
    let worker = bench.options().load(bench.model(""), NpuOptions::default().with_context(64));
    let worker = worker.unwrap();
    let pid = worker.pid().unwrap();
    let mut backend = NpuBackend::new(worker).unwrap();
    backend.forward(&[1, 2, 3], Want::Nothing, &mut |_, _| Ok(())).unwrap();
    // SAFETY: takes numbers; a process of this test's.
    unsafe { libc::kill(pid as i32, libc::SIGKILL) };
    let error = backend.truncate(2).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Crashed, "{error}");
    for _ in 0..2 {
        let error = backend.forward(&[4], Want::Nothing, &mut |_, _| Ok(())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Crashed, "{error}");
        let hint = error.hint().unwrap();
        assert!(hint.contains("restart"), "{error}");
        assert_eq!(error.to_string().matches(hint).count(), 1, "{error}");
        backend.reset();
    }
    backend.model_mut().restart().unwrap();
    let error = backend.forward(&[4], Want::Nothing, &mut |_, _| Ok(())).unwrap_err();
    assert!(error.hint().unwrap().ends_with("then reset the sequence"), "{error}");
    backend.reset();
    backend.forward(&[1, 2], Want::Nothing, &mut |_, _| Ok(())).unwrap();
    assert_eq!(backend.position(), 2);
}
