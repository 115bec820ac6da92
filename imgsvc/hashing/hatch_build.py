"""Compiles kernels.c when the package is built: a part of pyproject.toml, not of the package.

Without a C compiler, or not for Linux on x86-64, the package has no kernels, and hashlib computes all digests.
The environment variable IMGSVC_BUILD_KERNELS is `auto`, `require` (a failure to compile ends the build) or `off`.
CC and CFLAGS are used as by other builds.
"""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FLAGS = ("-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-Wno-psabi")
FOLDER = "imgsvc/hashing"


class KernelsBuildHook(BuildHookInterface[BuilderConfig]):
    """The build hook of hatchling, see https://hatch.pypa.io/latest/plugins/build-hook/custom/."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add `kernels.so` to what is built. version: `editable` or `standard`."""
        wanted = os.environ.get("IMGSVC_BUILD_KERNELS", "auto")
        supported = sys.platform == "linux" and platform.machine() == "x86_64"
        if self.target_name != "wheel" or wanted == "off" or not (supported or wanted == "require"):
            return
        folder = Path(self.root, FOLDER)
        # An editable package is imported from the source tree, so the file must be there.
        to = folder / "kernels.so" if version == "editable" else Path(tempfile.mkdtemp(), "kernels.so")
        compiler = shlex.split(os.environ.get("CC", "cc"))
        more = shlex.split(os.environ.get("CFLAGS", ""))
        try:
            # The name of a file that a process has loaded must not be written to: it gets a new file.
            draft = to.with_suffix(f".{os.getpid()}")
            subprocess.run(
                [*compiler, *FLAGS, *more, "-o", str(draft), str(folder / "kernels.c")], check=True, timeout=300
            )
            draft.replace(to)
        except (OSError, subprocess.SubprocessError) as error:
            to.unlink(missing_ok=True)  # of an earlier version
            if wanted == "require":
                raise
            self.app.display_warning(f"imgsvc is built without compiled kernels, hashlib computes all digests: {error}")
            return
        if version != "editable":
            build_data["force_include"][str(to)] = f"{FOLDER}/kernels.so"
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
