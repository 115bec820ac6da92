"""Builds of the kernels for tests."""

from __future__ import annotations

import atexit
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from attrs import evolve

from imgsvc.hashing.compiled import CompiledHasher
from imgsvc.hashing.hatch_build import FLAGS
from imgsvc.hashing.library import FILE, Instructions, Library, load_library

SOURCE = FILE.with_name("kernels.c")
BY_AVX2 = "-DAVX512_BY_AVX2"
"""With this the kernels for AVX-512 run on processors without it."""


def build(to: Path, *flags: str, source: Path = SOURCE) -> Path:
    """Compile the kernels, or another source."""
    subprocess.run(["cc", *FLAGS, *flags, "-o", str(to), str(source)], check=True)
    return to


def by_avx2(file: Path) -> Library:
    """The library in a file that was built with BY_AVX2: it does what AVX-512 would."""
    library = load_library(file)
    return evolve(library, instructions=library.instructions | Instructions.AVX512)


@cache
def hashers() -> tuple[CompiledHasher, ...]:
    """Hashers with all kernels: for AVX2, without SHA-NI, and for AVX-512."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    native = load_library()
    avx2 = evolve(native, instructions=native.instructions & ~Instructions.AVX512)
    libraries = [avx2, evolve(avx2, instructions=Instructions.AVX2), by_avx2(build(folder / "by_avx2.so", BY_AVX2))]
    if native.instructions & Instructions.AVX512:
        libraries.append(native)
    return tuple(CompiledHasher(library) for library in libraries)
