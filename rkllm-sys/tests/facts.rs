//! The committed bindings against the facts, in both directions: every struct, field, offset, size,
//! enum value, constant, type and function of one is in the other.
//!
//! Offsets and sizes are read from the assertions in the bindings, which the compiler has checked.
//! The facts are copies from the project's reference folder; `.ci/bindings` compares them.

use std::collections::BTreeMap;

use serde_json::Value;

/// Structs that the vendor left unnamed: theirs by path, ours by name.
const UNNAMED: [(&str, &str); 3] = [
    ("RKLLMMultiModalInput::image", "RKLLMMultiModalImage"),
    ("RKLLMMultiModalInput::video", "RKLLMMultiModalVideo"),
    ("RKLLMInput::<anon0>", "RKLLMInputPayload"),
];

/// What an ABI consists of.
#[derive(Debug, Default, PartialEq, Eq)]
struct Interface {
    structs: BTreeMap<String, Layout>,
    /// Constants of each enum; two may have one value.
    enums: BTreeMap<String, BTreeMap<String, i64>>,
    macros: BTreeMap<String, i64>,
    typedefs: BTreeMap<String, String>,
    /// Result and parameters (type and name) of functions and of callbacks.
    functions: BTreeMap<String, Signature>,
    callbacks: BTreeMap<String, Signature>,
}

type Signature = (String, Vec<(String, String)>);

#[derive(Debug, Default, PartialEq, Eq)]
struct Layout {
    union: bool,
    size: u64,
    align: u64,
    /// Offset, type, name.
    fields: Vec<(u64, String, String)>,
}

// --- The facts ---------------------------------------------------------------

fn list<'a>(facts: &'a Value, name: &str) -> &'a [Value] {
    facts[name].as_array().unwrap_or_else(|| panic!("no {name}"))
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// Our name of a type.
fn named(kind: &str) -> String {
    UNNAMED.iter().find(|(theirs, _)| *theirs == kind).map_or(kind, |(_, ours)| ours).to_owned()
}

fn of_facts(json: &str) -> Interface {
    let facts: Value = serde_json::from_str(json).unwrap();
    let mut it = Interface::default();
    for item in list(&facts, "structs") {
        let fields = list(item, "fields").iter().map(|field| {
            let name = field["name"].as_str().unwrap_or("payload").to_owned();
            (field["offset"].as_u64().unwrap(), named(&text(&field["type"])), name)
        });
        let layout = Layout {
            union: item["kind"] == "union",
            size: item["size"].as_u64().unwrap(),
            align: item["align"].as_u64().unwrap(),
            fields: fields.collect(),
        };
        it.structs.insert(named(&text(&item["name"])), layout);
    }
    for item in list(&facts, "enums") {
        assert_eq!(item["underlying"], "unsigned int");
        it.enums.insert(text(&item["name"]), values(list(item, "constants")));
    }
    it.macros = values(list(&facts, "macros"));
    for item in list(&facts, "typedefs") {
        it.typedefs.insert(text(&item["name"]), text(&item["type"]));
    }
    for item in list(&facts, "aliases") {
        it.typedefs.insert(text(&item["name"]), text(&item["same_as"]));
    }
    for (to, from) in [(&mut it.functions, "functions"), (&mut it.callbacks, "callbacks")] {
        for item in list(&facts, from) {
            let params = list(item, "params").iter().map(|param| {
                // An array parameter is a pointer.
                (text(&param["type"]).replace("[]", "*"), text(&param["name"]))
            });
            to.insert(text(&item["name"]), (text(&item["return_type"]), params.collect()));
        }
    }
    it
}

fn values(items: &[Value]) -> BTreeMap<String, i64> {
    items.iter().map(|item| (text(&item["name"]), item["value"].as_i64().unwrap())).collect()
}

// --- The bindings ------------------------------------------------------------

/// The text on one line without attributes, so that nothing depends on how it is broken.
fn flat(source: &str) -> String {
    let kept = source
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("#[") && !line.starts_with("//"));
    kept.collect::<Vec<_>>().join(" ")
}

/// What stands between `open` and the next `close` or the end, for every `open`.
fn between<'a>(source: &'a str, open: &'a str, close: &'a str) -> impl Iterator<Item = &'a str> {
    source
        .split(open)
        .skip(1)
        .map(move |rest| rest.split_once(close).map_or(rest, |(item, _)| item))
}

fn of_bindings(source: &str) -> Interface {
    let source = flat(source);
    let mut it = Interface::default();
    for (keyword, union) in [("pub struct ", false), ("pub union ", true)] {
        for item in between(&source, keyword, "}") {
            let Some((name, body)) = item.split_once(" {").filter(|(name, _)| !name.contains('('))
            else {
                continue;
            };
            let fields = body.split(',').map(str::trim).filter(|field| !field.is_empty());
            let fields = fields.map(|field| {
                let (name, kind) = field.strip_prefix("pub ").unwrap().split_once(": ").unwrap();
                (u64::MAX, c_type(kind), name.trim_end_matches('_').to_owned())
            });
            let layout = Layout { union, fields: fields.collect(), ..Layout::default() };
            it.structs.insert(name.to_owned(), layout);
        }
    }
    asserted(&source, &mut it.structs);
    constants(&source, &mut it);
    for item in between(&source, "pub type ", ";") {
        let (name, kind) = item.split_once(" = ").unwrap();
        match kind.trim().strip_prefix("::std::option::Option<") {
            None => drop(it.typedefs.insert(name.to_owned(), c_type(kind))),
            Some(function) => {
                let signature = signature(function.trim().trim_end_matches(['>', ',', ' ']));
                match name.strip_suffix("_fn") {
                    Some(name) => it.functions.insert(name.to_owned(), signature),
                    None => it.callbacks.insert(name.to_owned(), signature),
                };
            }
        }
    }
    it
}

/// Sizes, alignments and offsets from the assertions.
fn asserted(source: &str, structs: &mut BTreeMap<String, Layout>) {
    for assertion in between(source, "[\"", ";") {
        let (what, rest) = assertion.split_once("\"]").unwrap();
        let number = rest.rsplit_once("- ").unwrap().1.trim_end_matches("usize]");
        let number: u64 = number.parse().unwrap_or_else(|_| panic!("{assertion}"));
        if let Some(name) = what.strip_prefix("Size of ") {
            assert!(rest.contains(&format!("size_of::<{name}>()")), "{assertion}");
            structs.get_mut(name).unwrap().size = number;
        } else if let Some(name) = what.strip_prefix("Alignment of ") {
            assert!(rest.contains(&format!("align_of::<{name}>()")), "{assertion}");
            structs.get_mut(name).unwrap().align = number;
        } else {
            let (name, field) =
                what.strip_prefix("Offset of field: ").unwrap().split_once("::").unwrap();
            assert!(rest.contains(&format!("offset_of!({name}, {field})")), "{assertion}");
            let fields = &mut structs.get_mut(name).unwrap().fields;
            let field = field.trim_end_matches('_');
            fields.iter_mut().find(|f| f.2 == field).unwrap().0 = number;
        }
    }
}

/// Macros, enums and their values.
fn constants(source: &str, it: &mut Interface) {
    for item in between(source, "pub struct ", ";") {
        let Some((name, "pub ::std::os::raw::c_uint)")) = item.split_once('(') else { continue };
        it.enums.insert(name.to_owned(), BTreeMap::new());
    }
    for item in between(source, "pub const ", ";") {
        let (name, rest) = item.split_once(": ").unwrap();
        let (kind, value) = rest.split_once(" = ").unwrap();
        match it.enums.get_mut(kind) {
            Some(values) => {
                let value = value.strip_prefix(kind).unwrap().trim_matches(['(', ')']);
                values.insert(name.to_owned(), value.parse().unwrap());
            }
            None => drop(it.macros.insert(name.to_owned(), value.parse().unwrap())),
        }
    }
}

/// `unsafe extern "C" fn(name: type, ...) -> type`.
fn signature(function: &str) -> Signature {
    let rest =
        function.strip_prefix("unsafe extern \"C\" fn(").unwrap_or_else(|| panic!("{function}"));
    let (params, result) = rest.rsplit_once(')').unwrap();
    let params = params.split(',').map(str::trim).filter(|param| !param.is_empty()).map(|param| {
        let (name, kind) = param.split_once(": ").unwrap();
        (c_type(kind), name.to_owned())
    });
    let result = result.trim().strip_prefix("-> ").map_or("void".into(), c_type);
    (result, params.collect())
}

/// C's name of a type.
fn c_type(rust: &str) -> String {
    let rust = rust.trim();
    if let Some(pointee) = rust.strip_prefix("*mut ") {
        return format!("{}*", c_type(pointee));
    }
    if let Some(pointee) = rust.strip_prefix("*const ") {
        return format!("const {}*", c_type(pointee));
    }
    if let Some(array) = rust.strip_prefix('[') {
        let (element, length) = array.strip_suffix("usize]").unwrap().rsplit_once("; ").unwrap();
        let element = c_type(element);
        // The outer length comes first in C.
        let (base, inner) = element.split_once('[').unwrap_or((&element, ""));
        let inner = if inner.is_empty() { String::new() } else { format!("[{inner}") };
        return format!("{base}[{length}]{inner}");
    }
    match rust.strip_prefix("::std::os::raw::c_").unwrap_or(rust) {
        "f32" => "float",
        "usize" => "size_t",
        "i8" => "int8_t",
        "u8" => "uint8_t",
        "i16" => "int16_t",
        "i32" => "int32_t",
        "u32" => "uint32_t",
        "i64" => "int64_t",
        "u64" => "uint64_t",
        other => other,
    }
    .to_owned()
}

// --- The comparison ----------------------------------------------------------

fn compare(bindings: &str, facts: &str, table: &[&[&str]]) {
    let (ours, theirs) = (of_bindings(bindings), of_facts(facts));
    for (ours, theirs) in ours.structs.iter().zip(&theirs.structs) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours, theirs);
    assert!(!ours.structs.is_empty() && !ours.enums.is_empty() && !ours.macros.is_empty());
    let mut table: Vec<&str> = table.concat();
    table.sort_unstable();
    assert_eq!(table, ours.functions.keys().collect::<Vec<_>>());
}

#[test]
fn rkllm_1_2() {
    compare(
        include_str!("../src/bindings/v1_2.rs"),
        include_str!("data/rkllm-abi-1.2.1.json"),
        &[rkllm_sys::v1_2::Functions::REQUIRED, rkllm_sys::v1_2::Functions::OPTIONAL],
    );
}

#[test]
fn rkllm_1_3() {
    compare(
        include_str!("../src/bindings/v1_3.rs"),
        include_str!("data/rkllm-abi-1.3.0.json"),
        &[rkllm_sys::v1_3::Functions::REQUIRED, rkllm_sys::v1_3::Functions::OPTIONAL],
    );
}

#[test]
fn rknn_2_3() {
    compare(
        include_str!("../src/bindings/rknn.rs"),
        include_str!("data/rknn-abi-2.3.2.json"),
        &[rkllm_sys::rknn::Functions::REQUIRED, rkllm_sys::rknn::Functions::OPTIONAL],
    );
}

#[test]
fn the_sizes_that_set_the_abis_apart() {
    use rkllm_sys::{v1_2, v1_3};
    assert_eq!((size_of::<v1_2::RKLLMParam>(), size_of::<v1_3::RKLLMParam>()), (208, 184));
    assert_eq!((size_of::<v1_2::RKLLMInput>(), size_of::<v1_3::RKLLMInput>()), (64, 160));
    assert_eq!((size_of::<v1_2::RKLLMInferParam>(), size_of::<v1_3::RKLLMInferParam>()), (32, 40));
}
