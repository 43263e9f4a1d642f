//! Native layouts: where librknnrt's matmul expects each element of A, B and C to lie.
//!
//! A matmul is `C[m, n] = sum_k A[m, k] * B[k, n]`. Weights are B, kept here as everywhere in this
//! crate: row-major `(N, K)`, K contiguous, which is the vendor's TP layout. [`TensorLayout`] says how
//! big a tensor is in memory, where each element goes, and moves whole tensors there and back:
//! [`TensorLayout::pack`] and [`TensorLayout::unpack`] are exact inverses.
//!
//! ```text
//! B, int8, RK3588: native (N/32, K/32, 32, 32), bytes in ascending addresses
//!
//!         k = 0 ... 31   32 ... 63   64 ...             tile 0  n 0: k 0 ... 31  (32 bytes)
//!        +------------+------------+---                         n 1: k 0 ... 31
//!  n = 0 |            |            |                            ...
//!    ... |   tile 0   |   tile 1   |  ...                       n 31: k 0 ... 31
//!     31 |            |            |              =>    tile 1  n 0: k 32 ... 63
//!        +------------+------------+---                         ...
//!     32 | tile K/32  |                                 tile K/32  n 32: k 0 ... 31
//! ```
//!
//! | tensor | layout | dimensions, slowest first | source |
//! |---|---|---|---|
//! | A | normal | `(M, K)` | header |
//! | A | native | `(K/S, M, S)` | header |
//! | B | normal | `(K, N)` | header |
//! | B | TP | `(N, K)` | header |
//! | B | native | `(N/sN, K/sK, sN, sK)`, whole segments of K one after the other | header |
//! | C | normal | `(M, N)` | header |
//! | C | native | `(N/s, M, s)` | header |
//!
//! S, (sN, sK) and s depend on chip and type: see [`Chip::tiles`]. Shapes that are no multiples of the
//! tile are padded with zeros; librknnrt must then be given the padded shape
//! ([`TensorLayout::padded`]), since it takes no other.
//!
//! # How far to trust this
//! The facts are those of `rknn_matmul_api.h`, the API reference and the matmul demo of RKNN 2.3.2.
//! **Nothing here has been verified on hardware or against librknnrt.** In particular:
//! - Tiles have changed between releases (1.5.2 had others for f16). Read the dimensions back from
//!   `io_attr` after creating a context and compare them with [`TensorLayout::dims`]; where they differ,
//!   believe `io_attr` and use [`TensorLayout::with_tile`].
//! - Segments of K (above 8192 on RK3588, 4096 on RK3576): the header's RK3588 example contradicts
//!   itself. The rule here is inferred from its RK3576 example, 10240 = 4096 + 4096 + 2048, and applied
//!   to every type, though the header states the limit in elements only.
//! - That K and N must be multiples of sK and sN counted in elements is inferred: the header says bytes.
//! - The order of the two int4 values in a byte of native B is contradictory in the vendor's demo:
//!   [`NibbleOrder`] makes it the caller's choice.
//! - Not documented, and refused here with an error of kind
//!   [`Unsupported`](crate::ErrorKind::Unsupported): native tiles of types whose A and B differ; native
//!   C of int8, f16 and bf16; native C of int4 products elsewhere than on RK3588; every tile of the
//!   RV1126B.

mod copy;
mod grid;
mod int4;
mod tensor;
mod tiles;
mod types;

pub use tensor::TensorLayout;
pub use tiles::{Chip, Tile, Tiles};
pub use types::{Element, Layout, MatmulType, NibbleOrder, Operand, Word};

#[cfg(test)]
mod tests;
