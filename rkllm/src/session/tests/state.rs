//! Files that were made to be believed: wrong in one place, with the right checksum.

use std::path::Path;

use super::super::{GenerateOptions, Model, Session};
use crate::ErrorKind;
use crate::digest::Digest;
use crate::model::{Checkpoint, Load, Tokenizer};

fn session() -> Session {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/golden/qwen2-odd-sizes");
    let checkpoint = Checkpoint::open(dir, Load::Map).unwrap();
    let vocab = r#"{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}"#;
    let options = Model::options().with_threads(1).with_context(16);
    let model = options.build(&checkpoint, Tokenizer::from_json(vocab).unwrap()).unwrap();
    let options = GenerateOptions::default().with_max_tokens(2).with_ignore_eos(true);
    model.session().unwrap().with_options(options)
}

#[test]
fn forged_numbers_are_refused_before_anything_is_believed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("session");
    let mut session = session();
    session.generate_tokens(&[3, 4, 5]).unwrap().finish().unwrap();
    session.save(&path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let tokens = session.tokens().to_vec();
    let load = |session: &mut Session, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        bytes.truncate(whole.len() - 8);
        change(&mut bytes);
        let mut digest = Digest::new();
        digest.update(&bytes);
        bytes.extend(digest.finish().to_le_bytes());
        std::fs::write(&path, bytes).unwrap();
        session.load(&path).map_err(|error| error.kind())
    };
    assert_eq!(load(&mut session, &|_| ()), Ok(()));
    let put = |at: usize, value: u64| {
        move |bytes: &mut Vec<u8>| bytes[at..at + 8].copy_from_slice(&value.to_le_bytes())
    };
    // Version and kind; then fingerprint, tokens, cached, state, messages.
    assert_eq!(load(&mut session, &put(8, 2)), Err(ErrorKind::Unsupported));
    assert_eq!(load(&mut session, &put(8, 1 | 7 << 32)), Err(ErrorKind::Format));
    assert_eq!(load(&mut session, &put(16, 1)), Err(ErrorKind::Input));
    for at in [24, 40, 48] {
        // A session has no messages, so 0 of them is the truth.
        for value in [u64::from(at == 48), 1, 7, 1 << 31, 1 << 62, u64::MAX, u64::MAX / 4] {
            assert_eq!(load(&mut session, &put(at, value)), Err(ErrorKind::Format), "{at} {value}");
        }
    }
    for (cached, kind) in [
        (0, ErrorKind::Format),
        (3, ErrorKind::Format),
        (17, ErrorKind::Context),
        (u64::MAX, ErrorKind::Context),
    ] {
        assert_eq!(load(&mut session, &put(32, cached)), Err(kind), "{cached}");
    }
    // The lengths add up, but to something else.
    let shifted = |bytes: &mut Vec<u8>| {
        let state = u64::from_le_bytes(bytes[40..48].try_into().unwrap());
        bytes[40..48].copy_from_slice(&(state - 4).to_le_bytes());
        bytes[24..32].copy_from_slice(&6u64.to_le_bytes());
    };
    assert_eq!(load(&mut session, &shifted), Err(ErrorKind::Format));
    let messages = |bytes: &mut Vec<u8>| {
        bytes[48..56].copy_from_slice(&4u64.to_le_bytes());
        bytes.extend(b"[{}]");
    };
    assert_eq!(load(&mut session, &messages), Err(ErrorKind::Format), "messages of a session");
    let token = |bytes: &mut Vec<u8>| bytes[56..60].copy_from_slice(&67u32.to_le_bytes());
    assert_eq!(load(&mut session, &token), Err(ErrorKind::Format));
    assert_eq!(session.tokens(), tokens, "nothing changed so far");
    // What only the backend can tell is found while it reads: then the session is empty.
    let infinite =
        |bytes: &mut Vec<u8>| bytes[80..84].copy_from_slice(&f32::INFINITY.to_le_bytes());
    assert_eq!(load(&mut session, &infinite), Err(ErrorKind::Format));
    assert!(session.tokens().is_empty());
    session.generate_tokens(&[3, 4, 5]).unwrap().finish().unwrap();
    assert_eq!(session.tokens(), tokens);
}
