//! The floors of the crate: a module names only modules below it.

use std::path::Path;

/// What each room may name of the others; what is open to all is left out.
const ALLOWED: [(&str, &[&str]); 9] = [
    ("quant", &[]),
    ("soc", &["quant"]),
    ("layout", &["quant", "soc"]),
    ("model", &["quant"]),
    ("kernels", &["quant"]),
    ("cpu", &["quant", "model", "kernels"]),
    ("session", &["model", "cpu", "npu", "quant"]),
    ("npu", &["soc", "quant", "layout", "model", "kernels"]),
    ("eval", &["model", "kernels", "quant"]),
];

#[test]
fn arrows_go_down() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut breaches = Vec::new();
    for (room, allowed) in ALLOWED {
        let mut files = vec![src.join(format!("{room}.rs")), src.join(room)];
        let mut seen = 0;
        while let Some(path) = files.pop() {
            if path.is_dir() {
                files.extend(std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
                continue;
            }
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            seen += 1;
            for (number, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap();
                for (other, _) in ALLOWED {
                    let named = code.contains(&format!("crate::{other}::"))
                        || code.contains(&format!("crate::{{{other}::"));
                    if named && other != room && !allowed.contains(&other) {
                        breaches.push(format!("{}:{}: {line}", path.display(), number + 1));
                    }
                }
            }
        }
        assert!(seen > 0, "room {room} has no file");
    }
    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[test]
fn rooms_have_no_unsafe_but_where_it_is_allowed() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for room in ["quant", "layout", "session", "eval", "npu/board", "npu/file"] {
        let mut files = vec![src.join(room)];
        while let Some(path) = files.pop() {
            if path.is_dir() {
                files.extend(std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(
                !text.contains("unsafe {") && !text.contains("unsafe_code"),
                "{}",
                path.display()
            );
        }
    }
}
