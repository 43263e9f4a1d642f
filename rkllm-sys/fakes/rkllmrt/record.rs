//! Writes down what a struct holds, field by field, at the vendor's offsets.

use std::ffi::{CStr, c_char};

use super::{HEAD_DIM, HIDDEN, KV_HEADS, LAYERS, note};
use crate::facts::{self, Struct, get};

/// So many values are written out; of longer arrays, their number and sum.
const WRITTEN_OUT: usize = 64;

/// A C string in Rust's notation, or `null`.
///
/// # Safety
/// `text` is null or a C string.
pub(crate) unsafe fn string(text: *const c_char) -> String {
    if text.is_null() {
        return "null".into();
    }
    // SAFETY: as promised by the caller.
    format!("{:?}", unsafe { CStr::from_ptr(text) }.to_string_lossy())
}

/// `count` values, or `null`.
///
/// # Safety
/// So many are readable at `values`, or it is null.
pub(crate) unsafe fn array<T: Copy + std::fmt::Display + Into<f64>>(
    values: *const T,
    count: usize,
) -> String {
    if values.is_null() {
        return "null".into();
    }
    // SAFETY: as promised by the caller.
    let read = |i| unsafe { values.add(i).read_unaligned() };
    if count > WRITTEN_OUT {
        let sum: f64 = (0..count).map(|i| read(i).into()).sum();
        return format!("[{count} values, sum {sum}]");
    }
    let values: Vec<_> = (0..count).map(|i| read(i).to_string()).collect();
    format!("[{}]", values.join(", "))
}

/// Notes every field of the struct `name` at `base`.
///
/// # Safety
/// `base` is null or such a struct with valid pointers.
pub(crate) unsafe fn structure(call: &str, prefix: &str, name: &str, base: *const u8) {
    if base.is_null() {
        note(format!("{call} {prefix}=null"));
        return;
    }
    let layout = facts::of(name);
    for field in &layout.fields {
        let path = match field.name.as_str() {
            "" => prefix.to_owned(),
            name => format!("{prefix}.{name}"),
        };
        // SAFETY: the field lies within the struct.
        unsafe { one(call, &path, layout, field.kind.as_str(), &field.name, base, field.offset) };
    }
}

/// Notes one field.
///
/// # Safety
/// As for [`structure`].
unsafe fn one(
    call: &str,
    path: &str,
    layout: &Struct,
    kind: &str,
    name: &str,
    base: *const u8,
    at: usize,
) {
    // SAFETY: the facts say that a value of this type is at this offset; pointers are the caller's.
    let value = unsafe {
        match kind {
            "const char*" | "char*" => string(get(base, at)),
            "int32_t" | "int" => get::<i32>(base, at).to_string(),
            "uint32_t" | "RKLLMInputType" | "RKLLMInferMode" => get::<u32>(base, at).to_string(),
            "int8_t" => get::<i8>(base, at).to_string(),
            "uint8_t" | "bool" => get::<u8>(base, at).to_string(),
            "size_t" => get::<usize>(base, at).to_string(),
            "float" => get::<f32>(base, at).to_string(),
            "uint8_t[104]" => {
                let clean = (0..104).all(|i| get::<u8>(base, at + i) == 0);
                if clean { "zero".into() } else { "not zero".into() }
            }
            "float*" => array::<f32>(get(base, at), count(layout, name, base)),
            "int32_t*" => array::<i32>(get(base, at), count(layout, name, base)),
            "RKLLMInput::<anon0>" => {
                let member = match get::<u32>(base, layout.at("input_type")) {
                    0 => "prompt_input",
                    1 => "token_input",
                    2 => "embed_input",
                    3 => "multimodal_input",
                    other => {
                        note(format!("VIOLATION {call} with input type {other}"));
                        return;
                    }
                };
                let union = facts::of(kind);
                let field = union.fields.iter().find(|f| f.name == member).expect("a member");
                let path = format!("{path}.{member}");
                return one(call, &path, union, &field.kind, member, base.add(at), field.offset);
            }
            _ if kind.ends_with("Callback") || kind == "void*" => {
                let set = get::<usize>(base, at) != 0;
                if set { "set".into() } else { "null".into() }
            }
            _ => match kind.strip_suffix('*') {
                Some(pointee) => return structure(call, path, pointee, get(base, at)),
                None => return structure(call, path, kind, base.add(at)),
            },
        }
    };
    note(format!("{call} {path}={value}"));
}

/// How many values an array field has, by the other fields and the made-up model's sizes.
///
/// # Safety
/// As for [`structure`].
unsafe fn count(layout: &Struct, name: &str, base: *const u8) -> usize {
    // SAFETY: these fields are of type size_t, or int where the cast says so.
    let size = |field| unsafe { get::<usize>(base, layout.at(field)) };
    // SAFETY: as above.
    let int = |field| unsafe { get::<i32>(base, layout.at(field)) }.max(0) as usize;
    match name {
        "embed" => size("n_tokens") * HIDDEN,
        "input_ids" => size("n_tokens"),
        "image_embed" => size("n_image") * size("n_image_tokens") * HIDDEN,
        "video_embed" => {
            size("n_video") * size("n_frame_per_video") * size("n_frame_tokens") * HIDDEN
        }
        "encoder_k_cache" | "encoder_v_cache" => int("num_tokens") * LAYERS * KV_HEADS * HEAD_DIM,
        "encoder_mask" | "encoder_pos" => int("num_tokens"),
        other => panic!("an array the fake does not know: {other}"),
    }
}
