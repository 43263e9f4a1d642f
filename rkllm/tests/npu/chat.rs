//! Sessions and conversations on the NPU.

use std::ops::ControlFlow;

use rkllm::ErrorKind;
use rkllm::npu::{NpuBackend, NpuOptions, RunOptions};
use rkllm::session::{Converse, Model, NpuChat, Stop};

use crate::board::{BOTH, Board, Fake};

#[test]
fn a_conversation_of_the_runtimes_own() {
    for fake in BOTH {
        let board = Board::new(fake);
        let mut chat = NpuChat::new(board.load("utf8_split"));
        let mut answer = chat.ask("hi").unwrap();
        let pieces: Vec<String> = answer.by_ref().map(Result::unwrap).collect();
        assert_eq!(pieces, ["a", "é", "汉", "🙂", "b"]);
        assert!(answer.next().is_none());
        assert_eq!(answer.so_far(), "aé汉🙂b");
        let statistics = answer.finish().unwrap();
        assert_eq!((statistics.stop, statistics.new_tokens), (Some(Stop::Eos), 11));
        assert_eq!((statistics.prompt_tokens, statistics.prefill.as_micros()), (2, 12_500));
        assert!(statistics.time_to_first_token.is_some());
        assert_eq!(chat.ask("hi").unwrap().text().unwrap(), "aé汉🙂b");
        board.assert_saw(&["rkllm_run infer.keep_history=1"]);
        assert_eq!(chat.model_mut().kv_cache_sizes().unwrap(), [26]);
        chat.clear().unwrap();
        assert_eq!(chat.model_mut().kv_cache_sizes().unwrap(), [2], "the system prompt");
        board.assert_clean();
    }
}

#[test]
fn it_ends_as_it_is_asked_to() {
    for fake in BOTH {
        let board = Board::new(fake);
        let mut chat = NpuChat::new(board.load("tokens=50")).with_stop(["t3 "]);
        let mut answer = chat.ask("x").unwrap();
        let text: String = answer.by_ref().map(Result::unwrap).collect();
        assert_eq!(
            (text.as_str(), answer.statistics().stop),
            ("t0 t1 t2 ", Some(Stop::StopString))
        );
        drop(answer);
        let mut limited =
            board.load_with("tokens=50", NpuOptions::default().with_max_new_tokens(2));
        limited.set_chat_template("", "", "").unwrap();
        let statistics = NpuChat::new(limited).ask("x").unwrap().finish().unwrap();
        assert_eq!((statistics.stop, statistics.new_tokens), (Some(Stop::MaxTokens), 2));
        let mut slow = NpuChat::new(board.load("slow=1+tokens=9999"));
        let mut answer = slow.ask("x").unwrap();
        answer.next().unwrap().unwrap();
        answer.cancel_handle().cancel();
        assert_eq!(answer.finish().unwrap().stop, Some(Stop::Cancelled));
        let mut failing = NpuChat::new(board.load("error"));
        assert_eq!(failing.ask("x").unwrap().text().unwrap_err().kind(), ErrorKind::Runtime);
        let refused = NpuChat::new(board.load("")).with_stop([""]).ask("x").map(drop);
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Input);
        let alone = RunOptions::default();
        let mut alone = NpuChat::new(board.load("")).with_options(alone);
        alone.ask("x").unwrap().finish().unwrap();
        alone.ask("x").unwrap().finish().unwrap();
        assert_eq!(alone.model_mut().kv_cache_sizes().unwrap(), [5]);
        board.assert_clean();
    }
}

/// A tokenizer of sixteen letters, as many as the fake's vocabulary has.
const TOKENIZER: &str = r#"{
    "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
    "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": {"type": "Fuse"},
    "model": {"type": "WordLevel", "unk_token": "p", "vocab": {"a": 0, "b": 1, "c": 2, "d": 3, "e": 4,
        "f": 5, "g": 6, "h": 7, "i": 8, "j": 9, "k": 10, "l": 11, "m": 12, "n": 13, "o": 14, "p": 15}}
}"#;

/// The one line: where the backend comes from. All else is the session's own.
#[test]
fn a_session_on_the_runtimes_logits() {
    for fake in BOTH {
        for words in ["", "last_logits", "thread"] {
            let board = Board::new(fake);
            let tokenizer = board.file("tokenizer.json");
            std::fs::write(&tokenizer, TOKENIZER).unwrap();
            let (runtime, file) = (board.runtime.clone(), board.model(words));
            let model = Model::options()
                .with_template("{% for m in messages %}{{ m.content }} {% endfor %}")
                .with_backend(tokenizer.parent().unwrap(), move || {
                    let options =
                        NpuOptions::default().with_context(64).with_runtime(runtime.clone());
                    Ok(Box::new(NpuBackend::new(options.load(&file)?)?))
                })
                .unwrap();
            let mut session = model.session().unwrap().with_max_tokens(4);
            assert_eq!(session.generate("a b c").unwrap().text().unwrap(), "defg");
            let statistics = session.generate("a b c d e f g").unwrap().finish().unwrap();
            assert_eq!(statistics.reused_tokens, 6, "the part that both begin with");
            assert_eq!(session.generate("a b x").unwrap().text().unwrap(), "abcd");
            drop(session);
            let mut chat = model.chat().with_max_tokens(3).start().unwrap();
            let talk: &mut dyn Converse = &mut chat;
            let mut said = String::new();
            let statistics = talk
                .converse("b", &mut |piece| {
                    said += piece;
                    ControlFlow::Continue(())
                })
                .unwrap();
            assert_eq!((said.as_str(), statistics.stop), ("cde", Some(Stop::MaxTokens)));
            talk.forget().unwrap();
            assert!(chat.messages().is_empty());
            drop(chat);
            board.assert_clean();
            assert_eq!(board.alive(), 0);
        }
    }
}

/// What an app does, whatever its model runs on.
#[cfg(feature = "cpu")]
fn app(model: &Model) -> rkllm::Result<(String, Option<Stop>)> {
    let mut chat = model.chat().with_max_tokens(3).start()?;
    let mut answer = chat.ask("a b")?;
    let text = answer.by_ref().collect::<rkllm::Result<String>>()?;
    Ok((text, answer.statistics().stop))
}

#[cfg(feature = "cpu")]
#[test]
fn an_app_changes_one_line() {
    for fake in BOTH {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tutor-nano");
        let model = Model::open(dir).unwrap();
        let (text, stop) = app(&model).unwrap();
        assert!(!text.is_empty() && stop == Some(Stop::MaxTokens), "{text:?} {stop:?}");

        let (board, dir) = (Board::new(fake), tempfile::tempdir().unwrap());
        std::fs::write(dir.path().join("tokenizer.json"), TOKENIZER).unwrap();
        let template = "{% for m in messages %}{{ m.content }} {% endfor %}";
        std::fs::write(dir.path().join("chat_template.jinja"), template).unwrap();
        let (file, options) = (board.model(""), NpuOptions::default());
        let options = std::sync::Mutex::new(Some(options.with_runtime(board.runtime.clone())));
        let options = move || options.lock().unwrap().take().unwrap();
        let model =
            Model::options().with_backend(dir.path(), move || options().connect(&file)).unwrap();
        assert_eq!(app(&model).unwrap(), ("cde".into(), Some(Stop::MaxTokens)));
        board.assert_clean();
        assert_eq!(board.alive(), 0);
    }
}

#[test]
fn conversations_look_alike() {
    let board = Board::new(Fake::V1_3);
    let mut talk: Box<dyn Converse> = Box::new(NpuChat::new(board.load("slow=1")));
    let mut pieces = 0;
    let statistics = talk
        .converse("x", &mut |_| {
            pieces += 1;
            if pieces == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
    assert_eq!((pieces, statistics.stop), (2, Some(Stop::Cancelled)));
    talk.forget().unwrap();
    drop(talk);
    board.assert_clean();
}
