//! Every context of the process, by id.

use std::sync::{Arc, Mutex};

use super::matmul::Matmul;
use super::session::Session;
use super::slab::Slab;
use super::{Answer, Code, lock, log, memory};

/// A context that lives. Its calls go one at a time, whatever thread they come from.
#[derive(Clone)]
enum Context {
    Matmul(Arc<Mutex<Matmul>>),
    Model(Arc<Mutex<Session>>),
}

static CONTEXTS: Mutex<Slab<Context>> = Mutex::new(Slab::new());

/// Contexts and memories that live: for tests.
pub fn alive() -> usize {
    lock(&CONTEXTS).len() + memory::alive()
}

pub(super) fn add_matmul(matmul: Matmul) -> u64 {
    lock(&CONTEXTS).insert(Context::Matmul(Arc::new(Mutex::new(matmul))))
}

pub(super) fn add_session(session: Session) -> u64 {
    lock(&CONTEXTS).insert(Context::Model(Arc::new(Mutex::new(session))))
}

fn find(id: u64) -> Answer<Context> {
    lock(&CONTEXTS).get(id).cloned().ok_or_else(|| {
        log::refuse(Code::CTX_INVALID, format_args!("{id:#x} is no context that lives"))
    })
}

/// Of either kind.
pub(super) fn expect(id: u64) -> Answer {
    find(id).map(|_| ())
}

/// Does something with a matmul context, alone.
pub(super) fn with_matmul<T>(id: u64, act: impl FnOnce(&mut Matmul) -> Answer<T>) -> Answer<T> {
    match find(id)? {
        Context::Matmul(matmul) => act(&mut lock(&matmul)),
        Context::Model(_) => {
            Err(log::refuse(Code::CTX_INVALID, format_args!("{id:#x} is a model's context")))
        }
    }
}

/// Does something with a model's context, alone.
pub(super) fn with_session<T>(id: u64, act: impl FnOnce(&mut Session) -> Answer<T>) -> Answer<T> {
    match find(id)? {
        Context::Model(session) => act(&mut lock(&session)),
        Context::Matmul(_) => {
            Err(log::refuse(Code::CTX_INVALID, format_args!("{id:#x} is a matmul's context")))
        }
    }
}

/// True if it is a matmul's.
pub(super) fn is_matmul(id: u64) -> Answer<bool> {
    Ok(matches!(find(id)?, Context::Matmul(_)))
}

/// `rknn_matmul_destroy`: waits for a run that another thread has begun.
///
/// # Errors
/// A context that is dead or a model's.
pub fn destroy_matmul(id: u64) -> Answer {
    end(id, true)
}

/// `rknn_destroy`: waits for a run that another thread has begun. Results that were handed out go with it.
///
/// # Errors
/// A context that is dead or a matmul's.
pub fn destroy(id: u64) -> Answer {
    end(id, false)
}

fn end(id: u64, matmul: bool) -> Answer {
    if is_matmul(id)? != matmul {
        let other = if matmul { "rknn_destroy" } else { "rknn_matmul_destroy" };
        return Err(log::refuse(
            Code::CTX_INVALID,
            format_args!("{id:#x} is for {other} to destroy"),
        ));
    }
    // Another thread may have been faster.
    let gone = lock(&CONTEXTS).remove(id).ok_or(Code::CTX_INVALID)?;
    match gone {
        Context::Matmul(matmul) => drop(lock(&matmul)),
        Context::Model(session) => drop(lock(&session)),
    }
    Ok(())
}

/// `rknn_dup_context`: another context of the same model.
///
/// # Errors
/// A context that is dead or a matmul's.
pub fn dup_model(id: u64) -> Answer<u64> {
    with_session(id, |session| Ok(session.again())).map(add_session)
}
