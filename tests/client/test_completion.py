"""Shell completion of the command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.client.scenarios import LIMIT, environment

COMPLETE = """
eval "$(_IMGSVC_COMPLETE=bash_source imgsvc)"
COMP_WORDS=(imgsvc {words})
COMP_CWORD={last}
_imgsvc_completion imgsvc
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


class CompletionTests(SynchronousTestCase):
    """Runs the command that is installed beside this Python."""

    def output(self, *command: str, **variables: str) -> str:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            command,
            env={**environment(), "PATH": path, **variables},
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=True,
        ).stdout

    def in_bash(self, *words: str) -> list[str]:
        script = COMPLETE.format(words=" ".join(f"'{word}'" for word in words), last=len(words))
        return self.output("bash", "-c", script).split()

    def test_bash(self) -> None:
        """Bash completes subcommands, options and their values, as docs/client.md says."""
        self.assertEqual(self.in_bash("de"), ["deactivate", "delete"])
        self.assertEqual(self.in_bash("list", "--vis"), ["--visibility"])
        self.assertEqual(self.in_bash("list", "--visibility", "p"), ["public", "private"])
        self.assertEqual(self.in_bash("list", "--status", "de"), ["deactivated", "deleted"])
        self.assertEqual(self.in_bash("list", "--member-status", "p"), ["pending"])
        self.assertEqual(self.in_bash("list", "--sort", "name,s"), ["name,status", "name,size"])

    def test_files(self) -> None:
        """Where a file is expected, the shell completes files."""
        for words in ("imgsvc upload ", "imgsvc download x -o "):
            count = str(len(words.split()))
            variables = {"_IMGSVC_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": count}
            self.assertEqual(self.output("imgsvc", **variables), "file,\n")

    def test_other_shells(self) -> None:
        """zsh and fish get a script too."""
        for shell, beginning in (("zsh", "#compdef imgsvc"), ("fish", "function _imgsvc_completion")):
            self.assertTrue(self.output("imgsvc", _IMGSVC_COMPLETE=f"{shell}_source").startswith(beginning))
