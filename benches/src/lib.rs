//! Shapes and data shared by the benches of this package.
