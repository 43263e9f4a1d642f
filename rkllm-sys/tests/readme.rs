//! The README's tables of C functions against the bindings and the facts: every function once, and none
//! that does not exist; every safe name is one that the code has.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use rkllm_sys::{rknn, v1_2, v1_3};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Names in backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Rows about functions: the function, the other columns.
fn rows() -> BTreeMap<String, Vec<String>> {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let mut found = BTreeMap::new();
    for line in readme.lines() {
        let Some(row) = line.strip_prefix("| ").and_then(|row| row.strip_suffix(" |")) else {
            continue;
        };
        let cells: Vec<String> = row.split(" | ").map(str::to_owned).collect();
        for name in quoted(&cells[0]).filter(|name| name.starts_with("rk") && name.contains('_')) {
            assert_eq!(found.insert(name.to_owned(), cells[1..].to_vec()), None, "{name} twice");
        }
    }
    found
}

fn facts(file: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(file);
    let facts: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let functions = facts["functions"].as_array().unwrap();
    functions.iter().map(|function| function["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_function_has_its_row() {
    let rows = rows();
    let of = |prefix: &str| -> BTreeSet<String> {
        rows.keys().filter(|name| name.starts_with(prefix)).cloned().collect()
    };
    assert_eq!(of("rkllm_"), facts("rkllm-abi-1.2.1.json"));
    assert_eq!(of("rkllm_"), facts("rkllm-abi-1.3.0.json"));
    assert_eq!(of("rknn_"), facts("rknn-abi-2.3.2.json"));
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    for functions in [v1_2::Functions::REQUIRED, v1_3::Functions::REQUIRED] {
        assert_eq!(of("rkllm_"), names(functions));
    }
    for (name, cells) in rows.iter().filter(|(name, _)| name.starts_with("rkllm_")) {
        assert_eq!(cells.len(), 3, "{name}: safe name, 1.2, 1.3");
        assert!(cells[1..].iter().all(|cell| cell.starts_with("yes")), "{name}: {cells:?}");
    }
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let optional = readme.lines().find(|line| line.starts_with("| may be missing:")).unwrap();
    let optional: BTreeSet<String> = quoted(optional).map(str::to_owned).collect();
    assert_eq!(optional, names(rknn::Functions::OPTIONAL));
    assert_eq!(
        of("rknn_").difference(&optional).cloned().collect::<BTreeSet<_>>(),
        names(rknn::Functions::REQUIRED)
    );
}

fn sources(dir: &Path, text: &mut String) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn safe_names_exist() {
    let mut code = String::new();
    sources(&root().join("rkllm/src/npu"), &mut code);
    let mut checked = 0;
    for (function, cells) in rows() {
        let mut owner = "";
        for name in cells.iter().flat_map(|cell| quoted(cell)).filter(|it| !it.starts_with("rk")) {
            let (kind, method) = match name.split_once("::") {
                Some((kind, method)) => (kind, method),
                // A method of the type named before it, or a type.
                None if name.starts_with(char::is_lowercase) => (owner, name),
                None => (name, ""),
            };
            owner = kind;
            let is_type = kind.is_empty()
                || ["struct", "enum"].iter().any(|what| {
                    [" {", "(", "<", ";"]
                        .iter()
                        .any(|end| code.contains(&format!("pub {what} {kind}{end}")))
                });
            let is_method = method.is_empty()
                || ["(", "<"].iter().any(|end| code.contains(&format!("pub fn {method}{end}")))
                || code.contains(&format!("    {method},\n"));
            assert!(is_type && is_method, "{function}: no {name}");
            checked += 1;
        }
    }
    assert!(checked > 25, "{checked} names");
}
