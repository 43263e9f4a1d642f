#!/bin/bash
# What the inner loops of the NEON kernels cost, by a model of the processor: see README.md.
#
#   benches/mca/arm.sh [--json]
#
# LLVM_MCA names the llvm-mca to use; else the first one from LLVM 19 on is taken.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
# shellcheck source=benches/mca/common.sh
source "$here/common.sh"

board=aarch64-unknown-linux-gnu
mca=$(find_mca)
compiler=$(find_compiler "$board")
listing=$(assembly "$compiler" "$board")
exec python3 "$here/arm.py" "$listing" --llvm-mca "$mca" "$@"
