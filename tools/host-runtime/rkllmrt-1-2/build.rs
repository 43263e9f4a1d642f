//! Gives the library the name it is installed under, so that a program linked against its file asks the
//! loader for `librkllmrt.so` wherever that is, and keeps it loaded: threads of its models outlive a
//! `dlclose`.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,librkllmrt.so");
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
