//! Gives the library the name it is installed under, so that a program linked against its file asks the
//! loader for `librknnrt.so`, as one linked against the vendor's does.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,librknnrt.so");
    }
}
