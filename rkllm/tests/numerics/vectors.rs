//! Reads `tests/data/numerics.json`; the spellings of arrays are those of `make_vectors.py`.

use std::sync::LazyLock;

use serde_json::Value;

use crate::common::data;

static VECTORS: LazyLock<Value> = LazyLock::new(|| {
    let path = data("numerics.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
});

/// The names of all groups.
pub(crate) fn groups() -> impl Iterator<Item = &'static str> {
    VECTORS.as_object().unwrap().keys().map(String::as_str)
}

/// The cases of a group: at least one.
pub(crate) fn cases(group: &str) -> impl Iterator<Item = Case> {
    let cases = VECTORS[group].as_array().unwrap_or_else(|| panic!("no group {group}"));
    assert!(!cases.is_empty(), "group {group} is empty");
    let name = group.to_owned();
    cases.iter().enumerate().map(move |(i, fields)| Case { label: format!("{name}[{i}]"), fields })
}

/// One case.
pub(crate) struct Case {
    /// Where it is in the file, for messages.
    pub(crate) label: String,
    fields: &'static Value,
}

impl Case {
    /// A field that must be there.
    pub(crate) fn field(&self, name: &str) -> &'static Value {
        self.fields.get(name).unwrap_or_else(|| panic!("{}: no field {name}", self.label))
    }

    /// A string.
    pub(crate) fn str(&self, name: &str) -> &'static str {
        self.field(name).as_str().unwrap_or_else(|| panic!("{}: {name} is no string", self.label))
    }

    /// A number, or `None` for null.
    pub(crate) fn number(&self, name: &str) -> Option<usize> {
        self.field(name).as_u64().map(|v| v as usize)
    }

    /// A number that must be there.
    pub(crate) fn size(&self, name: &str) -> usize {
        self.number(name).unwrap_or_else(|| panic!("{}: {name} is null", self.label))
    }

    /// True or false.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.field(name).as_bool().unwrap_or_else(|| panic!("{}: {name} is no flag", self.label))
    }

    /// An array of integers.
    pub(crate) fn integers(&self, name: &str) -> Vec<i64> {
        self.field(name).as_array().unwrap().iter().map(|v| v.as_i64().unwrap()).collect()
    }

    /// An array of binary32.
    pub(crate) fn floats(&self, name: &str) -> Vec<f32> {
        floats(self.str(name))
    }

    /// An array of binary32 that may be null.
    pub(crate) fn optional_floats(&self, name: &str) -> Option<Vec<f32>> {
        (!self.field(name).is_null()).then(|| self.floats(name))
    }

    /// A single binary32.
    pub(crate) fn float(&self, name: &str) -> f32 {
        let values = self.floats(name);
        assert_eq!(values.len(), 1, "{}: {name}", self.label);
        values[0]
    }

    /// An array of binary64.
    pub(crate) fn doubles(&self, name: &str) -> Vec<f64> {
        self.str(name).split(' ').map(|w| f64::from_bits(hex(w))).collect()
    }

    /// An array of 16-bit words.
    pub(crate) fn words16(&self, name: &str) -> Vec<u16> {
        self.str(name).split(' ').map(|w| hex(w) as u16).collect()
    }

    /// Bytes, two digits each.
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        self.str(name)
            .as_bytes()
            .chunks(2)
            .map(|pair| hex(std::str::from_utf8(pair).unwrap()) as u8)
            .collect()
    }

    /// Panics unless `found` is field `name`, bit for bit.
    #[track_caller]
    pub(crate) fn expect(&self, name: &str, found: &[f32]) {
        assert_same(&format!("{} {name}", self.label), &self.floats(name), found);
    }
}

/// What an array string stands for.
pub(crate) fn floats(spec: &str) -> Vec<f32> {
    let words: Vec<&str> = spec.split(' ').collect();
    match words[0] {
        "lcg" => lcg(words[1].parse().unwrap(), words[2].parse().unwrap()),
        "cycle" => {
            let pattern = words[2..].iter().map(|w| f32::from_bits(hex(w) as u32));
            pattern.cycle().take(words[1].parse().unwrap()).collect()
        }
        _ => words.iter().map(|w| f32::from_bits(hex(w) as u32)).collect(),
    }
}

fn lcg(mut state: u64, count: usize) -> Vec<f32> {
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let u = (state >> 32) as u32;
        // 2^-23 times 2^((u & 7) - 4), made from its exponent.
        let factor = f32::from_bits((127 - 23 - 4 + (u & 7)) << 23);
        ((u >> 8) as i32 - (1 << 23)) as f32 * factor
    };
    (0..count).map(|_| next()).collect()
}

fn hex(word: &str) -> u64 {
    u64::from_str_radix(word, 16).unwrap_or_else(|e| panic!("{word:?}: {e}"))
}

/// Panics unless both are the same bits, naming the first difference.
#[track_caller]
pub(crate) fn assert_same(what: &str, expected: &[f32], found: &[f32]) {
    assert_eq!(expected.len(), found.len(), "{what}: number of values");
    for (i, (e, f)) in expected.iter().zip(found).enumerate() {
        assert!(
            e.to_bits() == f.to_bits(),
            "{what}, value {i}: expected {e:e} ({:08x}), found {f:e} ({:08x})",
            e.to_bits(),
            f.to_bits()
        );
    }
}
