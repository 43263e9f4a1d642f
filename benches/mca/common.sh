# shellcheck shell=bash
# What arm.sh and x86.sh share: finding llvm-mca, and the crate's assembly.

oldest=19 # Up to 16 the Neoverse N1, like the Cortex-A76, had the Cortex-A57's model; 19 is the oldest tried.

fail() {
    echo "$(basename "$0"): $1" >&2
    exit 1
}

major() {
    "$1" --version 2>/dev/null | sed -n 's/.*version \([0-9]*\).*/\1/p' | head -n 1
}

# Prints the program to ask; LLVM_MCA names another one than the first from LLVM 19 on.
find_mca() {
    local program version
    if [[ -n ${LLVM_MCA:-} ]]; then
        version=$(major "$LLVM_MCA" || true)
        [[ -n $version ]] || fail "$LLVM_MCA does not run"
        [[ $version -ge $oldest ]] || fail "$LLVM_MCA is of LLVM $version: $oldest or newer is needed"
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

# has_library COMPILER TARGET
has_library() {
    [[ -d $("$1" --print target-libdir --target "$2" 2>/dev/null) ]]
}

# find_compiler TARGET: rustup's where it has the target's standard library, else Debian's.
find_compiler() {
    local compiler
    for compiler in rustc /usr/bin/rustc; do
        if has_library "$compiler" "$1"; then
            echo "$compiler"
            return
        fi
    done
    fail "no compiler here has a standard library for $1 (rustup target add $1)"
}

# assembly COMPILER TARGET: prints where the crate's assembly lies.
assembly() {
    local folder=${CARGO_TARGET_DIR:-target}/mca
    mkdir -p "$folder"
    folder=$(realpath "$folder")
    # One unit of code, and names with their generic arguments; nothing else differs from what is released.
    RUSTC=$1 cargo rustc --quiet --locked --target "$2" --target-dir "$folder" --profile ci -p rkllm --lib \
        --no-default-features --features cpu -- --emit "asm=$folder/rkllm-$2.s" \
        -C codegen-units=1 -C symbol-mangling-version=v0 -C debuginfo=0 >&2
    [[ -s $folder/rkllm-$2.s ]] || fail "the compiler wrote no assembly to $folder/rkllm-$2.s"
    echo "$folder/rkllm-$2.s"
}
