//! Buffers as long as they have to be.

/// [`Vec::resize`] that asks for no more memory than it needs. A vector that grows doubles itself, which for
/// buffers of many megabytes is memory that no plan knows of.
pub(crate) fn resize<T: Clone>(buffer: &mut Vec<T>, len: usize, value: T) {
    if len > buffer.capacity() {
        // What it holds is stale: nothing to copy.
        buffer.clear();
        buffer.reserve_exact(len);
    }
    buffer.resize(len, value);
}
