//! Memory that C reads while Rust owns it.

use std::ffi::{c_char, c_float};
use std::path::Path;

use super::runtime::{c_path, c_string};
use crate::Result;

/// Owns what pointers in vendor structs point to; the pointers hold as long as it does.
///
/// `Vec`s of `Vec`s: what is inside does not move when the outer ones grow.
#[derive(Debug, Default)]
pub(super) struct Arena {
    texts: Vec<Vec<u8>>,
    floats: Vec<Vec<c_float>>,
    ids: Vec<Vec<i32>>,
}

impl Arena {
    /// A C string; `what` names it in the error for a NUL inside.
    pub(super) fn text(&mut self, what: &str, text: &str) -> Result<*const c_char> {
        Ok(self.keep(c_string(what, text)?.into_bytes_with_nul()))
    }

    /// A path as a C string.
    pub(super) fn path(&mut self, path: &Path) -> Result<*const c_char> {
        Ok(self.keep(c_path(path)?.into_bytes_with_nul()))
    }

    fn keep(&mut self, bytes: Vec<u8>) -> *const c_char {
        let pointer = bytes.as_ptr().cast();
        self.texts.push(bytes);
        pointer
    }

    /// Floats. Not const: the vendor's structs declare them so.
    pub(super) fn floats(&mut self, mut values: Vec<f32>) -> *mut f32 {
        let pointer = values.as_mut_ptr();
        self.floats.push(values);
        pointer
    }

    /// Token ids or positions.
    pub(super) fn ids(&mut self, mut values: Vec<i32>) -> *mut i32 {
        let pointer = values.as_mut_ptr();
        self.ids.push(values);
        pointer
    }
}
