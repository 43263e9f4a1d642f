//! Which matmul types the chip takes: asked once per process, by creating a small context.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rkllm_sys::rknn;

use super::Runtime;
use super::context::Context;
use super::spec::{MatmulSpec, Shape};
use crate::Result;
use crate::layout::{Chip, MatmulType};

/// A shape every chip's alignment allows, of every type.
const SHAPE: Shape = Shape { m: 4, k: 128, n: 128 };

type Answers = Mutex<Option<HashMap<(PathBuf, u32), bool>>>;

/// A process runs on one chip, so a library and a type are all an answer depends on.
static ANSWERS: Answers = Mutex::new(None);

impl Runtime {
    /// True if the chip takes this type. The vendor documents it for no chip, so a context of 4 x 128 x 128
    /// is created and destroyed; the answer holds for the process.
    ///
    /// # Errors
    /// What the runtime reports, but for the refusal of a type; that is not remembered.
    pub fn supports(&self, matmul: MatmulType) -> Result<bool> {
        let key = (self.path().to_owned(), matmul.id());
        // Held while asking: two threads ask once.
        let mut answers = ANSWERS.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = answers.get_or_insert_default();
        if let Some(&answer) = answers.get(&key) {
            return Ok(answer);
        }
        // The chip decides nothing in the struct that is passed.
        let info = MatmulSpec::new(Chip::Rk3588, matmul, SHAPE).info(SHAPE)?;
        let answer = Context::probe(self, info)?;
        answers.insert(key, answer);
        Ok(answer)
    }

    /// The types the chip takes, in the vendor's order.
    ///
    /// # Errors
    /// As [`Runtime::supports`].
    pub fn supported_types(&self) -> Result<Vec<MatmulType>> {
        let mut types = Vec::new();
        for (matmul, ..) in MatmulType::TABLE {
            if self.supports(matmul)? {
                types.push(matmul);
            }
        }
        Ok(types)
    }
}

impl Context {
    /// True if a context of this kind can be created; it is destroyed at once.
    fn probe(runtime: &Runtime, mut info: rknn::rknn_matmul_info) -> Result<bool> {
        match Self::create_raw(runtime, &mut info, &mut rknn::rknn_matmul_io_attr::default()) {
            Ok(_context) => Ok(true),
            Err((rknn::RKNN_ERR_PARAM_INVALID, _)) => Ok(false),
            Err((_, error)) => Err(error.about("asking which matmul types the NPU takes")),
        }
    }
}
