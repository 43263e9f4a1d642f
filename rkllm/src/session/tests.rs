//! What only the inside can see of sessions; the rest is in `tests/session`.

mod sampling;
mod state;
