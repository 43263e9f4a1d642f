"""What the comparison is made with: a Python environment of its own, and llama.cpp built from source.

Everything lies in one folder and is made once. Packages come from PyPI by pip, as it is set up here.
"""

import array
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
# The release the anchors of this project were measured with.
LLAMA_CPP_PYTHON = "0.3.36"
PACKAGES = ["cmake", "ninja", "numpy", "gguf", "onnx", "onnxruntime"]
TARGETS = ["llama-bench", "llama-quantize", "llama", "ggml"]
LOAD_CONFIG = "    _tile_loadconfig(&tc);\n"
BARRIER = '    __asm__ volatile("" : : "r"(&tc) : "memory");\n'


class Missing(SystemExit):
    """A tool this machine lacks, with what to install."""

    def __init__(self, what, install):
        super().__init__(f"compare.py: {what}\n  install: {install}")


def say(text):
    print(time.strftime("%H:%M:%S "), text, sep="", file=sys.stderr, flush=True)


def run(command, log=None, **options):
    """Runs a command that must work; what it prints goes to `log`, whose end is shown if it fails."""
    command = [str(part) for part in command]
    if log is None:
        return subprocess.run(command, check=True, text=True, capture_output=True, **options).stdout
    with open(log, "w") as file:
        file.write(" ".join(command) + "\n")
        file.flush()
        code = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, **options).returncode
    if code != 0:
        tail = "\n".join(Path(log).read_text(errors="replace").splitlines()[-15:])
        raise SystemExit(f"compare.py: {command[0]} failed ({code}); the end of {log}:\n{tail}")
    return None


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

    def make(self, log):
        stamp = self.root / "packages"
        if stamp.exists() and stamp.read_text() == " ".join(PACKAGES):
            return self
        say(f"python environment: {', '.join(PACKAGES)}")
        try:
            run([sys.executable, "-m", "venv", self.root], log)
        except SystemExit as error:
            raise Missing(f"no Python environment can be made\n{error}", "python3-venv (Debian)") from None
        run([self.python, "-m", "pip", "install", "--quiet", *PACKAGES], log)
        stamp.write_text(" ".join(PACKAGES))
        return self

    def version(self, package):
        code = f"import importlib.metadata as m; print(m.version({package!r}))"
        return run([self.python, "-c", code]).strip()


class LlamaCpp:
    """llama.cpp's programs of one build."""

    def __init__(self, build, amx):
        self.bench = build / "bin" / "llama-bench"
        self.quantize = build / "bin" / "llama-quantize"
        self.first_token = build / "first_token"
        self.amx = amx
        self.label = f"llama.cpp {'with' if amx else 'without'} AMX"


def source(work, environment):
    """The folder with llama.cpp's source, out of llama-cpp-python's sdist."""
    root = work / f"llama.cpp-{LLAMA_CPP_PYTHON}"
    if (root / "CMakeLists.txt").exists():
        return root
    downloads = work / "sdist"
    name = f"llama_cpp_python-{LLAMA_CPP_PYTHON}.tar.gz"
    if not (downloads / name).exists():
        say(f"llama-cpp-python {LLAMA_CPP_PYTHON}, sdist")
        run([environment.python, "-m", "pip", "download", "--no-deps", "--no-binary", "llama-cpp-python",
             "-d", downloads, f"llama-cpp-python=={LLAMA_CPP_PYTHON}"], work / "download.log")
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


def build(work, environment, amx, jobs, compiler=None):
    """llama.cpp for this processor, with or without AMX; one build where the processor has none."""
    src = source(work, environment)
    key = hashlib.sha256(f"{LLAMA_CPP_PYTHON} {amx} {compiler} {sorted(cpu_flags())}".encode()).hexdigest()[:8]
    out = work / f"build-{'amx' if amx else 'no-amx'}-{key}"
    found = LlamaCpp(out, amx)
    if (out / "done").exists():
        return found
    c, cxx = compilers(compiler)
    say(f"building {found.label} with {c} (20 minutes on two busy cores; log: {out}.log)")
    # Everything else the processor has stays on: only AMX tells the two builds apart.
    flags = "" if amx else "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16" if has_amx() else ""
    variables = {
        "CMAKE_BUILD_TYPE": "Release", "CMAKE_C_COMPILER": c, "CMAKE_CXX_COMPILER": cxx,
        "CMAKE_C_FLAGS": flags, "CMAKE_CXX_FLAGS": flags, "CMAKE_MAKE_PROGRAM": environment.bin / "ninja",
        "BUILD_SHARED_LIBS": "OFF", "GGML_NATIVE": "ON", "GGML_CCACHE": "OFF", "LLAMA_BUILD_SERVER": "OFF",
        "LLAMA_BUILD_TESTS": "OFF", "LLAMA_BUILD_EXAMPLES": "OFF", "LLAMA_CURL": "OFF", "LLAMA_OPENSSL": "OFF",
    }
    run([environment.bin / "cmake", "-S", src, "-B", out, "-G", "Ninja",
         *(f"-D{name}={value}" for name, value in variables.items())], f"{out}.configure.log")
    run([environment.bin / "cmake", "--build", out, "-j", jobs, "--target", *TARGETS], f"{out}.log")
    build_first_token(src, out, cxx, found.first_token)
    (out / "done").write_text(f"{c}\n")
    return found


def compilers(chosen):
    """The C and the C++ compiler: `chosen` (clang, gcc-13 ...) or the system's."""
    c = chosen or "cc"
    cxx = c.replace("clang", "clang++") if "clang" in c else c.replace("gcc", "g++") if "gcc" in c else "c++"
    for name in (c, cxx):
        if not shutil.which(name):
            raise Missing(f"{name} not found", "g++ or clang (Debian), or name another by --compiler")
    return c, cxx


def build_first_token(src, out, cxx, program):
    """Our small program on llama.cpp's library: load, token ids in, first token out."""
    libraries = [out / "src/libllama.a", *(out / f"ggml/src/lib{name}.a" for name in ("ggml", "ggml-cpu", "ggml-base"))]
    command = [cxx, "-O2", "-std=c++17", HERE / "first_token.cpp", "-I", src / "include", "-I", src / "ggml/include",
               "-o", program, "-Wl,--start-group", *libraries, "-Wl,--end-group", "-fopenmp", "-lpthread", "-ldl", "-lm"]
    run(command, f"{out}.first_token.log")


def logits(peer, gguf, threads, path):
    """The logits after the prompt."""
    run([peer.first_token, gguf, threads, path])
    values = array.array("f")
    values.frombytes(Path(path).read_bytes())
    os.unlink(path)
    return values


def verify(amx, plain, gguf, threads, work):
    """Whether the AMX build computes at all, and what the other one does: a broken tile configuration
    crashes, or gives other numbers."""
    stamp = work / f"verified-{gguf.name}-{amx.bench.parent.parent.name}"
    if stamp.exists():
        return stamp.read_text()
    shown = subprocess.run([amx.bench, "-m", gguf, "-p", "16", "-n", "0", "-r", "1", "-t", str(threads), "-v"],
                           capture_output=True, text=True, errors="replace")
    if shown.returncode != 0:
        raise SystemExit(f"compare.py: the AMX build fails ({shown.returncode}): its tile configuration may be "
                         "miscompiled; try another compiler, --compiler clang")
    if "AMX model buffer" not in shown.stderr:
        buffers = "\n".join(line for line in shown.stderr.splitlines() if "buffer size" in line)
        raise SystemExit(f"compare.py: the AMX build does not use AMX here; its own words:\n{buffers}")
    ours, theirs = (logits(peer, gguf, threads, work / "logits.f32") for peer in (amx, plain))
    dot = sum(a * b for a, b in zip(ours, theirs))
    cosine = dot / (sum(a * a for a in ours) * sum(b * b for b in theirs)) ** 0.5
    if not cosine > 0.99:
        raise SystemExit(f"compare.py: with and without AMX llama.cpp's logits differ (cosine {cosine:.4f})")
    stamp.write_text(f"{cosine:.6f}")
    return stamp.read_text()
