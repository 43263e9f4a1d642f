#!/bin/bash
# What the inner loops of the NEON kernels cost, by a model of the processor: see README.md.
#
#   benches/mca/arm.sh [--json]
#
# LLVM_MCA names the llvm-mca to use; else the first one from LLVM 19 on is taken.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."

board=aarch64-unknown-linux-gnu
oldest=19 # Up to 16 the Neoverse N1, like the Cortex-A76, had the Cortex-A57's model; 19 is the oldest tried.

fail() {
    echo "arm.sh: $1" >&2
    exit 1
}

major() {
    "$1" --version 2>/dev/null | sed -n 's/.*version \([0-9]*\).*/\1/p' | head -n 1
}

find_mca() {
    local program
    if [[ -n ${LLVM_MCA:-} ]]; then
        echo "$LLVM_MCA"
        return
    fi
    for program in llvm-mca-{19..30} llvm-mca; do
        if command -v "$program" >/dev/null && [[ $(major "$program") -ge $oldest ]]; then
            echo "$program"
            return
        fi
    done
    fail "no llvm-mca of LLVM $oldest or newer here (apt install llvm-19): older ones model the Cortex-A76 too narrow"
}

mca=$(find_mca)
version=$(major "$mca" || true)
[[ -n $version ]] || fail "$mca does not run"
[[ $version -ge $oldest ]] ||
    fail "$mca is of LLVM $version, which models the Cortex-A76 too narrow: $oldest or newer is needed"

# Rustup's compiler where it has the board's standard library, else Debian's (package libstd-rust-web-dev:arm64).
has_library() {
    [[ -d $("$1" --print target-libdir --target "$board" 2>/dev/null) ]]
}
if has_library rustc; then
    compiler=rustc
elif has_library /usr/bin/rustc; then
    compiler=/usr/bin/rustc
else
    fail "no compiler here has a standard library for $board (rustup target add $board)"
fi

folder=${CARGO_TARGET_DIR:-target}/mca
mkdir -p "$folder"
folder=$(realpath "$folder")
# One unit of code, and names with their generic arguments; nothing else differs from what is released.
RUSTC=$compiler cargo rustc --quiet --locked --target "$board" --target-dir "$folder" --profile ci -p rkllm --lib \
    --no-default-features --features cpu -- --emit "asm=$folder/rkllm.s" \
    -C codegen-units=1 -C symbol-mangling-version=v0 -C debuginfo=0 >&2
[[ -s $folder/rkllm.s ]] || fail "the compiler wrote no assembly to $folder/rkllm.s"
exec python3 "$here/arm.py" "$folder/rkllm.s" --llvm-mca "$mca" "$@"
