"""What the comparison is made with: a Python environment of its own, and llama.cpp built from source.

Everything lies in one folder and is made once. Packages come from PyPI by pip, as it is set up here.
"""

import array
import hashlib
import json
import math
import os
import re
import shutil
import sys
import tarfile
from pathlib import Path

from processes import Missing, run, say, tried

HERE = Path(__file__).resolve().parent
# The release the anchors of this project were measured with.
LLAMA_CPP_PYTHON = "0.3.36"
PACKAGES = ["cmake", "ninja", "numpy", "gguf", "onnx", "onnxruntime"]
# The least cosine of both engines' logits.
SAME_MODEL = {"w8a8": 0.95, "w4a16_g128": 0.3}
TILE_STORES = 4  # that make a whole configuration
TARGETS = ["llama-bench", "llama-quantize", "llama", "ggml"]
LOAD_CONFIG = "    _tile_loadconfig(&tc);\n"
CPU_FLAGS = "    target_compile_options(${GGML_CPU_NAME} PRIVATE ${ARCH_FLAGS})"
# As objdump writes it: a place in memory, and a move from a register or a constant there.
PLACE = r"(?P<sign>-?)(?P<offset>0x[0-9a-f]+)?\((?P<base>%\w+)\)"
STORE = re.compile(r"\tv?mov\w*\s+[%$][^(]*," + PLACE)
BARRIER = '    __asm__ volatile("" : : "r"(&tc) : "memory");\n'


def cpu_flags():
    """The processor's features as Linux names them."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("flags", "Features")):
            return set(line.split(":", 1)[1].split())
    return set()


def has_amx():
    return {"amx_tile", "amx_int8", "avx512_vnni"} <= cpu_flags()


class Environment:
    """The Python environment in `work`, with the packages above."""

    def __init__(self, work):
        self.root = work / "venv"
        self.bin = self.root / "bin"
        self.python = self.bin / "python3"

    def commands(self):
        return [[sys.executable, "-m", "venv", self.root],
                [self.python, "-m", "pip", "install", "--quiet", *PACKAGES]]

    def make(self, log):
        stamp = self.root / "packages"
        if stamp.exists() and stamp.read_text() == " ".join(PACKAGES):
            return self
        say(f"python environment: {', '.join(PACKAGES)}")
        create, install = self.commands()
        try:
            run(create, log)
        except SystemExit as error:
            raise Missing(f"no Python environment can be made\n{error}", "python3-venv (Debian)") from None
        run(install, log)
        stamp.write_text(" ".join(PACKAGES))
        return self

    def version(self, package):
        code = f"import importlib.metadata as m; print(m.version({package!r}))"
        return run([self.python, "-c", code]).strip()


class LlamaCpp:
    """llama.cpp's programs of one build."""

    def __init__(self, folder, amx):
        self.folder, self.amx = folder, amx
        self.bench = folder / "llama-bench"
        self.quantize = folder / "llama-quantize"
        self.first_token = folder / "first_token"
        self.label = f"llama.cpp {'with' if amx else 'without'} AMX"


def download_command(work, environment):
    return [environment.python, "-m", "pip", "download", "--no-deps", "--no-binary", "llama-cpp-python",
            "-d", work / "sdist", f"llama-cpp-python=={LLAMA_CPP_PYTHON}"]


def source(work, environment):
    """The folder with llama.cpp's source, out of llama-cpp-python's sdist."""
    root = work / f"llama.cpp-{LLAMA_CPP_PYTHON}"
    if (root / "CMakeLists.txt").exists() and "PEER_CPU_FLAGS" in (root / "ggml/src/ggml-cpu/CMakeLists.txt").read_text():
        return root
    # None, or one of before the flags could be given: both builds would be with AMX.
    shutil.rmtree(root, ignore_errors=True)
    downloads = work / "sdist"
    name = f"llama_cpp_python-{LLAMA_CPP_PYTHON}.tar.gz"
    if not (downloads / name).exists():
        say(f"llama-cpp-python {LLAMA_CPP_PYTHON}, sdist")
        run(download_command(work, environment), work / "download.log")
    prefix = f"llama_cpp_python-{LLAMA_CPP_PYTHON}/vendor/llama.cpp/"
    partial = root.with_suffix(".part")
    shutil.rmtree(partial, ignore_errors=True)
    # Python before 3.11.4 has no filters.
    safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(downloads / name) as archive:
        for member in archive:
            if member.name.startswith(prefix) and (member.isfile() or member.isdir()):
                member.name = member.name[len(prefix):]
                archive.extract(member, partial, **safely)
    keep_tile_configuration(partial)
    open_flags(partial)
    partial.rename(root)
    return root


def keep_tile_configuration(root):
    """gcc 12 drops the stores into the AMX tile configuration, because it does not know that
    `ldtilecfg` reads them, and every quantised model crashes: a barrier before the load keeps them."""
    path = root / "ggml/src/ggml-cpu/amx/mmq.cpp"
    text = path.read_text()
    if text.count(LOAD_CONFIG) != 1:
        raise SystemExit(f"compare.py: {path} does not load its tile configuration as expected; "
                         "look there for the stores that gcc 12 drops")
    path.write_text(text.replace(LOAD_CONFIG, BARRIER + LOAD_CONFIG))


def open_flags(root):
    """Lets the flags of the processor's own code, the only part that differs between the builds, be given:
    the rest of llama.cpp is compiled once."""
    path = root / "ggml/src/ggml-cpu/CMakeLists.txt"
    text = path.read_text()
    if text.count(CPU_FLAGS) != 1:
        raise SystemExit(f"compare.py: {path} does not pass its flags as expected")
    path.write_text(text.replace(CPU_FLAGS, CPU_FLAGS[:-1] + " ${PEER_CPU_FLAGS})"))


def cpu_options(amx, march):
    """CMake's options for the processor: this one, or `march` by name. All that it has stays on but AMX, which
    alone tells the two builds apart."""
    off = [] if amx else ["-mno-amx-tile", "-mno-amx-int8", "-mno-amx-bf16"]
    known = march or has_amx()  # a compiler that is older than AMX does not know how to leave it out
    flags = [f"-march={march}"] * bool(march) + off * bool(known)
    return {"GGML_NATIVE": "OFF" if march else "ON", "PEER_CPU_FLAGS": ";".join(flags)}


def configure_command(work, environment, amx, compiler, march=None):
    """(build folder, CMake's command)."""
    key = hashlib.sha256(f"{LLAMA_CPP_PYTHON} {compiler} {march} {sorted(cpu_flags())}".encode()).hexdigest()[:8]
    out = work / f"build-{key}"
    c, cxx = compilers(compiler)
    variables = {
        "CMAKE_BUILD_TYPE": "Release", "CMAKE_C_COMPILER": c, "CMAKE_CXX_COMPILER": cxx,
        "CMAKE_MAKE_PROGRAM": environment.bin / "ninja", "BUILD_SHARED_LIBS": "OFF", "GGML_CCACHE": "OFF",
        "LLAMA_BUILD_SERVER": "OFF", "LLAMA_BUILD_TESTS": "OFF", "LLAMA_BUILD_EXAMPLES": "OFF", "LLAMA_CURL": "OFF",
        "LLAMA_OPENSSL": "OFF", **cpu_options(amx, march),
    }
    src = work / f"llama.cpp-{LLAMA_CPP_PYTHON}"
    return out, [environment.bin / "cmake", "-S", src, "-B", out, "-G", "Ninja",
                 *(f"-D{name}={value}" for name, value in variables.items())]


def build(work, environment, amx, jobs, compiler=None, march=None):
    """llama.cpp for this processor (or for `march`), with or without AMX; one build where the processor has none."""
    src = source(work, environment)
    out, configure = configure_command(work, environment, amx, compiler, march)
    name = "amx" if amx else "no-amx"
    found = LlamaCpp(out / "peer" / name, amx)
    if (found.folder / "done").exists():
        return found
    c, cxx = compilers(compiler)
    say(f"building {found.label} with {c} (the first build may take 20 minutes on two cores; log: {out}.{name}.log)")
    run(configure, f"{out}.configure.log")
    run(build_command(environment, out, jobs), f"{out}.{name}.log")
    # A static executable each: the next build in this folder replaces the one in bin.
    found.folder.mkdir(parents=True, exist_ok=True)
    for program in (found.bench, found.quantize):
        shutil.copy2(out / "bin" / program.name, program)
    run(first_token_command(src, out, cxx, found.first_token), f"{found.first_token}.log")
    (found.folder / "done").write_text(f"{c}\n")
    return found


def build_command(environment, out, jobs):
    return [environment.bin / "cmake", "--build", out, "-j", jobs, "--target", *TARGETS]


def compilers(chosen):
    """The C and the C++ compiler: `chosen` (clang, gcc-13 ...) or the system's."""
    c = chosen or "cc"
    cxx = c.replace("clang", "clang++") if "clang" in c else c.replace("gcc", "g++") if "gcc" in c else "c++"
    for name in (c, cxx):
        if not shutil.which(name):
            raise Missing(f"{name} not found", "g++ or clang (Debian), or name another by --compiler")
    return c, cxx


def first_token_command(src, out, cxx, program):
    """Our small program on llama.cpp's library: load, token ids in, first token out."""
    libraries = [out / "src/libllama.a", *(out / f"ggml/src/lib{name}.a" for name in ("ggml", "ggml-cpu", "ggml-base"))]
    cache = out / "CMakeCache.txt"
    # clang without libomp builds ggml without OpenMP.
    openmp = ["-fopenmp"] * (not cache.exists() or "GGML_OPENMP_ENABLED:INTERNAL=ON" in cache.read_text())
    return [cxx, "-O2", "-std=c++17", HERE / "first_token.cpp", "-I", src / "include", "-I", src / "ggml/include",
            "-o", program, "-Wl,--start-group", *libraries, "-Wl,--end-group", *openmp, "-lpthread", "-ldl", "-lm"]


def verify_commands(amx, plain, gguf, threads, logits):
    """A run of each that says which memory the weights went to; the logits of 8 tokens by the build with and without."""
    told = ["-m", gguf, "-p", "16", "-n", "0", "-r", "1", "-t", threads, "-v"]
    return ([amx.bench, *told], [plain.bench, *told],
            [amx.first_token, gguf, threads, logits], [plain.first_token, gguf, threads, logits])


def read_logits(command, path):
    run(command)
    values = array.array("f")
    values.frombytes(path.read_bytes())
    path.unlink()
    return values


def our_logits(rkllm, artifact, threads, path):
    """Ours after the same 8 tokens."""
    tokens = ",".join(str(100 + 37 * i) for i in range(8))
    run([rkllm, "logits", artifact, "--tokens", tokens, "--threads", threads, "--quiet", "-o", path])
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        tensor = header["logits"]
        start, end = tensor["data_offsets"]
        file.seek(start, os.SEEK_CUR)
        values = array.array("f")
        values.frombytes(file.read(end - start))
    path.unlink()
    return values[-tensor["shape"][-1]:]


def same_model(rkllm, peer, model, threads, work):
    """How near both engines' logits are: with 8 bits they agree but for rounding; 4 bits of random weights, cut in other
    groups, leave less, and two different models nothing."""
    path = work / "logits.f32"
    theirs = read_logits([peer.first_token, model.gguf, threads, path], path)
    near = cosine(our_logits(rkllm, model.artifact, threads, path), theirs)
    if not near > SAME_MODEL[model.scheme]:
        raise SystemExit(f"compare.py: {model.artifact} and {model.gguf} are not one model (cosine {near:.4f})")
    return round(near, 4)


def cosine(a, b):
    norms = sum(x * x for x in a) * sum(x * x for x in b)
    return sum(x * y for x, y in zip(a, b)) / norms ** 0.5 if norms else math.nan


def buffers(said):
    """What llama.cpp says of the memory its weights went to."""
    return [line for line in said.splitlines() if "buffer size" in line]


def verify(amx, plain, gguf, threads, work):
    """How near the AMX build's logits are to the other one's: a broken tile configuration crashes, or gives
    other numbers."""
    stamp = work / f"verified-{gguf.name}-{amx.folder.parent.parent.name}"
    if stamp.exists():
        return stamp.read_text()
    path = work / "logits.f32"
    bench, without, ours, theirs = verify_commands(amx, plain, gguf, threads, path)
    code, said = tried(bench)
    if code != 0:
        end = "\n".join(said.splitlines()[-15:])
        raise SystemExit(f"compare.py: the AMX build fails ({code}): its tile configuration may be miscompiled; "
                         f"try another compiler, --compiler clang\n{end}")
    if not any("AMX model buffer" in line for line in buffers(said)):
        raise SystemExit("compare.py: the AMX build does not use AMX here; its own words:\n" + "\n".join(buffers(said)))
    said = buffers(tried(without)[1])
    if any("AMX model buffer" in line for line in said):
        raise SystemExit("compare.py: the build without AMX uses it, so it compares nothing: remove its folder and build it again\n"
                         + "\n".join(said))
    near = cosine(read_logits(ours, path), read_logits(theirs, path))
    if not near > 0.99:
        raise SystemExit(f"compare.py: with and without AMX llama.cpp's logits differ (cosine {near:.4f})")
    stamp.write_text(f"{near:.6f}")
    return stamp.read_text()


def tile_stores(disassembly):
    """How many of the 40 instructions before each `ldtilecfg` write into the 64 bytes that it reads: zeros, the
    palette, rows and columns. gcc 12.2 without the barrier drops the last two."""
    lines, found = disassembly.splitlines(), []
    for at, line in enumerate(lines):
        loaded = re.search(r"ldtilecfg\s+" + PLACE, line)
        if loaded:
            written = [STORE.search(before) for before in lines[max(0, at - 40):at]]
            offsets = [place(store) - place(loaded) for store in written if store and store["base"] == loaded["base"]]
            found.append(sum(0 <= offset < 64 for offset in offsets))
    return found


def place(found):
    return int(found["sign"] + (found["offset"] or "0"), 16)
