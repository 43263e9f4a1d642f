//! The CPU engine: any supported model, float or quantised, on every core.
//!
//! Three structs: [`ModelConfig`](crate::model::ModelConfig) says what the model is,
//! [`ModelWeights`](crate::model::ModelWeights) holds its tensors, mapped, and the engine's state holds the
//! sequence. There is one forward pass for all architectures.

mod ahead;
mod attention;
pub mod cores;
mod engine;
mod forward;
mod kv;
mod linear;
mod lora;
mod plan;
mod pool;
mod state;
pub mod timing;

pub use cores::{Affinity, Placement};
pub use engine::{Engine, EngineOptions, LinearRole, SupplyLinear};
pub use plan::MemoryPlan;
