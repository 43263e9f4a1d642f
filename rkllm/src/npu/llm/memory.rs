//! Memory the runtime was pointed to, and how long it stays.

use std::collections::BTreeMap;

use rkllm_sys::{v1_2, v1_3};

use super::arena::Arena;
use super::prepare::Prepared;

/// A parameter struct with room behind it, in case the library reads a longer one.
#[repr(C)]
pub(super) struct Roomy<T> {
    param: T,
    _room: [u64; 32],
}

impl<T> Roomy<T> {
    pub(super) fn new(param: T) -> Self {
        Self { param, _room: [0; 32] }
    }
}

/// What `rkllm_init` was pointed to. Whether it copies is not documented, so it stays as long as the handle.
pub(super) enum Lent {
    V1_2 { _param: Vec<Roomy<v1_2::RKLLMParam>> },
    V1_3 { _param: Vec<Roomy<v1_3::RKLLMParam>>, _callbacks: Vec<v1_3::RKLLMCallback> },
}

// SAFETY: written once before it is lent; its pointers go to memory that lives as long.
unsafe impl Send for Lent {}

/// All that a handle may still look at.
#[derive(Default)]
pub(super) struct Memory {
    _lent: Option<Lent>,
    /// Of its pointers.
    _arena: Arena,
    /// The arguments of the last run.
    pub(super) last: Option<Prepared>,
    /// Arrays and strings of other calls, by the function.
    kept: BTreeMap<&'static str, Vec<Arena>>,
}

/// What becomes of the memory a function was handed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Earlier {
    /// It stays, because what it says still holds.
    Stays,
    /// It goes when the function took something else in its place.
    Goes,
}

impl Memory {
    pub(super) fn new(lent: Lent, arena: Arena) -> Self {
        Self { _lent: Some(lent), _arena: arena, ..Self::default() }
    }

    /// Keeps what a function was handed. After a failure nobody knows what it holds on to: both stay.
    pub(super) fn keep(
        &mut self,
        function: &'static str,
        arena: Arena,
        earlier: Earlier,
        code: i32,
    ) {
        let kept = self.kept.entry(function).or_default();
        if earlier == Earlier::Goes && code == 0 {
            kept.clear();
        }
        kept.push(arena);
    }
}
