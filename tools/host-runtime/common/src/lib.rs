//! Rockchip's runtimes answered on any computer: what the stand-ins for `librkllmrt.so` and
//! `librknnrt.so` have in common. Each of the three libraries beside this crate is a C face over it.

pub mod rkllmrt;
pub mod rknnrt;
