//! Sessions in files.

use std::fs;
use std::path::Path;

use rkllm::model::{Message, RopeScaling};
use rkllm::session::{Model, Session};
use rkllm::{Backend, Error, ErrorKind};

use crate::common::{data, weights};
use crate::counter::counting;
use crate::reuse::{MODELS, SCHEMES, engine, feed, ids};
use crate::small::{build, long, model, options, sized};

#[test]
fn what_was_exported_goes_on_with_the_same_bits() {
    for name in MODELS {
        for scheme in SCHEMES {
            let weights = weights(&data(&format!("golden/{name}")), Some(scheme.parse().unwrap()));
            let tokens = ids(weights.config.vocab_size, 40, 1);
            let mut first = engine(&weights, 48);
            feed(&mut first, &tokens[..29]);
            let mut state = Vec::new();
            first.export_state(&mut state).unwrap();
            assert_eq!(state.len() as u64, first.state_bytes(29).unwrap());
            let expected = feed(&mut first, &tokens[29..]);

            let mut second = engine(&weights, 48);
            feed(&mut second, &tokens[5..30]);
            second.import_state(29, &mut &state[..]).unwrap();
            assert_eq!(second.position(), 29);
            assert!(feed(&mut second, &tokens[29..]) == expected, "{name} {scheme}");

            // Too long, too short, not numbers: an empty sequence, never a wrong one.
            let kind = |result: rkllm::Result<()>| result.unwrap_err().kind();
            assert_eq!(kind(second.import_state(49, &mut &state[..])), ErrorKind::Context);
            assert_eq!(
                kind(second.import_state(29, &mut &state[..state.len() - 1])),
                ErrorKind::Io
            );
            assert_eq!(second.position(), 0);
            state[..4].fill(0xFF);
            assert_eq!(kind(second.import_state(29, &mut &state[..])), ErrorKind::Format);
            assert_eq!(second.position(), 0);
            assert_eq!(first.state_bytes(49), None);
        }
    }
}

/// A session after "the one", and its file.
fn saved(model: &Model, path: &Path) -> Session {
    let mut session = model.session().unwrap().with_options(long(6));
    session.generate("the one").unwrap().finish().unwrap();
    session.save(path).unwrap();
    session
}

#[test]
fn a_loaded_session_goes_on_as_the_saved_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("session");
    for name in ["llama-f32", "mistral-sliding-window", "phi3-longrope-long"] {
        for scheme in ["", "w4a16"] {
            let model = build(name, scheme, options());
            let mut first = saved(&model, &path);
            // Neither threads nor chunks are part of it.
            let other = build(name, scheme, options().with_threads(3).with_prefill_chunk(1));
            let mut second = other.session().unwrap().with_options(long(6));
            second.generate("and").unwrap().finish().unwrap();
            second.load(&path).unwrap();
            assert_eq!(second.tokens(), first.tokens());
            let (expected, found) = (
                first.resume("").unwrap().finish().unwrap(),
                second.resume("").unwrap().finish().unwrap(),
            );
            assert_eq!(second.tokens(), first.tokens(), "{name} {scheme}");
            assert_eq!(found.reused_tokens, expected.reused_tokens);
            assert!(found.reused_tokens > 6);
        }
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no draft is left");
}

#[test]
fn a_chat_resumes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("chat");
    let model = model();
    let start = || model.chat().with_system("be a tutor").with_options(long(6));
    let mut chat = start().start().unwrap();
    chat.ask("the one").unwrap().finish().unwrap();
    chat.save(&path).unwrap();
    let mut again = start().with_messages([Message::user("unheard")]).resume(&path).unwrap();
    assert_eq!(again.messages(), chat.messages());
    let expected = chat.ask("and the other?").unwrap().text().unwrap();
    let mut answer = again.ask("and the other?").unwrap();
    let text: String = answer.by_ref().map(Result::unwrap).collect();
    assert_eq!(text, expected);
    assert!(answer.finish().unwrap().reused_tokens > 10);

    // A session reads the tokens of a chat; a chat wants messages.
    let mut session = model.session().unwrap();
    session.load(&path).unwrap();
    session.save(&path).unwrap();
    let before = again.messages().to_vec();
    let error = again.load(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Format);
    assert!(error.hint().unwrap().contains("Session::load"), "{error}");
    assert_eq!(again.messages(), before);
}

#[test]
fn what_belongs_to_another_model_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("session");
    saved(&build("llama-f32", "w8a8", options()), &path);
    let load = |model: Model| model.session().unwrap().load(&path);
    load(build("llama-f32", "w8a8", options().with_context(40))).unwrap();
    let asymmetric = options().with_asymmetric(true);
    for other in [
        build("llama-f32", "", options()),
        build("llama-f32", "w4a16", options()),
        build("llama-f32", "w8a8", asymmetric),
        build("llama-f16", "w8a8", options()),
        build("llama-rope-linear", "w8a8", options()),
        build("mistral-sliding-window", "w8a8", options()),
    ] {
        let error = load(other).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input);
        assert!(error.to_string().contains("fingerprint"), "{error}");
    }
    let error = load(build("llama-f32", "w8a8", options().with_context(6))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Context);

    // A context that changes the position embedding makes another model of it.
    let longrope = |context| build("phi3-longrope-long", "", options().with_context(context));
    let config = &longrope(96).weights().unwrap().config.clone();
    assert!(matches!(config.rope.scaling, RopeScaling::LongRope { .. }));
    saved(&longrope(96), &path);
    load(longrope(64)).unwrap();
    assert_eq!(load(longrope(24)).unwrap_err().kind(), ErrorKind::Input);
}

#[test]
fn damage_is_found_wherever_it_is_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("chat");
    let model = sized(32);
    let mut chat = model.chat().with_options(long(2)).start().unwrap();
    chat.ask("on").unwrap().finish().unwrap();
    chat.save(&path).unwrap();
    let whole = fs::read(&path).unwrap();
    assert!(whole.len() < 12_000, "{} bytes are many to try", whole.len());
    let (tokens, messages) = (chat.session().tokens().to_vec(), chat.messages().to_vec());
    let mut refuse = |bytes: &[u8], what: &str| -> Error {
        fs::write(&path, bytes).unwrap();
        let error = chat.load(&path).expect_err(what);
        assert!(error.subject().unwrap().contains("chat"), "{error}");
        assert_eq!(chat.session().tokens(), tokens, "{what}");
        assert_eq!(chat.messages(), messages, "{what}");
        error
    };
    for length in 0..whole.len() {
        let error = refuse(&whole[..length], "truncated");
        assert_eq!(error.kind(), ErrorKind::Format, "{length} bytes: {error}");
    }
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        refuse(&bytes, "flipped");
    }
    refuse(&[&whole[..], b"x"].concat(), "longer");
    assert_eq!(refuse(&[b'x'; 200], "something else").kind(), ErrorKind::Format);
    fs::write(&path, &whole).unwrap();
    chat.load(&path).unwrap();
    chat.ask("the").unwrap().finish().unwrap();

    let error = chat.load(dir.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Format);
    assert_eq!(chat.load(dir.path().join("none")).unwrap_err().kind(), ErrorKind::Missing);
}

#[test]
fn a_file_that_cannot_be_written_leaves_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("session");
    let session = saved(&model(), &path);
    let before = fs::read(&path).unwrap();
    let error = session.save(dir.path().join("none/session")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert_eq!(session.save("..").unwrap_err().kind(), ErrorKind::Input);
    // A backend that keeps its state inside says so before anything is replaced.
    let (counter, _) = counting(64);
    let error = counter.session().unwrap().save(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let error = counter.session().unwrap().load(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no draft is left");
}
