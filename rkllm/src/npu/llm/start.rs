//! `rkllm_init`.

use std::ffi::c_void;
use std::ptr::null_mut;

use rkllm_sys::{RkllmApi, v1_3};

use super::callback;
use super::memory::{Lent, Memory, Roomy};
use super::param::{Init, Param};
use super::registry;
use super::runtime::check;
use crate::{Error, ErrorKind, Result};

/// The error of a runtime that said 0 and gave no handle, as 1.1 did.
pub(super) const NULL_HANDLE: &str = "rkllm_init returned 0 without a handle";

/// The runtime's handle.
#[derive(Debug, Clone, Copy)]
pub(super) struct Handle(pub(super) *mut c_void);

// SAFETY: Rockchip's server demo loads on one thread and runs on others, one at a time, which is what the
// lock around the handle allows. Abort and is_running are made for other threads.
unsafe impl Send for Handle {}

/// Calls `rkllm_init`; callbacks get `number`.
pub(super) fn start(api: &RkllmApi, init: Init, number: u64) -> Result<(Handle, Memory)> {
    let userdata = registry::userdata(number);
    let mut handle = null_mut();
    let (code, lent) = match (api, init.param) {
        (RkllmApi::V1_2(functions), Param::V1_2(param)) => {
            let mut lent = vec![Roomy::new(param)];
            let pointer = lent.as_mut_ptr().cast();
            // SAFETY: a struct of this ABI with pointers that hold as long as the handle.
            let code = unsafe {
                (functions.rkllm_init)(&raw mut handle, pointer, Some(callback::result_1_2))
            };
            (code, Lent::V1_2 { _param: lent })
        }
        (RkllmApi::V1_3(functions), Param::V1_3(param)) => {
            let mut lent = vec![Roomy::new(param)];
            let mut callbacks = vec![v1_3::RKLLMCallback {
                result_callback: Some(callback::result_1_3),
                result_userdata: userdata,
                tokenizer_callback: init.has_tokenizer.then_some(callback::tokenizer),
                tokenizer_userdata: userdata,
                embed_callback: init.has_embedding.then_some(callback::embedding),
                embed_userdata: userdata,
            }];
            let (pointer, of_callbacks) = (lent.as_mut_ptr().cast(), callbacks.as_mut_ptr());
            // SAFETY: as above.
            let code = unsafe { (functions.rkllm_init)(&raw mut handle, pointer, of_callbacks) };
            (code, Lent::V1_3 { _param: lent, _callbacks: callbacks })
        }
        _ => return Err(Error::new(ErrorKind::Abi, "parameters of the other ABI")),
    };
    check("rkllm_init", code).map_err(|error| {
        error.with_hint(
            "the runtime writes the cause to standard error: too large a context, too little NPU \
             memory (another base domain may help), a model for another SoC or an older driver",
        )
    })?;
    if handle.is_null() {
        return Err(Error::new(ErrorKind::Runtime, NULL_HANDLE)
            .with_hint("the file may be of an older toolkit or another SoC: convert it again"));
    }
    Ok((Handle(handle), Memory::new(lent, init.arena)))
}
