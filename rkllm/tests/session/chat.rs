//! Conversations: what stays in the history, and what happens when it does not fit.

use std::sync::Arc;

use rkllm::ErrorKind;
use rkllm::model::{ChatTemplate, Message, Role, SpecialTokens, Tokenizer};
use rkllm::session::{Chat, ContextPolicy, GenerateOptions, Model, Stop};

use crate::small::{TEMPLATE, long, model, sized};

fn chat(model: &Model, tokens: usize) -> Chat {
    model.chat().with_system("be a tutor").with_options(long(tokens)).start().unwrap()
}

fn roles(chat: &Chat) -> Vec<&str> {
    chat.messages().iter().map(|message| message.role.as_str()).collect()
}

#[test]
fn a_conversation_is_what_a_fresh_one_with_its_history_says() {
    let model = model();
    let mut chat = chat(&model, 6);
    for question in ["the one", "and the other?", "why"] {
        let history = chat.messages().to_vec();
        let answer = chat.ask(question).unwrap().text().unwrap();
        let mut fresh = model.chat().with_messages(history).with_options(long(6)).start().unwrap();
        assert_eq!(fresh.ask(question).unwrap().text().unwrap(), answer);
        assert_eq!(fresh.messages(), chat.messages());
    }
    assert_eq!(
        roles(&chat),
        ["system", "user", "assistant", "user", "assistant", "user", "assistant"]
    );
}

#[test]
fn pieces_are_the_text_and_the_history() {
    let model = model();
    let mut chat = chat(&model, 20);
    let mut answer = chat.ask("the one").unwrap();
    let pieces: String = (&mut answer).map(Result::unwrap).collect();
    assert!(!pieces.is_empty());
    assert_eq!(answer.so_far(), pieces);
    assert_eq!(answer.statistics().stop, Some(Stop::MaxTokens));
    assert_eq!(answer.tokens().len(), 20);
    assert!(answer.next().is_none());
    let statistics = answer.finish().unwrap();
    assert_eq!(statistics.new_tokens, 20);
    assert!(statistics.time_to_first_token.is_some());
    assert!(statistics.prefill_tokens_per_second().unwrap() > 0.0);
    assert!(statistics.decode_tokens_per_second().unwrap() > 0.0);
    assert_eq!(chat.messages()[2], Message::assistant(pieces));
}

#[test]
fn the_second_turn_computes_only_what_is_new() {
    let model = model();
    let mut chat = chat(&model, 4);
    let first = chat.ask("the one").unwrap().finish().unwrap();
    assert_eq!(first.reused_tokens, 0);
    let second = chat.ask("two").unwrap().finish().unwrap();
    assert!(second.reused_tokens >= first.prompt_tokens, "{second:?} after {first:?}");
    // The same question again has all but the last token.
    assert!(chat.undo());
    let again = chat.ask("two").unwrap().finish().unwrap();
    assert_eq!(again.reused_tokens, again.prompt_tokens - 1);
}

#[test]
fn a_dropped_answer_stays_as_far_as_it_was_given() {
    let model = model();
    let mut chat = chat(&model, 30);
    let mut answer = chat.ask("the one").unwrap();
    let given = answer.next().unwrap().unwrap() + &answer.next().unwrap().unwrap();
    drop(answer);
    assert_eq!(roles(&chat), ["system", "user", "assistant"]);
    assert_eq!(chat.messages()[2], Message::assistant(given));
    // A question dropped before its first piece was never asked.
    drop(chat.ask("two").unwrap());
    assert_eq!(roles(&chat), ["system", "user", "assistant"]);
    assert!(chat.undo());
    assert_eq!(roles(&chat), ["system"]);
    assert!(!chat.undo());
}

#[test]
fn a_limit_of_no_tokens_computes_nothing_and_asks_nothing() {
    let model = model();
    let mut chat = chat(&model, 0);
    let statistics = chat.ask("the one").unwrap().finish().unwrap();
    assert_eq!((statistics.stop, statistics.new_tokens), (Some(Stop::MaxTokens), 0));
    assert_eq!(roles(&chat), ["system"]);
    assert!(chat.session().tokens().is_empty());
}

#[test]
fn what_the_template_refuses_changes_nothing() {
    let model = model();
    let mut chat = chat(&model, 4);
    chat.push(Message::user("one"));
    let error = chat.ask("two").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    assert!(error.to_string().contains("roles must alternate"), "{error}");
    assert_eq!(roles(&chat), ["system", "user"]);
    // The one that was pushed can be answered.
    chat.respond().unwrap().finish().unwrap();
    assert_eq!(roles(&chat), ["system", "user", "assistant"]);
    chat.push(Message::tool("42"));
    chat.respond().unwrap().finish().unwrap();
    assert_eq!(roles(&chat), ["system", "user", "assistant", "tool", "assistant"]);
    chat.messages_mut().clear();
    assert_eq!(chat.respond().unwrap_err().kind(), ErrorKind::Input);
}

#[test]
fn a_template_without_system_messages_says_so() {
    let model = model();
    let source = "{% for m in messages %}{% if m.role == 'system' %}\
                  {{ raise_exception('System role not supported') }}{% endif %}{{ m.content }}{% endfor %}";
    let template = Arc::new(ChatTemplate::new(source, SpecialTokens::default()).unwrap());
    let mut chat = model.chat().with_system("be").with_template(template).start().unwrap();
    let error = chat.ask("why").unwrap_err();
    assert!(error.to_string().contains("System role not supported"), "{error}");
    assert_eq!(roles(&chat), ["system"]);
}

#[test]
fn a_model_without_a_template_says_what_to_do() {
    let checkpoint = rkllm::model::Checkpoint::open(
        crate::common::data("golden/llama-f32"),
        rkllm::model::Load::Map,
    )
    .unwrap();
    let tokenizer = Tokenizer::from_json(&crate::small::tokenizer_json()).unwrap();
    let model = crate::small::options().build(&checkpoint, tokenizer).unwrap();
    let error = model.chat().start().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing);
    let hint = error.hint().unwrap();
    assert!(hint.contains("generate") && hint.contains("with_template"), "{hint}");
}

#[test]
fn a_conversation_that_does_not_fit_is_refused_with_nothing_lost() {
    let model = sized(48);
    let mut chat = chat(&model, 2);
    chat.ask("the one").unwrap().finish().unwrap();
    let before = chat.messages().to_vec();
    let error = chat.ask("x".repeat(60)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Context);
    assert!(error.hint().unwrap().contains("Slide"), "{error}");
    assert_eq!(chat.messages(), before);
    chat.ask("two").unwrap().finish().unwrap();
}

#[test]
fn an_answer_ends_where_the_context_is_full() {
    let model = sized(40);
    let mut chat = model.chat().with_options(long(1000)).start().unwrap();
    let statistics = chat.ask("the one").unwrap().finish().unwrap();
    assert_eq!(statistics.stop, Some(Stop::Context));
    // The last token is known without a place for it.
    assert_eq!(statistics.prompt_tokens + statistics.new_tokens, 41);
    assert_eq!(chat.ask("two").unwrap_err().kind(), ErrorKind::Context);
}

fn sliding(model: &Model, tokens: usize) -> Chat {
    model
        .chat()
        .with_system("be a tutor")
        .with_options(long(tokens))
        .with_context_policy(ContextPolicy::Slide)
        .start()
        .unwrap()
}

#[test]
fn sliding_drops_whole_exchanges_and_answers_as_a_fresh_chat_would() {
    let model = sized(96);
    let mut chat = sliding(&model, 8);
    let mut dropped = 0;
    for turn in 0..12 {
        let before = chat.messages().to_vec();
        let question = format!("the {turn} one?");
        let mut answer = chat.ask(question.clone()).unwrap();
        let text: String = (&mut answer).map(Result::unwrap).collect();
        let statistics = answer.finish().unwrap();
        assert_eq!(statistics.stop, Some(Stop::MaxTokens));
        dropped += statistics.dropped_messages;
        // The system message stays, exchanges go from the front, two messages each.
        assert_eq!(chat.messages()[0], before[0]);
        assert_eq!(statistics.dropped_messages % 2, 0);
        let kept = &before[1 + statistics.dropped_messages..];
        assert_eq!(&chat.messages()[1..=kept.len()], kept);
        assert_eq!(chat.messages().len(), 1 + kept.len() + 2);

        let history = [&before[..1], kept].concat();
        let mut fresh = model.chat().with_messages(history).with_options(long(8)).start().unwrap();
        assert_eq!(fresh.ask(question).unwrap().text().unwrap(), text, "turn {turn}");
        assert_eq!(fresh.session().tokens(), chat.session().tokens(), "turn {turn}");
    }
    assert!(dropped >= 8, "only {dropped} messages went");
}

#[test]
fn sliding_in_mid_answer_goes_on_as_recomputing_would() {
    let model = sized(64);
    let mut chat = sliding(&model, 3);
    chat.ask("the one").unwrap().finish().unwrap();
    chat.ask("on the two").unwrap().finish().unwrap();
    let before = chat.messages().to_vec();
    // No limit: a quarter of the context is kept free, then the answer fills the rest.
    *chat.options_mut() = GenerateOptions::default().with_max_tokens(40).with_ignore_eos(true);
    let mut answer = chat.ask("why").unwrap();
    let mut slid_at = None;
    while let Some(piece) = answer.next() {
        piece.unwrap();
        if slid_at.is_none() && answer.statistics().dropped_messages == 4 {
            slid_at = Some(answer.tokens().len() - 1);
        }
    }
    let tokens = answer.tokens().to_vec();
    let statistics = answer.finish().unwrap();
    assert_eq!(tokens.len(), 40, "{statistics:?}");
    assert_eq!(statistics.dropped_messages, 4, "{statistics:?}");
    let slid_at = slid_at.unwrap();
    assert!(slid_at > 3, "in mid-answer, not before: {slid_at}");

    // A fresh session given the shorter history and the answer so far says the same from there.
    let template = model.template().unwrap();
    let history = [before[0].clone(), Message::user("why")];
    let prompt = template.render(&history, &Default::default()).unwrap();
    let mut prompt = model.tokenizer().unwrap().encode_chat(&prompt).unwrap();
    prompt.extend(&tokens[..slid_at]);
    let mut fresh = model.session().unwrap().with_options(long(40 - slid_at));
    let mut rest = fresh.generate_tokens(&prompt).unwrap();
    rest.by_ref().for_each(|piece| drop(piece.unwrap()));
    assert_eq!(rest.tokens(), &tokens[slid_at..]);
    drop(rest);
    assert_eq!(fresh.tokens(), chat.session().tokens());
    assert_eq!(chat.messages()[1], Message::user("why"));
}

#[test]
fn a_question_too_long_for_any_slide_is_refused() {
    let model = sized(48);
    let mut chat = sliding(&model, 4);
    chat.ask("one").unwrap().finish().unwrap();
    let before = chat.messages().to_vec();
    let error = chat.ask("x".repeat(60)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Context);
    assert_eq!(chat.messages(), before);
}

#[test]
fn the_builder_refuses_what_means_nothing() {
    let model = model();
    let start = |options: GenerateOptions| model.chat().with_options(options).start();
    let hot = rkllm::session::Sampling::default().with_temperature(f32::NAN);
    let error = start(GenerateOptions::default().with_sampling(hot)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    let error = start(GenerateOptions::default().with_stop([""])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    // A later change is found when it is used, with nothing lost.
    let mut chat = start(long(2)).unwrap();
    *chat.options_mut() = GenerateOptions::default().with_stop(["x", ""]);
    assert_eq!(chat.ask("one").unwrap_err().kind(), ErrorKind::Input);
    assert!(chat.messages().is_empty());
}

#[test]
fn system_comes_first_however_the_chat_is_built() {
    let model = model();
    let history = [Message::user("one"), Message::assistant("two")];
    let chat = model.chat().with_messages(history).with_system("be").start().unwrap();
    assert_eq!(roles(&chat), ["system", "user", "assistant"]);
    assert_eq!(chat.messages()[0].role, Role::System);
    let mut chat = chat;
    chat.clear();
    assert_eq!(roles(&chat), ["system"]);
    // The template is the one the tests give.
    let prompt = model.template().unwrap().render(chat.messages(), &Default::default()).unwrap();
    assert_eq!(prompt, "<|system|>be</s><|assistant|>");
    assert!(TEMPLATE.contains("eos_token"));
}
