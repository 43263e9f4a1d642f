//! cargo +nightly fuzz run vendor_file
#![no_main]

#[path = "../../tests/corpus/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    targets::vendor_file(data);
});
