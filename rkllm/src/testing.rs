//! What the unit tests of several rooms share.

use std::path::PathBuf;

/// A file of the material beside the repository, or `None`, said aloud, where it is absent.
///
/// # Panics
/// If it is absent and `RKLLM_REQUIRE_SHARED=1`.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared").join(path);
    if path.exists() {
        return Some(path);
    }
    assert!(
        std::env::var_os("RKLLM_REQUIRE_SHARED").is_none_or(|value| value != "1"),
        "{} not found, and RKLLM_REQUIRE_SHARED=1",
        path.display()
    );
    eprintln!("skipped: {} not found", path.display());
    None
}
