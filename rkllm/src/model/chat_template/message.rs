//! Messages of a conversation, in the JSON shape of OpenAI's chat interface.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Who says a message.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Role {
    /// Instructions for the whole conversation.
    System,
    /// The person, or the program, that asks.
    User,
    /// The model.
    Assistant,
    /// What a tool gave back.
    Tool,
    /// A role that some templates know beyond these, such as `developer`.
    Other(String),
}

impl Role {
    /// The word for templates and JSON.
    pub fn as_str(&self) -> &str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
            Self::Other(name) => name,
        }
    }
}

impl From<&str> for Role {
    fn from(name: &str) -> Self {
        match name {
            "system" => Self::System,
            "user" => Self::User,
            "assistant" => Self::Assistant,
            "tool" => Self::Tool,
            other => Self::Other(other.into()),
        }
    }
}

impl From<String> for Role {
    fn from(name: String) -> Self {
        Self::from(name.as_str())
    }
}

impl From<Role> for String {
    fn from(role: Role) -> Self {
        role.as_str().into()
    }
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// Plain text.
    Text(String),
    /// Parts such as `{"type": "text", "text": ".."}`. Where all are text, templates see them joined.
    Parts(Vec<Value>),
}

impl Content {
    /// The text, joined from its parts; `None` if a part is not text.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Parts(parts) => parts
                .iter()
                .map(|part| match part {
                    Value::String(text) => Some(text.as_str()),
                    part if part["type"] == "text" => part["text"].as_str(),
                    _ => None,
                })
                .collect(),
        }
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// The model's wish to have a tool called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// What the tool's answer refers to. Mistral's templates want nine letters or digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `function`.
    #[serde(rename = "type", default = "function")]
    pub kind: String,
    /// Which function, with which arguments.
    pub function: FunctionCall,
}

fn function() -> String {
    "function".into()
}

impl ToolCall {
    /// A call of the function `name`; `arguments` is a JSON object.
    pub fn function(name: impl Into<String>, arguments: Value) -> Self {
        let function = FunctionCall { name: name.into(), arguments };
        Self { id: None, kind: self::function(), function }
    }

    /// Gives the call an id.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }
}

/// A function and its arguments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FunctionCall {
    /// The function's name.
    pub name: String,
    /// An object, or its JSON text as OpenAI's interface has it. Templates see the object.
    #[serde(default)]
    pub arguments: Value,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What it says; null in a message that only calls tools.
    #[serde(default)]
    pub content: Option<Content>,
    /// What a reasoning model thought before it, without the tags around.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// Tools the assistant wants called.
    #[serde(default, skip_serializing_if = "none_or_empty")]
    pub tool_calls: Option<Vec<ToolCall>>,
    /// In a tool's message, the call it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// In a tool's message, the tool; else the name of who speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Fields that only some templates know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Templates ask whether the field is there, so an empty list must not be.
fn none_or_empty(calls: &Option<Vec<ToolCall>>) -> bool {
    calls.as_ref().is_none_or(Vec::is_empty)
}

impl Message {
    /// A message of text.
    pub fn new(role: impl Into<Role>, content: impl Into<Content>) -> Self {
        Self {
            role: role.into(),
            content: Some(content.into()),
            reasoning_content: None,
            tool_calls: None,
            tool_call_id: None,
            name: None,
            extra: Map::new(),
        }
    }

    /// Instructions for the whole conversation.
    pub fn system(content: impl Into<Content>) -> Self {
        Self::new(Role::System, content)
    }

    /// A question.
    pub fn user(content: impl Into<Content>) -> Self {
        Self::new(Role::User, content)
    }

    /// An answer of the model.
    pub fn assistant(content: impl Into<Content>) -> Self {
        Self::new(Role::Assistant, content)
    }

    /// What a tool gave back.
    pub fn tool(content: impl Into<Content>) -> Self {
        Self::new(Role::Tool, content)
    }

    /// A message of the assistant that says nothing and calls tools.
    pub fn tool_calls(calls: Vec<ToolCall>) -> Self {
        Self { content: None, tool_calls: Some(calls), ..Self::assistant("") }
    }

    /// Says which call a tool's message answers.
    #[must_use]
    pub fn with_tool_call_id(mut self, id: impl Into<String>) -> Self {
        self.tool_call_id = Some(id.into());
        self
    }

    /// Names the tool, or who speaks.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The text it says, empty where it only calls tools; `None` if it is not all text.
    pub fn text(&self) -> Option<String> {
        self.content.as_ref().map_or(Some(String::new()), Content::text)
    }

    /// The message as templates of the hub expect it: text instead of parts of text, arguments as
    /// objects instead of their JSON.
    pub(super) fn for_template(&self) -> Value {
        let mut message = serde_json::to_value(self).unwrap_or_else(|_| json!({}));
        if let Some(text) = self.content.as_ref().and_then(Content::text) {
            message["content"] = text.into();
        }
        let calls = message.get_mut("tool_calls").and_then(Value::as_array_mut);
        for call in calls.into_iter().flatten() {
            let arguments = &mut call["function"]["arguments"];
            let parsed = arguments.as_str().and_then(|text| serde_json::from_str(text).ok());
            if let Some(object @ Value::Object(_)) = parsed {
                *arguments = object;
            }
        }
        message
    }
}
