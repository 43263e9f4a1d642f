//! Embeddings at the beginning of a session.

use rkllm::ErrorKind;
use rkllm::session::{GenerateOptions, Model, Session};

use crate::counter;
use crate::small::{build, options};

const PROMPT: [u32; 11] = [1, 9, 17, 30, 12, 8, 22, 40, 11, 9, 10];

fn model(scheme: &str) -> Model {
    build("qwen2-odd-sizes", scheme, options().with_context(32))
}

fn session(model: &Model) -> Session {
    let options = GenerateOptions::default().with_max_tokens(6).with_ignore_eos(true);
    model.session().unwrap().with_options(options)
}

fn rows(model: &Model, tokens: &[u32]) -> Vec<f32> {
    let weights = model.weights().unwrap();
    let mut values = vec![0.0; tokens.len() * weights.config.hidden_size];
    for (row, &id) in values.chunks_exact_mut(weights.config.hidden_size).zip(tokens) {
        weights.embed_tokens.row(id, row).unwrap();
    }
    values
}

fn tokens(mut answer: rkllm::session::Answer<'_>) -> Vec<u32> {
    answer.by_ref().for_each(|piece| drop(piece.unwrap()));
    answer.tokens().to_vec()
}

#[test]
fn an_answer_after_embeddings_is_that_after_their_tokens() {
    for scheme in ["", "w8a8", "w4a16"] {
        let model = model(scheme);
        let mut session = session(&model);
        let expected = tokens(session.generate_tokens(&PROMPT).unwrap());
        let further = tokens(session.resume("the").unwrap());
        // At once, and a second time over what the first left.
        for _ in 0..2 {
            session.prefill_embeddings(&rows(&model, &PROMPT)).unwrap();
            assert!(session.tokens().is_empty());
            assert_eq!(tokens(session.resume("").unwrap()), expected, "{scheme}");
            assert_eq!(session.tokens(), expected);
            assert_eq!(tokens(session.resume("the").unwrap()), further, "{scheme}");
        }
        // With text after them, as after an image.
        let text = model.tokenizer().unwrap().encode("quin the").unwrap();
        let whole = [&PROMPT[..], &text].concat();
        let expected = tokens(session.generate_tokens(&whole).unwrap());
        session.prefill_embeddings(&rows(&model, &PROMPT)).unwrap();
        assert_eq!(tokens(session.resume("quin the").unwrap()), expected, "{scheme}");
        // Another prompt takes their place.
        assert_eq!(tokens(session.generate_tokens(&whole).unwrap()), expected, "{scheme}");
    }
}

#[test]
fn what_embeddings_cannot_do_is_refused() {
    let mut plain = counter::counting(8).0.session().unwrap();
    let error = plain.prefill_embeddings(&[0.5; 8]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);

    let model = model("");
    let mut session = session(&model);
    let rows = rows(&model, &PROMPT);
    let before = tokens(session.generate_tokens(&PROMPT).unwrap());
    let kept = session.tokens().to_vec();
    let three = rows.repeat(3);
    for (values, kind) in [
        (&rows[..0], ErrorKind::Shape),
        (&rows[..rows.len() - 1], ErrorKind::Shape),
        (&three, ErrorKind::Context),
    ] {
        assert_eq!(session.prefill_embeddings(values).unwrap_err().kind(), kind);
        assert_eq!(session.tokens(), kept);
    }
    let mut bad = rows.clone();
    *bad.last_mut().unwrap() = f32::INFINITY;
    assert_eq!(session.prefill_embeddings(&bad).unwrap_err().kind(), ErrorKind::NonFinite);
    assert!(session.tokens().is_empty());

    session.prefill_embeddings(&rows).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let error = session.save(dir.path().join("file")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    // 11 and 22 fill the context of 32: no room for the last.
    let error = session.resume(&"?".repeat(22)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Context);
    assert_eq!(tokens(session.resume("").unwrap()), before);
    session.clear();
    assert_eq!(tokens(session.generate_tokens(&PROMPT).unwrap()), before);
    session.save(dir.path().join("file")).unwrap();
}
