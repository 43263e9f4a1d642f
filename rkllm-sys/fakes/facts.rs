//! The vendor's structs as the facts describe them: read and written by offset, so that a mistake in
//! the project's own declarations cannot hide.

use std::collections::HashMap;
use std::sync::OnceLock;

use serde_json::Value;

/// A struct or union.
#[derive(Debug)]
pub(crate) struct Struct {
    pub(crate) size: usize,
    pub(crate) fields: Vec<Field>,
}

/// A field of one. Anonymous members have an empty name.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) offset: usize,
}

impl Struct {
    /// The offset of a field, which must exist.
    pub(crate) fn at(&self, name: &str) -> usize {
        self.fields.iter().find(|field| field.name == name).expect("the facts have it").offset
    }
}

/// The struct of this name, if the facts have one.
pub(crate) fn find(name: &str) -> Option<&'static Struct> {
    static STRUCTS: OnceLock<HashMap<String, Struct>> = OnceLock::new();
    STRUCTS.get_or_init(read).get(name)
}

/// The struct of this name, which must exist.
pub(crate) fn of(name: &str) -> &'static Struct {
    find(name).unwrap_or_else(|| panic!("the facts have no {name}"))
}

fn read() -> HashMap<String, Struct> {
    let facts: Value = serde_json::from_str(crate::FACTS).expect("the facts are JSON");
    let list = |value: &Value| value.as_array().expect("an array").clone();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let number = |value: &Value| value.as_u64().expect("a number") as usize;
    list(&facts["structs"])
        .iter()
        .map(|item| {
            let fields = list(&item["fields"]);
            let fields = fields.iter().map(|field| Field {
                name: text(&field["name"]),
                kind: text(&field["type"]),
                offset: number(&field["offset"]),
            });
            let fields = fields.collect();
            (text(&item["name"]), Struct { size: number(&item["size"]), fields })
        })
        .collect()
}

/// Reads a value at an address a caller handed over.
///
/// # Safety
/// `size_of::<T>()` bytes are readable there and make a `T`.
pub(crate) unsafe fn get<T: Copy>(base: *const u8, offset: usize) -> T {
    // SAFETY: as promised by the caller; unaligned because nothing is known of the address.
    unsafe { base.add(offset).cast::<T>().read_unaligned() }
}

/// Writes a value to an address a caller handed over.
///
/// # Safety
/// `size_of::<T>()` bytes are writable there.
pub(crate) unsafe fn put<T: Copy>(base: *mut u8, offset: usize, value: T) {
    // SAFETY: as promised by the caller.
    unsafe { base.add(offset).cast::<T>().write_unaligned(value) }
}
