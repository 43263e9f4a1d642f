#!/bin/bash
# What the inner loops of the x86-64 kernels cost, by a model of the processor: see README.md.
#
#   benches/mca/x86.sh [--json]
#
# LLVM_MCA names the llvm-mca to use; else the first one from LLVM 19 on is taken.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
# shellcheck source=benches/mca/common.sh
source "$here/common.sh"

host=x86_64-unknown-linux-gnu
mca=$(find_mca)
compiler=$(find_compiler "$host")
listing=$(assembly "$compiler" "$host")
exec python3 "$here/x86.py" "$listing" --llvm-mca "$mca" "$@"
