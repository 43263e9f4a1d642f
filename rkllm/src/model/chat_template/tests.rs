use std::fs;
use std::time::Instant;

use serde_json::{Value, json};

use super::strftime::Moment;
use super::{ChatTemplate, Content, Message, RenderOptions, Role, SpecialTokens, ToolCall};
use crate::{Error, ErrorKind, Result};

fn render(source: &str, messages: &[Message]) -> Result<String> {
    ChatTemplate::new(source, SpecialTokens::default())?.render(messages, &RenderOptions::default())
}

fn failure(source: &str) -> Error {
    render(source, &[Message::user("x")]).unwrap_err()
}

fn open(files: &[(&str, &str)]) -> Result<Option<ChatTemplate>> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    ChatTemplate::open(dir.path())
}

const CONFIG: &str = r#"{
    "chat_template": "config {{ bos_token }}{{ eos_token }}{{ pad_token }}",
    "bos_token": {"content": "<b>", "lstrip": false}, "eos_token": "<e>", "pad_token": null,
    "add_bos_token": true}"#;

#[test]
fn a_directory_says_its_template_and_tokens() {
    let render = |files: &[(&str, &str)]| {
        let template = open(files).unwrap().unwrap();
        template.render(&[Message::user("x")], &RenderOptions::default()).unwrap()
    };
    assert!(open(&[]).unwrap().is_none());
    assert!(open(&[("tokenizer_config.json", "{}")]).unwrap().is_none());
    assert!(open(&[("tokenizer_config.json", r#"{"chat_template": null}"#)]).unwrap().is_none());
    assert_eq!(render(&[("tokenizer_config.json", CONFIG)]), "config <b><e>");
    let map = r#"{"pad_token": "<p>", "eos_token": "other", "additional_special_tokens": ["a"]}"#;
    let files = [("tokenizer_config.json", CONFIG), ("special_tokens_map.json", map)];
    assert_eq!(render(&files), "config <b><e><p>");
    let files =
        [("tokenizer_config.json", CONFIG), ("chat_template.jinja", "file {{ bos_token }}")];
    assert_eq!(render(&files), "file <b>");
}

#[test]
fn a_list_of_templates_has_one_for_tools() {
    let list = r#"{"chat_template": [{"name": "default", "template": "plain"},
        {"name": "tool_use", "template": "tools {{ tools | length }}"}]}"#;
    let template = open(&[("tokenizer_config.json", list)]).unwrap().unwrap();
    let messages = [Message::user("x")];
    let mut options = RenderOptions::default();
    assert_eq!(template.render(&messages, &options).unwrap(), "plain");
    options.tools = vec![json!({}), json!({})];
    assert_eq!(template.render(&messages, &options).unwrap(), "tools 2");

    let only = r#"{"chat_template": [{"name": "tool_use", "template": "x"}]}"#;
    let template = open(&[("tokenizer_config.json", only)]).unwrap().unwrap();
    let error = template.render(&messages, &RenderOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing);
}

#[test]
fn broken_files_and_templates_are_named_with_the_line() {
    for (files, words) in [
        ([("tokenizer_config.json", "{")], vec!["tokenizer_config.json", "JSON"]),
        ([("tokenizer_config.json", r#"{"chat_template": 7}"#)], vec!["chat_template", "7"]),
        ([("tokenizer_config.json", r#"{"chat_template": [{"name": 1}]}"#)], vec!["a list"]),
        ([("tokenizer_config.json", r#"{"bos_token": 7}"#)], vec!["bos_token", "7"]),
        ([("chat_template.jinja", "a\nb\n{% if x %}")], vec!["chat_template.jinja", "line 3"]),
        ([("chat_template.jinja", "{{ x | nonsense }}")], vec!["line 1", "nonsense"]),
    ] {
        let result = open(&files)
            .map(|template| template.unwrap().render(&[], &RenderOptions::default()).map(|_| ()));
        let error = result.and_then(|inner| inner).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format, "{error}");
        assert!(error.hint().is_some(), "{error}");
        for word in words {
            assert!(error.to_string().contains(word), "{error} lacks {word}");
        }
    }
}

#[test]
fn what_a_template_raises_is_the_callers_error() {
    let source =
        "\n{% if messages[0].role == 'user' %}{{ raise_exception('no users, please') }}{% endif %}";
    let error = failure(source);
    assert_eq!(error.kind(), ErrorKind::Input);
    assert_eq!(error.subject(), Some("chat template"));
    assert!(
        error.to_string().contains("line 2: the template refuses these messages: no users, please")
    );
    let error = failure("{% macro m() %}{{ raise_exception('deep') }}{% endmacro %}{{ m() }}");
    assert_eq!((error.kind(), error.to_string().contains("deep")), (ErrorKind::Input, true));
    let error = failure("{{ messages[0].nothing.more }}");
    assert_eq!(error.kind(), ErrorKind::Format);
    assert!(error.to_string().contains("lacks a field"), "{error}");
}

#[test]
fn hostile_templates_come_to_an_end() {
    let start = Instant::now();
    let long = "{% for i in range(99999) %}".repeat(3) + "x" + &"{% endfor %}".repeat(3);
    let nested = "{% set ns = namespace(x=0) %}{% for i in range(99999) %}{% for j in range(99) %}\
                  {% set ns.x = [ns.x] %}{% endfor %}{% endfor %}";
    for (source, word) in [
        (long.as_str(), "fuel"),
        (nested, "fuel"),
        ("{% for i in range(99999) %}{{ 'xxxxxxxxxx' * 999999 }}{% endfor %}", "bytes of text"),
        ("{{ 'x' * 999999999999 }}", "too large"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "recursion"),
        ("{% include 'default' %}", "include"),
        ("{% include '/etc/passwd' %}", "not found"),
        ("{{ tools | tojson(indent=99999999999) }}", "indent"),
        ("{{ strftime_now('%Q') }}", "%Q"),
        ("{{ 'a'.split('') }}", "separator"),
        ("{{ range(99999999) }}", "too many"),
        ("{{ messages | tojson(nothing=1) }}", "nothing"),
        ("{{ x | tojson }}", "undefined is not JSON"),
    ] {
        let error = failure(source);
        assert_eq!(error.kind(), ErrorKind::Format, "{error}");
        assert!(error.to_string().contains(word), "{error} lacks {word}");
    }
    // Whether these are templates does not matter; that they end does.
    for source in [
        "(".repeat(500_000),
        format!("{{{{ {}1 }}}}", "(".repeat(500_000)),
        format!("{{{{ {}1 }}}}", "-".repeat(100_000)),
        format!("{{{{ {}1{} }}}}", "[".repeat(100_000), "]".repeat(100_000)),
        format!("{{{{ 1{} }}}}", " + 1".repeat(200_000)),
        format!("{{{{ x{} }}}}", "|trim".repeat(150_000)),
        "{% if x %}".repeat(50_000),
    ] {
        let _ = render(&source, &[]);
    }
    let error = failure(&"x".repeat(super::MAX_SOURCE + 1));
    assert!(error.to_string().contains("at most"), "{error}");
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}

#[test]
fn messages_have_the_json_shape_of_openai() {
    let text = r#"{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function",
        "function":{"name":"f","arguments":"{\"b\": 1, \"a\": [2]}"}}],"refusal":null}"#;
    let message: Message = serde_json::from_str(text).unwrap();
    assert_eq!(message.role, Role::Assistant);
    assert_eq!((message.content.clone(), message.text()), (None, Some(String::new())));
    let back: Value = serde_json::to_value(&message).unwrap();
    assert_eq!(back, serde_json::from_str::<Value>(text).unwrap());
    // Arguments reach the template as an object, in their order.
    let source =
        "{{ messages[0].tool_calls[0].function | tojson }} {{ messages[0].content is none }}";
    assert_eq!(
        render(source, &[message]).unwrap(),
        r#"{"name": "f", "arguments": {"b": 1, "a": [2]}} True"#
    );

    let parts = json!({"role": "user", "content": [{"type": "text", "text": "a"},
        {"type": "text", "text": "b"}], "name": "eve"});
    let message: Message = serde_json::from_value(parts).unwrap();
    assert_eq!(message.text().as_deref(), Some("ab"));
    assert_eq!(
        render("{{ messages[0].content }}{{ messages[0].name }}", &[message]).unwrap(),
        "abeve"
    );
    let image = Message::user(Content::Parts(vec![json!({"type": "image"})]));
    assert_eq!(image.text(), None);
    assert_eq!(render("{{ messages[0].content[0].type }}", &[image]).unwrap(), "image");

    let plain = serde_json::to_value(Message::system("hi")).unwrap();
    assert_eq!(plain, json!({"role": "system", "content": "hi"}));
    let call = ToolCall::function("f", json!({"x": 1})).with_id("c2");
    let asked = serde_json::to_value(Message::tool_calls(vec![call])).unwrap();
    assert_eq!(asked["tool_calls"][0]["type"], "function");
    assert!(asked["content"].is_null());
    let reply = serde_json::to_value(Message::tool("1").with_tool_call_id("c2")).unwrap();
    assert_eq!(reply, json!({"role": "tool", "content": "1", "tool_call_id": "c2"}));
    assert_eq!(Role::from("developer").as_str(), "developer");
    assert!(serde_json::from_str::<Message>(r#"{"content": "x"}"#).is_err(), "no role");
}

#[test]
fn options_reach_the_template() {
    let source = "{{ enable_thinking is defined }} {{ enable_thinking }} {{ tools is none }} \
                  {{ documents }} {{ date_string }} {{ bos_token }} {{ add_generation_prompt }}";
    let special = SpecialTokens::default().with("bos_token", "<b>");
    let template = ChatTemplate::new(source, special).unwrap();
    assert_eq!(template.special_tokens().get("bos_token"), Some("<b>"));
    let mut options = RenderOptions::default();
    assert_eq!(template.render(&[], &options).unwrap(), "False  True None  <b> True");
    options.enable_thinking = Some(false);
    options.add_generation_prompt = false;
    options.extra.insert("date_string".into(), "today".into());
    options.extra.insert("bos_token".into(), "<other>".into());
    options.extra.insert("messages".into(), "not these".into());
    assert_eq!(template.render(&[], &options).unwrap(), "True False True None today <other> False");
}

#[test]
fn dates_are_pythons() {
    let format = |date: &str, format: &str| Moment::of(Some(date)).unwrap().format(format).unwrap();
    assert_eq!(format("2024-02-29", "%d %B %Y, %a %j"), "29 February 2024, Thu 060");
    assert_eq!(format("1999-12-31T23:59:58", "%D %T %I%p"), "12/31/99 23:59:58 11PM");
    assert_eq!(format("1970-01-01", "%A %F %I %-I %f"), "Thursday 1970-01-01 12 12 000000");
    assert_eq!(format("1900-03-01 00:05:00", "%a %-d %e %b %-M"), "Thu 1  1 Mar 5");
    assert_eq!(format("9999-12-31", "%F %j"), "9999-12-31 365");
    for wrong in ["", "2023-02-29", "2024-13-01", "2024-1", "x", "2024-01-01T25:00:00", "-1-1-1"] {
        let error = Moment::of(Some(wrong)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input, "{wrong}");
    }
    let now = Moment::of(None).unwrap().format("%Y").unwrap();
    assert!(now.parse::<i32>().unwrap() >= 2025, "{now}");
}
