//! Writes `src/bindings/` from `include/`, or says whether it is what they give.
//!
//! `cargo run -p rkllm-sys --features bindgen --example bindings [-- --check]`. Needs libclang
//! (Debian: libclang-dev) and rustfmt.

use std::path::Path;
use std::process::ExitCode;

use bindgen::{Builder, Formatter, RustEdition, RustTarget};

/// Module and header; the module matmul includes the rest of librknnrt.
const MODULES: [(&str, &str); 3] =
    [("v1_2", "rkllm_1_2.h"), ("v1_3", "rkllm_1_3.h"), ("rknn", "rknn_matmul_2_3.h")];

fn main() -> ExitCode {
    let check = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--check") => true,
        Some(other) => {
            eprintln!("unknown argument {other}; the only one is --check");
            return ExitCode::from(2);
        }
    };
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut stale = Vec::new();
    for (module, header) in MODULES {
        let file = package.join("src/bindings").join(format!("{module}.rs"));
        let new = generate(package, header);
        if check {
            if std::fs::read_to_string(&file).ok().as_deref() != Some(new.as_str()) {
                stale.push(format!("src/bindings/{module}.rs"));
            }
        } else {
            std::fs::write(&file, new).expect("src/bindings is writable");
            println!("wrote {}", file.display());
        }
    }
    if stale.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("not what the headers give: {}; run this without --check", stale.join(", "));
    ExitCode::FAILURE
}

/// The declarations of one header, formatted as the project formats.
fn generate(package: &Path, header: &str) -> String {
    let include = package.join("include");
    Builder::default()
        .header(include.join(header).to_str().expect("the path is UTF-8"))
        .allowlist_file(r".*/include/rk(nn|llm)_[a-z0-9_]*\.h")
        .allowlist_file(r".*/include/rknn_[a-z0-9_]*\.h")
        .newtype_enum(".*")
        .prepend_enum_name(false)
        .translate_enum_integer_types(false)
        .derive_default(true)
        .derive_debug(true)
        .layout_tests(true)
        .rust_target(RustTarget::stable(89, 0).expect("1.89 is known to bindgen"))
        .rust_edition(RustEdition::Edition2024)
        .disable_header_comment()
        .raw_line(format!("// Written by examples/bindings.rs from include/{header}. Do not edit."))
        .raw_line("// The allow attributes are bindgen's: its layout assertions are indices into arrays, some by 0.")
        .raw_line("")
        .formatter(Formatter::Rustfmt)
        .rustfmt_configuration_file(Some(package.join("../rustfmt.toml")))
        .generate()
        .expect("the headers parse")
        .to_string()
}
