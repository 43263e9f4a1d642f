//! What a parent and its worker say to each other.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use rkllm_sys::Abi;

use super::lock::LockPolicy;
use crate::npu::llm::{CrossAttention, Flow, Input, Report, RunOptions, Settings, Told};
use crate::npu::wire::{Malformed, Rest, Taken, Wire, wire_enum, wire_messages, wire_struct};
use crate::{Error, ErrorKind};

/// Both sides are of one release, or do not speak at all: an application and a `rkllm` on its path may
/// be of different ones.
pub(super) const PROTOCOL: &str = concat!("rkllm-worker-1/", env!("CARGO_PKG_VERSION"));

/// What a worker is to load, and how.
#[derive(Clone)]
pub(super) struct Load {
    pub(super) model: PathBuf,
    pub(super) settings: Settings,
    /// The library; where it is looked for without it, is the worker's environment to say.
    pub(super) library: Option<PathBuf>,
    pub(super) assume_abi: Option<Abi>,
    pub(super) require_abi: Option<Abi>,
    pub(super) allow_sve: bool,
    pub(super) lock: LockPolicy,
}

wire_struct!(Load { model, settings, library, assume_abi, require_abi, allow_sve, lock });

impl Wire for LockPolicy {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::None => out.push(0),
            Self::Fail => out.push(1),
            Self::Wait(most) => {
                out.push(2);
                most.put(out);
            }
        }
    }

    fn take(rest: &mut Rest<'_>) -> Taken<Self> {
        Ok(match u8::take(rest)? {
            0 => Self::None,
            1 => Self::Fail,
            2 => Self::Wait(Duration::take(rest)?),
            other => return Err(Malformed(format!("a lock policy {other}"))),
        })
    }
}

/// What is known of a model once it is loaded.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Facts {
    pub(super) abi: Abi,
    pub(super) library: PathBuf,
    pub(super) version: Option<String>,
    pub(super) context: usize,
    pub(super) max_new_tokens: usize,
    pub(super) batch: usize,
    pub(super) hidden_size: Option<usize>,
}

wire_struct!(Facts { abi, library, version, context, max_new_tokens, batch, hidden_size });

wire_messages! {
    /// What a parent sends.
    #[derive(Clone)]
    pub(super) enum Request {
        /// The first message, once.
        0 Load { load: Box<Load> },
        1 Run { number: u64, inputs: Vec<Input>, options: RunOptions },
        /// The answer to an output.
        2 Flow { flow: Flow },
        /// Ends the run of this number, now or when it begins.
        3 Abort { number: u64 },
        4 LoadLora { path: PathBuf, name: String, scale: f32 },
        5 LoadPromptCache { path: PathBuf },
        6 ReleasePromptCache {},
        7 KvCacheSizes {},
        8 ClearKvCache { keep_system_prompt: bool },
        9 ClearKvRanges { ranges: Vec<Range<usize>> },
        10 SetChatTemplate { system: String, prefix: String, postfix: String },
        11 SetFunctionTools { system: String, tools: String, response_tag: String },
        12 SetCrossAttention { state: CrossAttention },
        13 SetVocabSize { tokens: usize },
        /// Frees the model and ends.
        14 Quit {},
    }
}

wire_messages! {
    /// What a worker sends.
    pub(super) enum Reply {
        /// The first message.
        0 Hello { protocol: String },
        /// The NPU is this worker's, and loading begins.
        1 Locked {},
        2 Loaded { facts: Facts },
        /// An output of a run, to be answered by a flow.
        3 Output { told: Told },
        4 Done { report: Report },
        5 Ok {},
        6 Sizes { sizes: Vec<usize> },
        /// `mark` is in the log after all that the runtime wrote before it failed.
        7 Failed { failure: Failed, mark: u64 },
    }
}

/// The tag of [`Reply::Output`], for one that is written without owning its floats.
pub(super) const OUTPUT: u8 = 3;

/// An error as it crosses.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Failed {
    pub(super) kind: ErrorKind,
    pub(super) subject: Option<String>,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

wire_struct!(Failed { kind, subject, message, hint });
wire_enum!(ErrorKind {
    Io,
    Format,
    Missing,
    Dtype,
    Shape,
    Unsupported,
    Quantization,
    Kernel,
    Tokenizer,
    Input,
    Context,
    NonFinite,
    Checksum,
    Cancelled,
    Memory,
    Abi,
    Runtime,
    Crashed,
    Timeout,
    Busy,
});

impl Failed {
    pub(super) fn new(error: &Error) -> Self {
        Self {
            kind: error.kind(),
            subject: error.subject().map(str::to_owned),
            message: error.message().to_owned(),
            hint: error.hint().map(str::to_owned),
        }
    }

    pub(super) fn into_error(self) -> Error {
        let mut error = Error::new(self.kind, self.message);
        if let Some(subject) = self.subject {
            error = error.about(subject);
        }
        match self.hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::npu::llm::{Images, MediaTags, NpuOptions, NpuSampling, Role};
    use crate::npu::wire::message;

    fn bytes(value: &impl Wire) -> Vec<u8> {
        let mut out = Vec::new();
        value.put(&mut out);
        out
    }

    #[test]
    fn inputs_and_options_come_back() {
        let tags = MediaTags::new("<a>", "</a>", "<pad>");
        let inputs = vec![
            "¿qué?".into(),
            Input::tokens([1, u32::MAX]).with_role(Role::Tool).with_thinking(true),
            Input::embeddings([0.5, -0.0]),
            Input::prompt("<image>")
                .with_images(Images::new([1.0; 6], 1, 3).with_size(7, 9).with_tags(tags)),
        ];
        assert_eq!(message::<Vec<Input>>(&bytes(&inputs)).unwrap(), inputs);
        let options = RunOptions::default()
            .with_history(true)
            .with_lora("x")
            .with_prompt_cache("/tmp/cache")
            .with_sampling(NpuSampling::greedy())
            .with_max_new_tokens(5);
        assert_eq!(message::<RunOptions>(&bytes(&options)).unwrap(), options);
    }

    #[test]
    fn closures_do_not_cross() {
        let options = NpuOptions::default().with_tokenizer(|_| Ok(vec![1]));
        let error = Settings::new(options).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("with_tokenizer"), "{error}");
    }

    #[test]
    fn errors_keep_kind_words_and_advice() {
        for kind in [ErrorKind::Io, ErrorKind::Busy, ErrorKind::Runtime, ErrorKind::Context] {
            let error = Error::new(kind, "m").about("s").with_hint("h");
            let back: Failed = message(&bytes(&Failed::new(&error))).unwrap();
            let back = back.into_error();
            assert_eq!((back.kind(), back.to_string()), (kind, error.to_string()));
        }
        assert!(message::<ErrorKind>(&[u8::MAX]).is_err());
    }
}
