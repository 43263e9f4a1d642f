//! Memory, limits and containers.

use super::{Advice, bytes};
use crate::npu::board::{Board, Reading};

/// Less free memory than this holds no model to speak of.
const LITTLE: u64 = 1 << 30;
/// What the vendor's server demo raises its limit of open files to.
const FILES: u64 = 102_400;

pub(super) fn container(board: &Board) -> Option<Advice> {
    let kind = board.container.as_deref()?;
    Some(Advice::info(
        format!("this is a container ({kind})"),
        "it may hide the device tree, debugfs and the NPU's device files, and refuse to open them",
        "docker run --device /dev/dri --security-opt systempaths=unconfined ...; make no link /dev/rknpu",
        "https://github.com/airockchip/rknn-toolkit2/issues/33",
    ))
}

pub(super) fn memory(board: &Board) -> Option<Advice> {
    let memory = &board.memory;
    let (total, available) = match (&memory.total, &memory.available) {
        (Reading::Is(total), Reading::Is(available)) => (*total, *available),
        (total, available) => {
            let why = total.unknown().or(available.unknown()).unwrap_or("no /proc/meminfo");
            return Some(Advice::info(
                format!("free memory unknown: {why}"),
                "/proc/meminfo could not be read or understood",
                "free -h",
                "https://docs.kernel.org/filesystems/proc.html",
            ));
        }
    };
    let swap = match (memory.swap_total.value(), memory.swap_free.value()) {
        (Some(0), _) => "no swap".to_owned(),
        (Some(total), Some(free)) => format!("{} of {} swap", bytes(*free), bytes(*total)),
        _ => "swap unknown".to_owned(),
    };
    let what = format!("{} of {} memory free, {swap}", bytes(available), bytes(total));
    if available >= LITTLE {
        return Some(Advice::ok(what));
    }
    Some(Advice::warning(
        what,
        "a model needs its file's size and its KV cache; too little ends in `failed to malloc npu memory` or a crash",
        "stop other programs, take a smaller model or a shorter context, or set embed_flash; swap does not serve the NPU",
        "https://github.com/airockchip/rknn-llm/issues/522",
    ))
}

pub(super) fn open_files(board: &Board) -> Option<Advice> {
    const ISSUE: &str = "https://github.com/airockchip/rknn-llm/issues/17";
    let limits = match &board.process.open_files {
        Reading::Is(limits) => limits,
        none => {
            return Some(Advice::info(
                format!(
                    "limit of open files unknown: {}",
                    none.unknown().unwrap_or("no /proc/self/limits")
                ),
                "the NPU's buffers are open files; a large model has more than 1024",
                "ulimit -n",
                ISSUE,
            ));
        }
    };
    let text = |limit: Option<u64>| limit.map_or("unlimited".to_owned(), |limit| limit.to_string());
    let enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= FILES);
    let what = format!("{} open files, at most {}", text(limits.soft), text(limits.hard));
    let cause = "the NPU's buffers are open files; large models fail with `Too many open files`";
    Some(match (enough(limits.soft), enough(limits.hard)) {
        (true, _) => Advice::ok(what),
        (false, true) => Advice::info(
            what,
            cause,
            format!(
                "`ulimit -n {FILES}` in the shell that starts a program which does not raise it itself"
            ),
            ISSUE,
        ),
        (false, false) => Advice::warning(
            what,
            cause,
            format!(
                "echo '* hard nofile {FILES}' | sudo tee /etc/security/limits.d/60-npu.conf and log in again, or \
                 LimitNOFILE={FILES} in the service"
            ),
            ISSUE,
        ),
    })
}
