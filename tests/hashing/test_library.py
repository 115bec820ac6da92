"""Where the kernels cannot be used: no compiler, another processor, a wrong or damaged file, wrong digests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.hashing.compiled import CompiledHasher
from imgsvc.hashing.interfaces import HasherUnavailable
from imgsvc.hashing.library import Instructions, Library, load_library
from imgsvc.hashing.self_test import check_hasher
from tests.hashing.builds import SOURCE, build, by_avx2
from tests.hashing.comparison import compare


class LibraryTests(SynchronousTestCase):
    """load_library, and the check that follows it."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def refused(self, file: Path) -> str:
        """The reason why a file is not used."""
        return str(self.assertRaises(HasherUnavailable, load_library, file))

    def compiled(self, name: str, *changes: tuple[str, str]) -> Path:
        """The kernels, with changes to their source."""
        text = SOURCE.read_text()
        for before, after in changes:
            self.assertIn(before, text)
            text = text.replace(before, after)
        changed = self.folder / f"{name}.c"
        changed.write_text(text)
        return build(self.folder / f"{name}.so", "-O0", f"-I{SOURCE.parent}", source=changed)

    def test_no_file(self) -> None:
        """Without a compiler there is no file."""
        self.assertIn("no C compiler", self.refused(self.folder / "missing.so"))

    def test_no_library(self) -> None:
        """A file that is no shared object, or not ours, is refused."""
        text = self.folder / "text.so"
        text.write_text("text")
        self.assertIn("cannot be loaded", self.refused(text))
        other = self.folder / "other.c"
        other.write_text("int other;")
        self.assertIn("cannot be loaded", self.refused(build(self.folder / "other.so", source=other)))

    def test_other_version(self) -> None:
        """So is one with another interface, as it may be left from before an update."""
        file = self.compiled("older", ("return 1;", "return 0;"))
        self.assertIn("another version", self.refused(file))

    def test_other_processors(self) -> None:
        """So is every one on a processor without AVX2."""
        file = self.compiled("without", ("return avx2 * AVX2", "return 0 * AVX2"))
        self.assertIn("no AVX2", self.refused(file))

    def test_wrong_digests(self) -> None:
        """Kernels that compute anything else than hashlib are not used, whichever of them it is."""
        rounds = (SOURCE.parent / "rounds.h").read_text()
        lanes = (SOURCE.parent / "lanes.h").read_text()
        for name, before, after in (
            ("md5", "(3 * (i) + 5) & 15, 23,", "(3 * (i) + 5) & 15, 24,"),
            ("lanes", "for (int part = 1; part < 5; part++)", "for (int part = 1; part < 4; part++)"),
        ):
            folder = self.folder / name
            folder.mkdir()
            for file in SOURCE.parent.glob("*.[ch]"):
                (folder / file.name).write_bytes(file.read_bytes())
            text, changed = (rounds, "rounds.h") if name == "md5" else (lanes, "lanes.h")
            self.assertIn(before, text)
            (folder / changed).write_text(text.replace(before, after))
            library = load_library(build(folder / "kernels.so", "-O0", source=folder / "kernels.c"))
            error = self.assertRaises(HasherUnavailable, check_hasher, CompiledHasher(library))
            self.assertIn("is wrong on this machine", str(error))

    def test_right_digests(self) -> None:
        """The kernels of this machine pass, with and without AVX-512."""
        check_hasher(CompiledHasher(load_library()))
        check_hasher(CompiledHasher(without_avx512(load_library())))


class SanitizerTests(SynchronousTestCase):
    """The kernels under the address and undefined-behaviour sanitizers of the compiler."""

    def test_random_streams(self) -> None:
        """No kernel reads or writes beside its data, nor does what C leaves undefined."""
        file = build(
            Path(self.mktemp() + ".so").absolute(),
            "-O1",
            "-g",
            "-DAVX512_BY_AVX2",
            "-fsanitize=address,undefined",
            "-fno-sanitize-recover=all",
        )
        runtime = subprocess.run(["cc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
        environment = {
            **os.environ,
            "LD_PRELOAD": runtime.stdout.strip(),
            # What the interpreter itself leaves at its end is no leak of ours. Its small objects would hide overflows.
            "ASAN_OPTIONS": "detect_leaks=0",
            "PYTHONMALLOC": "malloc",
        }
        ran = subprocess.run(
            [sys.executable, "-m", "tests.hashing.test_library", str(file)],
            env=environment,
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            timeout=300,
        )
        self.assertEqual((ran.returncode, ran.stdout), (0, "no difference\n"), ran.stderr)


def without_avx512(library: Library) -> Library:
    """The same functions, told to use AVX2 only."""
    return evolve(library, instructions=library.instructions & ~Instructions.AVX512)


if __name__ == "__main__":
    of_avx512 = by_avx2(Path(sys.argv[1]))
    for each in (without_avx512(of_avx512), of_avx512):
        for seed in range(40):
            compare(CompiledHasher(each), Random(seed))
    print("no difference")
