//! `rkllm worker`: a model on the NPU in a process of its own, for `rkllm::npu::worker`.

/// Reached only where nobody asked: a worker that was asked for begins in `main` and does not get here.
pub(crate) fn run() -> anyhow::Result<()> {
    Err(super::usage(
        "rkllm worker serves a program that starts it (rkllm::npu::worker, \
         WorkerOptions::with_program); it is of no use by hand",
    ))
}
