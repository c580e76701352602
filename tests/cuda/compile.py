"""Compiles the kernels in a folder with NVRTC, and says which do not compile. See kernels.sh.

    python compile.py FOLDER [EVERY]

With EVERY, only each such kernel is compiled."""

import concurrent.futures
import ctypes
import os
import pathlib
import sys
import time

import nvidia


def nvrtc_and_headers():
    """Returns NVRTC and the folders of headers, from the wheels of PyPI."""
    roots = [pathlib.Path(root) for root in nvidia.__path__]
    find = lambda pattern: sorted(path for root in roots for path in root.rglob(pattern))
    library = [path for path in find("libnvrtc.so.*") if "builtins" not in path.name and "alt" not in path.name][0]
    for builtins in find("libnvrtc-builtins.so.*"):
        ctypes.CDLL(str(builtins), mode=ctypes.RTLD_GLOBAL)
    includes = {path.parent for path in find("cuda_runtime.h")} | {path.parent.parent for path in find("cuda/std/cstdint")}
    includes |= {path.parent.parent for path in find("cooperative_groups.h")}
    return ctypes.CDLL(str(library)), sorted(includes | {include.parent for include in includes})


def compile_kernel(nvrtc, source, options):
    """Returns None, or what NVRTC says."""
    program = ctypes.c_void_p()
    check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), source, b"kernel.cu", 0, None, None))
    words = (ctypes.c_char_p * len(options))(*options)
    failed = nvrtc.nvrtcCompileProgram(program, len(options), words)
    size = ctypes.c_size_t()
    check(nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size)))
    log = ctypes.create_string_buffer(size.value)
    check(nvrtc.nvrtcGetProgramLog(program, log))
    check(nvrtc.nvrtcDestroyProgram(ctypes.byref(program)))
    return log.value.decode() if failed else None


def check(error):
    if error:
        raise SystemExit(f"NVRTC failed with error {error}")


def main(folder, every=1):
    nvrtc, headers = nvrtc_and_headers()
    major, minor = ctypes.c_int(), ctypes.c_int()
    check(nvrtc.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
    includes = [f"--include-path={header}".encode() for header in headers]
    sources = sorted(pathlib.Path(folder).glob("*.cu"))[:: int(every)]
    if not sources:
        raise SystemExit(f"there is no kernel in {folder}")
    def said_of(source):
        options = source.with_suffix(".options").read_bytes().splitlines()
        options = [option for option in options if not option.startswith((b"--include-path", b"-I"))]
        return compile_kernel(nvrtc, source.read_bytes(), options + includes)

    failed, start = 0, time.monotonic()
    # NVRTC compiles outside of Python's lock.
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for source, said in zip(sources, pool.map(said_of, sources)):
            if said is not None:
                failed += 1
                print(f"{source} does not compile:\n{said}", file=sys.stderr)
    seconds = time.monotonic() - start
    print(f"NVRTC {major.value}.{minor.value}: {len(sources) - failed} of {len(sources)} kernels compile ({seconds:.0f} s)")
    raise SystemExit(1 if failed else 0)


main(*sys.argv[1:])
