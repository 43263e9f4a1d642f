//! What the examples share. See the files in `examples/`.
