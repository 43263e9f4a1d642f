//! `Input`: what a run is given.

use super::media::{Images, Videos};

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Role {
    /// The user.
    #[default]
    User,
    /// A tool: the prompt is a JSON array of results.
    Tool,
}

impl Role {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Tool => "tool",
        }
    }
}

/// What one run is given, or one place of a batch.
///
/// The chat template is applied to text, with and without images. Whether the runtime applies it to token
/// ids and embeddings is not documented; `[INF]` it does not.
///
/// ```
/// use rkllm::npu::{Images, Input, Role};
///
/// let text: Input = "¿Qué es la ley de Ohm?".into();
/// let result = Input::prompt(r#"[{"celsius": 21}]"#).with_role(Role::Tool);
/// let tokens = Input::tokens([1, 15043, 3186]);
/// let picture = Input::prompt("<image>What is this?")
///     .with_images(Images::new(vec![0.0; 196 * 1536], 1, 196).with_size(392, 392));
/// # let _ = (text, result, tokens, picture);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    pub(super) payload: Payload,
    pub(super) role: Role,
    pub(super) thinking: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Payload {
    Prompt(String),
    Tokens(Vec<u32>),
    /// `[tokens][hidden size]`.
    Embeddings(Vec<f32>),
    Media(Box<Media>),
}

/// Text with markers and what they stand for.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Media {
    pub(super) prompt: String,
    pub(super) images: Option<Images>,
    pub(super) videos: Option<Videos>,
}

impl Input {
    fn new(payload: Payload) -> Self {
        Self { payload, role: Role::User, thinking: false }
    }

    /// Text.
    pub fn prompt(text: impl Into<String>) -> Self {
        Self::new(Payload::Prompt(text.into()))
    }

    /// Token ids, at least one.
    pub fn tokens(ids: impl Into<Vec<u32>>) -> Self {
        Self::new(Payload::Tokens(ids.into()))
    }

    /// Embeddings, `[tokens][hidden size]`. The model must have been loaded with its hidden size.
    pub fn embeddings(values: impl Into<Vec<f32>>) -> Self {
        Self::new(Payload::Embeddings(values.into()))
    }

    /// Adds the images that the text has `<image>` for. Tokens and embeddings given before are replaced by
    /// an empty text.
    #[must_use]
    pub fn with_images(mut self, given: Images) -> Self {
        let media = Media { images: Some(given), ..self.payload.into_media() };
        self.payload = Payload::Media(Box::new(media));
        self
    }

    /// Adds the videos that the text has `<video>` for, as [`Input::with_images`] does; 1.3.
    #[must_use]
    pub fn with_videos(mut self, given: Videos) -> Self {
        let media = Media { videos: Some(given), ..self.payload.into_media() };
        self.payload = Payload::Media(Box::new(media));
        self
    }

    /// Who speaks; the user without it.
    #[must_use]
    pub fn with_role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// Lets a model of the kind of Qwen3 think before it answers. Nothing after
    /// [`NpuModel::set_chat_template`](super::NpuModel::set_chat_template).
    #[must_use]
    pub fn with_thinking(mut self, thinking: bool) -> Self {
        self.thinking = thinking;
        self
    }
}

impl Payload {
    fn into_media(self) -> Media {
        match self {
            Self::Prompt(prompt) => Media { prompt, ..Media::default() },
            Self::Media(media) => *media,
            Self::Tokens(_) | Self::Embeddings(_) => Media::default(),
        }
    }
}

impl From<&str> for Input {
    fn from(text: &str) -> Self {
        Self::prompt(text)
    }
}

impl From<String> for Input {
    fn from(text: String) -> Self {
        Self::prompt(text)
    }
}
