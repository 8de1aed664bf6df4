#!/usr/bin/env python3
"""Makes kernels/ptx/*.ptx from kernels/dialect/cuda.h and each kernel's gpu.cc.

    make_ptx.py            write them
    make_ptx.py --check    fail, naming the kernel, where one is not what its source gives
    make_ptx.py --ptxas    assemble each for sm_80 and sm_90; fail on a register that is spilled to memory

Needs no GPU and no driver: pip install nvidia-cuda-nvrtc-cu12==12.1.105, and nvidia-cuda-nvcc-cu12 for --ptxas.
PTX newer than a driver is refused by it, so the oldest compiler that knows the features makes it, for compute_70.
"""

import argparse
import ctypes
import importlib.util
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
KERNELS = ["arima_fit", "arima_forecast", "conformal_update", "lstm_step", "placement_score"]
NVRTC_VERSION = (12, 1)
OPTIONS = [b"--gpu-architecture=compute_70", b"--fmad=false", b"--std=c++17", b"--restrict"]
ARCHITECTURES = ["sm_80", "sm_90"]


def die(text):
    sys.exit(f"make_ptx: {text}")


def package(name, pattern):
    """A file of an installed pip package."""
    spec = importlib.util.find_spec(name)
    for place in spec.submodule_search_locations if spec else []:
        for found in sorted(pathlib.Path(place).glob(pattern)):
            return found
    return None


class Nvrtc:
    """The run-time compiler, through its C interface."""

    def __init__(self):
        path = package("nvidia.cuda_nvrtc", "lib/libnvrtc.so.12")
        if path is None:
            die("no compiler; pip install nvidia-cuda-nvrtc-cu12==12.1.105")
        self.lib = ctypes.CDLL(str(path))
        self.lib.nvrtcGetErrorString.restype = ctypes.c_char_p
        major, minor = ctypes.c_int(), ctypes.c_int()
        self.must(self.lib.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)), "version")
        if (major.value, minor.value) != NVRTC_VERSION:
            die(f"NVRTC is {major.value}.{minor.value}, needs 12.1; pip install nvidia-cuda-nvrtc-cu12==12.1.105")

    def must(self, code, what):
        if code != 0:
            die(f"{what}: {self.lib.nvrtcGetErrorString(code).decode()}")

    def text(self, program, size_of, get):
        size = ctypes.c_size_t()
        self.must(size_of(program, ctypes.byref(size)), "size")
        buffer = ctypes.create_string_buffer(size.value)
        self.must(get(program, buffer), "text")
        return buffer.value.decode()

    def compile(self, kernel):
        folder = ROOT / "kernels"
        body = (folder / kernel / "gpu.cc").read_text()
        if not body.strip():
            return ""
        source = (folder / "dialect" / "cuda.h").read_text() + "\n" + body
        program = ctypes.c_void_p()
        created = self.lib.nvrtcCreateProgram(
            ctypes.byref(program), source.encode(), f"{kernel}.cu".encode(), 0, None, None
        )
        self.must(created, kernel)
        options = (ctypes.c_char_p * len(OPTIONS))(*OPTIONS)
        code = self.lib.nvrtcCompileProgram(program, len(OPTIONS), options)
        log = self.text(program, self.lib.nvrtcGetProgramLogSize, self.lib.nvrtcGetProgramLog)
        if code != 0:
            die(f"{kernel} does not compile:\n{log}")
        if log.strip():
            die(f"{kernel} compiles with warnings:\n{log}")
        ptx = self.text(program, self.lib.nvrtcGetPTXSize, self.lib.nvrtcGetPTX)
        if f".entry {kernel}(" not in ptx:
            die(f"{kernel} has no entry point of its name")
        return ptx


def target(kernel):
    return ROOT / "kernels" / "ptx" / f"{kernel}.ptx"


def make(check):
    nvrtc, stale = Nvrtc(), []
    for kernel in KERNELS:
        ptx = nvrtc.compile(kernel)
        if check and target(kernel).read_text() != ptx:
            stale.append(kernel)
        elif not check:
            target(kernel).write_text(ptx)
    if stale:
        die(f"kernels/ptx is not what the source gives: {', '.join(stale)}; run tools/make_ptx.py")
    print(f"{len(KERNELS)} kernels {'checked' if check else 'written'}")


def assemble():
    ptxas = package("nvidia.cuda_nvcc", "bin/ptxas")
    if ptxas is None:
        die("no assembler; pip install nvidia-cuda-nvcc-cu12")
    spilled = []
    with tempfile.TemporaryDirectory() as scratch:
        for kernel in KERNELS:
            if not target(kernel).read_text().strip():
                print(f"{kernel:<17} no PTX")
                continue
            for arch in ARCHITECTURES:
                out = pathlib.Path(scratch) / f"{kernel}.{arch}.cubin"
                command = [str(ptxas), f"-arch={arch}", "-v", str(target(kernel)), "-o", str(out)]
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode != 0:
                    die(f"{kernel} for {arch}: {done.stderr.strip()}")
                numbers = {
                    what: int(found.group(1)) if (found := re.search(pattern, done.stderr)) else 0
                    for what, pattern in {
                        "registers": r"Used (\d+) registers",
                        "shared": r"(\d+) bytes smem",
                        "stack": r"(\d+) bytes stack frame",
                        "stores": r"(\d+) bytes spill stores",
                        "loads": r"(\d+) bytes spill loads",
                    }.items()
                }
                print(
                    f"{kernel:<17} {arch} {numbers['registers']:>4} registers {numbers['shared']:>6} bytes shared"
                    f" {numbers['stack']:>5} bytes stack, spills {numbers['stores']} and {numbers['loads']} bytes"
                )
                if numbers["stores"] or numbers["loads"]:
                    spilled.append(f"{kernel} for {arch}")
    if spilled:
        die(f"registers are spilled: {', '.join(spilled)}")


def main():
    parser = argparse.ArgumentParser(description="Makes and checks the CUDA assembly of the kernels.")
    parser.add_argument("--check", action="store_true", help="compare with what the sources give")
    parser.add_argument("--ptxas", action="store_true", help="assemble for sm_80 and sm_90")
    args = parser.parse_args()
    if args.check or not args.ptxas:
        make(args.check)
    if args.ptxas:
        assemble()


if __name__ == "__main__":
    main()
