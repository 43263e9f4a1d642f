//! Answers under a constraint: what ends by itself matches, whatever the model would rather say.

use std::path::{Path, PathBuf};

use regex::Regex;
use rkllm::ErrorKind;
use rkllm::model::{Checkpoint, Load, Message, Tokenizer};
use rkllm::session::{
    Constraint, ContextPolicy, GenerateOptions, Model, Sampling, Session, Statistics, Stop,
};
use serde_json::{Value, json};

use crate::common::{Golden, data, shared};
use crate::small::{TEMPLATE, model, options, sized};

fn hot(seed: u64) -> Sampling {
    Sampling::default().with_temperature(1.5).with_seed(seed)
}

fn most(tokens: usize) -> GenerateOptions {
    GenerateOptions::default().with_max_tokens(tokens)
}

fn whole(pattern: &str) -> Regex {
    Regex::new(&format!(r"\A(?:{pattern})\z")).unwrap()
}

fn say(session: &mut Session, prompt: &str) -> (String, Statistics) {
    let mut answer = session.generate(prompt).unwrap();
    let text: String = answer.by_ref().map(Result::unwrap).collect();
    assert_eq!(text, answer.so_far());
    (text, *answer.statistics())
}

fn ended(statistics: &Statistics) -> bool {
    match statistics.stop {
        Some(Stop::Eos | Stop::Complete) => true,
        Some(Stop::MaxTokens) => false,
        other => panic!("{other:?}"),
    }
}

/// Says `pattern` greedily and by `seeds` seeds, and returns how many answers ended by themselves.
fn obeys(model: &Model, pattern: &str, seeds: u64, tokens: usize) -> usize {
    let regex = whole(pattern);
    let options = most(tokens).with_constraint(Constraint::regex(pattern));
    let mut session = model.session().unwrap();
    let samplings = (0..seeds).map(hot).chain([Sampling::greedy()]);
    let mut count = 0;
    for (index, sampling) in samplings.enumerate() {
        session.options_mut().clone_from(&options.clone().with_sampling(sampling));
        let (text, statistics) = say(&mut session, "the");
        if ended(&statistics) {
            assert!(regex.is_match(&text), "{index}: {text:?} by {pattern}");
            count += 1;
        }
    }
    count
}

#[test]
fn what_ends_by_itself_matches_the_pattern() {
    let model = model();
    for (pattern, at_least) in [
        ("(the|an)( [a-z]{1,6}){1,4}\\.", 61),
        ("[0-9]{2,4}\\?", 61),
        ("¿[éñ]{3}\\?", 61),
        ("é{2}ñ(é|ñ)*\\.", 30),
        ("[a-z]*", 30),
        ("(a|b)c|q\\.", 61),
        ("", 61),
    ] {
        let ended = obeys(&model, pattern, 60, 60);
        assert!(ended >= at_least, "{ended} of {pattern} ended");
    }
}

/// A model of 64 tokens that has what JSON needs, and would rather say anything else.
fn json_model() -> Model {
    let special = ["<pad>", "<s>", "</s>"];
    let mut tokens: Vec<String> = special.iter().map(ToString::to_string).collect();
    tokens
        .extend("{}[]\":,.-+\\Ġ0123456789abcdefghijklmnopqrstuvwxyzÃ©±Ċ".chars().map(String::from));
    let merges = ["\" :", "\" ,", "{ \"", "t r", "u e", "tr ue", "\" }"];
    tokens.extend(merges.map(|pair| pair.replace(' ', "")));
    assert!(tokens.len() <= 64, "{}", tokens.len());
    let vocab: serde_json::Map<_, _> =
        tokens.iter().enumerate().map(|(id, token)| (token.clone(), json!(id))).collect();
    let added: Vec<_> = special
        .iter()
        .enumerate()
        .map(|(id, token)| {
            json!({"id": id, "content": token, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true})
        })
        .collect();
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
        "use_regex": false});
    let text = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": null, "pre_tokenizer": bytes, "decoder": bytes, "post_processor": null,
        "model": {"type": "BPE", "dropout": null, "unk_token": null,
            "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false,
            "byte_fallback": false, "ignore_merges": false, "vocab": vocab, "merges": merges}
    });
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tokenizer.json"), text.to_string()).unwrap();
    let config = json!({"bos_token": "<s>", "eos_token": "</s>"}).to_string();
    std::fs::write(dir.path().join("tokenizer_config.json"), config).unwrap();
    let checkpoint = Checkpoint::open(data("golden/llama-f32"), Load::Map).unwrap();
    let tokenizer = Tokenizer::open(dir.path()).unwrap();
    options().with_context(512).with_template(TEMPLATE).build(&checkpoint, tokenizer).unwrap()
}

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "kind": {"enum": ["ohm", "joule", "señal"]},
            "value": {"type": "number", "minimum": -10, "maximum": 250},
            "ok": {"type": "boolean"},
            "tags": {"type": "array", "items": {"type": "string", "maxLength": 5},
                "minItems": 1, "maxItems": 3},
            "note": {"type": ["string", "null"], "pattern": "^[a-é]{0,4}$"}
        },
        "required": ["kind", "value", "tags"],
        "additionalProperties": false
    })
}

/// The schema above, checked by hand.
fn fits(value: &Value) -> bool {
    let Some(object) = value.as_object() else { return false };
    let known = ["kind", "value", "ok", "tags", "note"];
    let short = |tag: &Value| tag.as_str().is_some_and(|tag| tag.chars().count() <= 5);
    object.keys().all(|key| known.contains(&key.as_str()))
        && ["ohm", "joule", "señal"].iter().any(|kind| value["kind"] == *kind)
        && value["value"].as_f64().is_some_and(|value| (-10.0..=250.0).contains(&value))
        && object.get("ok").is_none_or(Value::is_boolean)
        && value["tags"]
            .as_array()
            .is_some_and(|tags| (1..=3).contains(&tags.len()) && tags.iter().all(short))
        && object.get("note").is_none_or(|note| {
            note.is_null()
                || note.as_str().is_some_and(|note| {
                    note.chars().count() <= 4 && note.chars().all(|c| ('a'..='é').contains(&c))
                })
        })
}

fn json_obeys(model: &Model, prompt: &str, seeds: u64, tokens: usize) -> usize {
    let options = most(tokens).with_constraint(Constraint::json_schema(schema()));
    let mut session = model.session().unwrap();
    let mut count = 0;
    for sampling in (0..seeds).map(hot).chain([Sampling::greedy()]) {
        session.options_mut().clone_from(&options.clone().with_sampling(sampling));
        let (text, statistics) = say(&mut session, prompt);
        if ended(&statistics) {
            let value =
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert!(fits(&value), "{text}");
            count += 1;
        }
    }
    count
}

#[test]
fn what_ends_by_itself_parses_and_fits_the_schema() {
    let ended = json_obeys(&json_model(), "a", 60, 400);
    assert!(ended >= 45, "{ended} of 61 ended");
}

fn tutor_nano() -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tutor-nano");
    dir.join("tokenizer.json").exists().then_some(dir)
}

/// Models that know words, some of them of JSON.
fn trained() -> impl Iterator<Item = Model> {
    let dirs = [tutor_nano(), shared("models/fisica-19m")];
    dirs.into_iter().flatten().map(|dir| Model::options().with_context(256).open(dir).unwrap())
}

#[test]
fn trained_models_obey_too() {
    for model in trained() {
        let ended = json_obeys(&model, "La ley de Ohm: ", 50, 120);
        assert!(ended >= 25, "{ended} of 51 ended");
        let spanish = "(Él|Ella) está (aquí|allí)\\. ¿(Qué|Cuál|Dónde)[ a-zñáéíóú]{0,12}\\? ¡[a-zñáéíóúü]{3,9}!";
        let ended = obeys(&model, spanish, 50, 60);
        assert!(ended >= 45, "{ended} of 51 ended");
    }
}

/// Its decoder takes the space off the first token of a text, which a pattern may ask for or forbid.
#[test]
fn the_first_space_of_sentencepiece_is_what_the_pattern_says() {
    let Some(dir) = shared("models/tinystories-656k") else { return };
    let options = Model::options().with_context(256).with_template("{{ messages[-1].content }}");
    let model = options.open(dir).unwrap();
    for pattern in ["[a-z]{2,9}( [a-z]{2,9}){2}", " [a-z]{2,9}", "(Once|One) upon"] {
        for seed in 0..20 {
            let chat = model.chat().with_constraint(Constraint::regex(pattern));
            let mut chat = chat.with_sampling(hot(seed)).with_max_tokens(40).start().unwrap();
            let text = chat.ask("Once").unwrap().text().unwrap();
            assert!(whole(pattern).is_match(&text), "{text:?} by {pattern}");
        }
    }
}

#[test]
fn a_constraint_that_allows_everything_changes_nothing() {
    let Some(dir) = shared("models/fisica-19m") else { return };
    let golden = Golden::open(&dir.join("golden.safetensors"));
    let model = Model::options().with_context(64).open(&dir).unwrap();
    let options = most(40).with_ignore_eos(true);
    let mut session = model.session().unwrap();
    for constraint in [None, Some(Constraint::regex("(?s:.*)")), None] {
        session.options_mut().clone_from(&options.clone().with_constraint(constraint));
        let mut answer = session.generate_tokens(&golden.ids[..8]).unwrap();
        answer.by_ref().for_each(|piece| drop(piece.unwrap()));
        assert_eq!(answer.tokens(), &golden.ids[8..48]);
    }
}

#[test]
fn nothing_of_an_answer_tells_in_the_next() {
    let model = model();
    let options = most(30).with_sampling(hot(3));
    let constrained = options.clone().with_constraint(Constraint::regex("([a-e]{3} ){2,5}q"));
    let mut session = model.session().unwrap().with_options(options.clone());
    let free = say(&mut session, "the").0;
    session.options_mut().clone_from(&constrained);
    let first = say(&mut session, "the").0;
    assert_ne!(first, free);
    // Dropped in the middle of a word.
    let mut answer = session.generate("the").unwrap();
    answer.next().unwrap().unwrap();
    drop(answer);
    let handle = session.cancel_handle();
    let mut answer = session.generate("the").unwrap();
    answer.next().unwrap().unwrap();
    handle.cancel();
    assert!(answer.next().is_none());
    assert_eq!(answer.statistics().stop, Some(Stop::Cancelled));
    drop(answer);
    assert_eq!(say(&mut session, "the").0, first);
    session.options_mut().clone_from(&options);
    assert_eq!(say(&mut session, "the").0, free);
    // Another session of the model, another thread.
    let mut other = model.session().unwrap().with_options(constrained);
    assert_eq!(std::thread::spawn(move || say(&mut other, "the").0).join().unwrap(), first);
}

#[test]
fn why_a_constrained_answer_ends() {
    let run = |options: GenerateOptions| {
        say(&mut model().session().unwrap().with_options(options), "the")
    };
    let of = |pattern: &str, tokens| most(tokens).with_constraint(Constraint::regex(pattern));
    let stop = |options| run(options).1.stop.unwrap();
    assert_eq!(stop(of("[0-9]{3}", 30)), Stop::Complete);
    // Also where it is the last token, and where the model may not end by itself.
    let (text, statistics) = run(of("[0-9]{3}", 3).with_ignore_eos(true));
    assert_eq!((text.len(), statistics.stop, statistics.new_tokens), (3, Some(Stop::Complete), 3));
    assert_eq!(stop(of("[0-9]*", 20).with_ignore_eos(true)), Stop::MaxTokens);
    let (text, statistics) = run(of("", 5));
    assert_eq!(
        (text.as_str(), statistics.stop, statistics.new_tokens),
        ("", Some(Stop::Complete), 0)
    );
    let by_eos = (0..40).any(|seed| stop(of("[a-z]*", 60).with_sampling(hot(seed))) == Stop::Eos);
    assert!(by_eos, "the model never ended by itself");
    // A stop string goes before, and is cut off.
    let (text, statistics) = run(of("thexq[0-9]", 30).with_stop(["xq"]));
    assert_eq!((text.as_str(), statistics.stop), ("the", Some(Stop::StopString)));
    // What is cut is the beginning of a match, in whole characters.
    for tokens in 0..8 {
        let (text, statistics) = run(of("¿ñañ¿ñ\\?\\.", tokens).with_sampling(hot(1)));
        assert!("¿ñañ¿ñ?.".starts_with(&text), "{tokens}: {text}");
        assert_eq!(statistics.stop, Some(Stop::MaxTokens));
    }
}

#[test]
fn a_choice_is_one_of_them() {
    let texts = ["the an", "que?", "é.ñ", "10"];
    let options = most(20).with_constraint(Constraint::choice(texts));
    let mut session = model().session().unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..60 {
        session.options_mut().clone_from(&options.clone().with_sampling(hot(seed)));
        let (text, statistics) = say(&mut session, "the");
        assert!(ended(&statistics) && texts.contains(&text.as_str()), "{text}");
        seen.insert(text);
    }
    assert!(seen.len() > 1);
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_lost() {
    let model = model();
    let bad = [
        Constraint::regex("(a"),
        Constraint::json_schema(json!({"type": "array", "uniqueItems": true})),
        // The model has no tokens for it.
        Constraint::regex("漢"),
        Constraint::json_schema(json!({"type": "object"})),
    ];
    let mut session = model.session().unwrap().with_options(most(4));
    say(&mut session, "the");
    let before = session.tokens().to_vec();
    let mut chat = model.chat().with_max_tokens(4).start().unwrap();
    chat.ask("one").unwrap().finish().unwrap();
    let messages = chat.messages().to_vec();
    for constraint in bad {
        let named = |error: rkllm::Error| {
            assert_eq!(error.kind(), ErrorKind::Input);
            assert!(error.subject().is_some() && error.hint().is_some(), "{error}");
        };
        named(model.chat().with_constraint(constraint.clone()).start().unwrap_err());
        session.options_mut().clone_from(&most(4).with_constraint(constraint.clone()));
        named(session.generate("an").unwrap_err());
        assert_eq!(session.tokens(), before);
        chat.options_mut().clone_from(&most(4).with_constraint(constraint));
        named(chat.ask("two").unwrap_err());
        assert_eq!(chat.messages(), messages);
    }
}

#[test]
fn an_answer_that_slides_goes_on_with_its_constraint() {
    let pattern = "([a-e]{3} ){8,30}q\\.";
    let mut chat = sized(96)
        .chat()
        .with_context_policy(ContextPolicy::Slide)
        .with_max_tokens(100)
        .start()
        .unwrap();
    (0..3).for_each(|_| drop(chat.ask("onetwothree").unwrap().take(8).collect::<Vec<_>>()));
    *chat.options_mut() =
        most(140).with_sampling(hot(5)).with_constraint(Constraint::regex(pattern));
    let mut dropped = 0;
    for _ in 0..6 {
        let mut answer = chat.ask("four").unwrap();
        let text: String = answer.by_ref().map(Result::unwrap).collect();
        dropped += answer.statistics().dropped_messages;
        match answer.statistics().stop {
            Some(Stop::Complete) => assert!(whole(pattern).is_match(&text), "{text}"),
            Some(Stop::Context) => {
                assert!(whole("([a-e]{3} )*[a-e]{0,3}").is_match(&text), "{text}")
            }
            other => panic!("{other:?}"),
        }
        drop(answer);
        assert_eq!(chat.messages().last(), Some(&Message::assistant(text)));
    }
    assert!(dropped > 0, "nothing slid");
}
