//! What a run can be given and asked for, through `rkllm::npu` on both ABIs.

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{BOTH, Board, Speaks, tutor_nano};
use rkllm::cpu::{Engine, EngineOptions};
use rkllm::model::{Checkpoint, Load, Message, RenderOptions, Tokenizer, WeightOptions};
use rkllm::npu::{
    End, Flow, Images, Input, MediaTags, Mode, NpuModel, NpuOptions, NpuSampling, RunOptions,
    Runtime, Videos,
};
use rkllm::session::Model;
use rkllm::{Backend, Want};
use safetensors::tensor::{Dtype, TensorView};

const CONTEXT: usize = 256;
const NEW: usize = 12;
const HIDDEN: usize = 256;

fn options(board: &Board) -> NpuOptions {
    NpuOptions::default()
        .with_runtime(Runtime::open(board.library()).unwrap())
        .with_context(CONTEXT)
        .with_max_new_tokens(NEW)
        .with_skip_special_tokens(true)
        .with_sampling(NpuSampling::greedy())
}

fn engine() -> Engine {
    let checkpoint = Checkpoint::open(tutor_nano(), Load::default()).unwrap();
    let weights = checkpoint.weights(None, &WeightOptions::default()).unwrap();
    let options = EngineOptions { context: CONTEXT, ..EngineOptions::default() };
    Engine::new(Arc::new(weights), options).unwrap()
}

fn tokenizer() -> Tokenizer {
    Tokenizer::open(tutor_nano()).unwrap()
}

fn embeddings(ids: &[u32]) -> Vec<f32> {
    let mut rows = vec![0.0; ids.len() * HIDDEN];
    engine().embed(ids, &mut rows).unwrap();
    rows
}

/// The tokens of a run.
fn tokens(npu: &mut NpuModel, input: impl Into<Input>, options: &RunOptions) -> Vec<u32> {
    let mut tokens = Vec::new();
    let report = npu
        .run(input, options, |output| {
            tokens.extend(output.token);
            Flow::Continue
        })
        .unwrap();
    assert_eq!(report.end, End::Finished);
    tokens
}

/// What a CPU session says after these tokens.
fn expected(prompt: &[u32]) -> Vec<u32> {
    let model = Model::options().with_context(CONTEXT).open(tutor_nano()).unwrap();
    let mut session = model.session().unwrap().with_max_tokens(NEW);
    session.generate_tokens(prompt).unwrap().finish().unwrap();
    session.tokens()[prompt.len()..].to_vec()
}

#[test]
fn embeddings_of_tokens_say_what_the_tokens_say() {
    let ids = tokenizer().encode("La ley de Ohm").unwrap();
    let expected = expected(&ids);
    for speaks in BOTH {
        let board = Board::new(speaks);
        let mut npu = options(&board).with_hidden_size(HIDDEN).load(board.pointer()).unwrap();
        let input = Input::embeddings(embeddings(&ids));
        assert_eq!(tokens(&mut npu, input, &RunOptions::default()), expected);
    }
}

#[test]
fn images_stand_where_their_markers_are() {
    let tokenizer = tokenizer();
    let picture = tokenizer.encode("una resistencia").unwrap();
    let model = Model::options().open(tutor_nano()).unwrap();
    let question = "Mira <image> y <image> bien";
    let template = model.template().unwrap();
    let text = template.render(&[Message::user(question)], &RenderOptions::default()).unwrap();
    let mut parts = text.split("<image>");
    let mut prompt = tokenizer.encode(&format!("{}[", parts.next().unwrap())).unwrap();
    for part in parts.clone() {
        let last = parts.clone().last() == Some(part);
        prompt.extend(&picture);
        prompt
            .extend(tokenizer.encode(&format!("]{part}{}", if last { "" } else { "[" })).unwrap());
    }
    let expected = expected(&prompt);
    let values = embeddings(&picture);
    for speaks in BOTH {
        let board = Board::new(speaks);
        let tags = MediaTags::new("[", "]", "*");
        let made = options(&board).with_hidden_size(HIDDEN).with_image_tags(tags.clone());
        let mut npu = made.load(board.pointer()).unwrap();
        let images = Images::new([values.clone(), values.clone()].concat(), 2, picture.len());
        let input = Input::prompt(question).with_images(images);
        assert_eq!(tokens(&mut npu, input, &RunOptions::default()), expected, "{speaks:?}");
        if speaks == Speaks::V1_3 {
            let video =
                Videos::new([values.clone(), values.clone()].concat(), 2, 1, picture.len(), tags);
            let input = Input::prompt(question.replace("<image>", "<video>")).with_videos(video);
            assert_eq!(tokens(&mut npu, input, &RunOptions::default()), expected);
        }
    }
}

#[test]
fn a_batch_says_what_each_place_says_alone() {
    let prompts: [&[u32]; 3] = [&[5, 9, 11], &[7, 100, 200, 300, 17], &[2000]];
    let expected: Vec<_> = prompts.iter().map(|prompt| expected(prompt)).collect();
    for speaks in BOTH {
        let board = Board::new(speaks);
        let mut npu = options(&board).with_batch(3).load(board.pointer()).unwrap();
        let mut found = vec![Vec::new(); 3];
        let inputs = prompts.iter().map(|prompt| Input::tokens(*prompt)).collect();
        let report = npu.run_batch(inputs, &RunOptions::default(), |output| {
            found[output.index].extend(output.token);
            Flow::Continue
        });
        assert_eq!(report.unwrap().end, End::Finished);
        assert_eq!(found, expected, "{speaks:?}");
        let sizes = npu.kv_cache_sizes().unwrap();
        for ((size, prompt), answer) in sizes.iter().zip(prompts).zip(&expected) {
            assert_eq!(*size, prompt.len() + answer.len());
        }
    }
}

#[test]
fn hidden_states_are_the_engines() {
    let ids = [3u32, 50, 700, 1999];
    let mut expected = Vec::new();
    engine()
        .forward_hidden(rkllm::Input::Tokens(&ids), Want::All, &mut |_, row| {
            expected.extend_from_slice(row);
            Ok(())
        })
        .unwrap();
    for speaks in BOTH {
        let board = Board::new(speaks);
        let mut npu = options(&board).load(board.pointer()).unwrap();
        let mut found = Vec::new();
        let asked = RunOptions::default().with_mode(Mode::LastHiddenLayer);
        // Twice: what the first run left in the cache is computed again for its outputs.
        for _ in 0..2 {
            found.clear();
            npu.run(Input::tokens(ids), &asked, |output| {
                found.extend_from_slice(output.hidden_states.unwrap().values());
                Flow::Release
            })
            .unwrap();
        }
        assert_eq!(found, expected, "{speaks:?}");
    }
}

/// A model exported without tokenizer and embedding asks for both (1.3).
#[test]
fn callbacks_stand_in_for_tokenizer_and_embedding() {
    let text = "La ley de Ohm";
    let ids = tokenizer().encode(text).unwrap();
    let board = Board::new(Speaks::V1_3);
    let file = format!("{}\ntokenizer = no\nembedding = no\n", tutor_nano().display());
    let (own, source) = (tokenizer(), engine());
    let made = options(&board)
        .with_hidden_size(HIDDEN)
        .with_tokenizer(move |text| own.encode(text))
        .with_embedding(move |ids, rows| source.embed(ids, rows));
    let mut npu = made.load(board.write("m.rkllm", &file)).unwrap();
    assert_eq!(tokens(&mut npu, text, &RunOptions::default()), expected(&ids));
    let plain = options(&board).load(board.write("n.rkllm", &file)).unwrap();
    let refused = { plain }.generate(text, &RunOptions::default());
    assert!(refused.is_err(), "no callbacks, no text");
}

#[test]
fn a_conversation_outgrows_its_context() {
    for speaks in BOTH {
        let board = Board::new(speaks);
        let made = options(&board).with_context(64).with_n_keep(8);
        let mut npu = made.load(board.pointer()).unwrap();
        let history = RunOptions::default().with_history(true);
        let mut most = 0;
        for _ in 0..8 {
            assert!(!tokens(&mut npu, "¿Qué es la ley de Ohm?", &history).is_empty());
            let size = npu.kv_cache_sizes().unwrap()[0];
            assert!(size <= 65, "{size}");
            most = most.max(size);
        }
        assert!(most > 40, "the context is used: {most}");
        // Alone, what does not fit is refused, and the next run is none the worse for it.
        let long = Input::tokens(vec![5; 65]);
        assert!(npu.run(long, &RunOptions::default(), |_| Flow::Continue).is_err());
        assert!(!tokens(&mut npu, "hola", &RunOptions::default()).is_empty());
    }
}

/// 1.3: what a run says about itself wins over what the model was loaded with.
#[test]
fn a_run_has_its_own_sampling_and_length() {
    let board = Board::new(Speaks::V1_3);
    let wild = NpuSampling::default().with_temperature(5.0).with_top_p(1.0).with_top_k(1 << 20);
    let made = options(&board).with_sampling(wild).with_ignore_eos(true);
    let mut npu = made.load(board.pointer()).unwrap();
    let prompt = [5u32, 9, 11];
    let own = RunOptions::default().with_sampling(NpuSampling::greedy()).with_max_new_tokens(5);
    let found = tokens(&mut npu, Input::tokens(prompt), &own);
    assert_eq!(found.len(), 5);
    assert!(expected(&prompt).starts_with(&found) || found.contains(&2), "{found:?}");
    let runs: Vec<_> =
        (0..3).map(|_| tokens(&mut npu, Input::tokens(prompt), &RunOptions::default())).collect();
    assert!(runs.iter().all(|run| run.len() == NEW), "the end of sequence is ignored");
    assert!(runs[0] != runs[1] || runs[1] != runs[2], "three draws at temperature 5");
}

/// A random adapter of one projection per layer, as PEFT writes it.
fn adapter(dir: &Path) {
    let config = serde_json::json!({
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 2, "lora_alpha": 8.0, "bias": "none",
        "target_modules": ["o_proj"], "lora_dropout": 0.0, "fan_in_fan_out": false,
    });
    std::fs::write(dir.join("adapter_config.json"), config.to_string()).unwrap();
    let mut state = 7u32;
    let mut values = |count: usize| -> Vec<u8> {
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        (0..count).flat_map(|_| (next() * 0.5).to_le_bytes()).collect()
    };
    let mut tensors = Vec::new();
    for layer in 0..5 {
        let name = format!("base_model.model.model.layers.{layer}.self_attn.o_proj");
        tensors.push((format!("{name}.lora_A.weight"), vec![2, HIDDEN], values(2 * HIDDEN)));
        tensors.push((format!("{name}.lora_B.weight"), vec![HIDDEN, 2], values(2 * HIDDEN)));
    }
    let views = tensors.iter().map(|(name, shape, data)| {
        (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), data).unwrap())
    });
    let path = dir.join("adapter_model.safetensors");
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

#[test]
fn a_lora_is_chosen_by_each_run() {
    let dir = tempfile::tempdir().unwrap();
    adapter(dir.path());
    let prompt = [5u32, 9, 11];
    let plain = expected(&prompt);
    let with = Model::options().with_context(CONTEXT).with_lora("l", dir.path(), 0.5);
    let mut session = with.open(tutor_nano()).unwrap().session().unwrap().with_max_tokens(NEW);
    session.generate_tokens(&prompt).unwrap().finish().unwrap();
    let adapted = session.tokens()[prompt.len()..].to_vec();
    assert_ne!(plain, adapted, "the adapter changes something");
    for speaks in BOTH {
        let board = Board::new(speaks);
        let mut npu = options(&board).load(board.pointer()).unwrap();
        npu.load_lora(dir.path(), "l", 0.5).unwrap();
        let chosen = RunOptions::default().with_lora("l");
        for _ in 0..2 {
            assert_eq!(tokens(&mut npu, Input::tokens(prompt), &RunOptions::default()), plain);
            assert_eq!(tokens(&mut npu, Input::tokens(prompt), &chosen), adapted);
        }
        assert!(npu.load_lora(board.dir(), "other", 1.0).is_err(), "no adapter there");
    }
}

#[test]
fn a_prompt_cache_of_another_model_or_a_damaged_one_is_refused() {
    let board = Board::new(Speaks::V1_3);
    let mut npu = options(&board).load(board.pointer()).unwrap();
    let path = board.dir().join("cache.bin");
    let saving = RunOptions::default().with_prompt_cache(&path);
    let first = tokens(&mut npu, "¿Qué es la ley de Ohm?", &saving);
    npu.load_prompt_cache(&path).unwrap();
    assert_eq!(tokens(&mut npu, "¿Qué es la ley de Ohm?", &RunOptions::default()), first);

    let file = board.write("q.rkllm", &format!("{}\ndtype = w8a8\n", tutor_nano().display()));
    let mut other = options(&board).load(file).unwrap();
    assert!(other.load_prompt_cache(&path).is_err(), "another scheme's");
    let good = std::fs::read(&path).unwrap();
    for damage in 0..24 {
        let mut bytes = good.clone();
        let at = damage * bytes.len() / 24;
        match damage % 3 {
            0 => bytes.truncate(at),
            1 => bytes[at] ^= 0x10,
            _ => bytes.insert(at, 0),
        }
        let bad = board.dir().join("bad.bin");
        std::fs::write(&bad, bytes).unwrap();
        assert!(npu.load_prompt_cache(&bad).is_err(), "damage {damage}");
    }
}

/// Characters of several bytes come whole, and all of them: in the callback's text, but for one that the
/// run's end cut off (it is in FINISH's text, which `rkllm::npu` does not read) and for NULs.
#[test]
fn text_is_what_its_tokens_decode_to() {
    let board = Board::new(Speaks::V1_3);
    let wild = NpuSampling::default().with_temperature(8.0).with_top_p(1.0).with_top_k(1 << 20);
    let made = options(&board).with_sampling(wild).with_max_new_tokens(100).with_ignore_eos(true);
    let mut npu = made.load(board.pointer()).unwrap();
    let tokenizer = tokenizer();
    let mut characters = 0;
    for _ in 0..4 {
        let (mut text, mut ids) = (String::new(), Vec::new());
        npu.run(Input::tokens([5u32, 9]), &RunOptions::default(), |output| {
            text += output.text;
            ids.extend(output.token);
            Flow::Continue
        })
        .unwrap();
        assert_eq!(ids.len(), 100);
        let whole = |ids: &[u32]| tokenizer.decode(ids).unwrap().replace('\0', "");
        // The last few tokens may have begun a character that none ended.
        let told = (92..=100).rev().find(|&told| whole(&ids[..told]) == text);
        let Some(told) = told else { panic!("{text:?} of {:?}, {ids:?}", whole(&ids)) };
        let unfinished = whole(&ids).ends_with('\u{fffd}');
        assert!(told == 100 || unfinished, "{told} tokens of {:?}, {ids:?}", whole(&ids));
        characters += text.chars().filter(|c| c.len_utf8() > 1 && *c != '\u{fffd}').count();
    }
    assert!(characters > 4, "{characters} characters of several bytes");
}
