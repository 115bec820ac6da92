"""The parent of workers, and its view of a worker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from imgsvc import config as configuration
from imgsvc.config import Config
from imgsvc.daemon.child import Worker
from imgsvc.daemon.parent import PATIENCE, ParentService
from imgsvc.errors import ConfigurationError
from imgsvc.log import LogOutput


class Pipe:
    """The process of a worker. Keeps the lines that it gets."""

    pid = 1

    def __init__(self) -> None:
        self.told: list[str] = []

    def write(self, data: bytes) -> None:
        self.told += data.decode().splitlines()


class Report:
    """Keeps the reported outcome of the start."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def begin(self) -> None:
        """Nothing to do."""

    def serving(self) -> None:
        self.said.append("serving")

    def failed(self, reason: str) -> None:
        self.said.append(f"failed: {reason}")

    def rejected(self, reason: str) -> None:
        self.said.append(f"rejected: {reason}")


class ReloadTests(SynchronousTestCase):
    """ParentService.reload"""

    def setUp(self) -> None:
        self.clock = Clock()
        self.before, self.after = Config(), configuration.from_json(json.dumps({"server": {"grace": 7}}))
        with open("log", "w") as stream:
            output = LogOutput("text", stream)
        self.parent = ParentService(self.before, Path(), output, [], self.clock, Report())
        self.pipes: list[Pipe] = []

    def add(self) -> Worker:
        """Add a worker that does not answer yet."""
        worker = Worker(self.clock, lambda: None, lambda *how: None)
        pipe: Any = Pipe()
        worker.makeConnection(pipe)
        self.pipes.append(pipe)
        self.parent._workers.add(worker)
        return worker

    def reload(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.parent.reload(self.after))

    def asked(self) -> list[Worker]:
        """The workers that got the configuration."""
        return [worker for worker in self.parent._workers if worker._process.told]

    def test_accepted(self) -> None:
        """One worker gets the configuration, and the others after it has accepted. Then it is also the parent's."""
        self.add()
        self.add()
        reloaded = self.reload()
        (first,) = self.asked()
        self.assertEqual(self.parent.config, self.before)
        first.childDataReceived(1, b"reloaded\n")
        self.successResultOf(reloaded)
        self.assertEqual(len(self.asked()), 2)
        self.assertEqual(self.pipes[0].told, self.pipes[1].told)
        self.assertEqual(self.parent.config, self.after)

    def test_refused(self) -> None:
        """If one worker refuses, the others are not told."""
        self.add()
        self.add()
        reloaded = self.reload()
        (first,) = self.asked()
        first.childDataReceived(1, b"refused it is no good\n")
        self.assertEqual(str(self.failureResultOf(reloaded, ConfigurationError).value), "it is no good")
        self.assertEqual(self.asked(), [first])
        self.assertEqual(self.parent.config, self.before)

    def test_no_answer(self) -> None:
        """If one worker hangs or ends, another is asked. A late answer counts for its own question."""
        for _ in range(3):
            self.add()
        reloaded = self.reload()
        (hung,) = self.asked()
        self.clock.advance(PATIENCE)
        (ended,) = [worker for worker in self.asked() if worker is not hung]
        ended.processEnded(Failure(ProcessDone(0)))
        (last,) = [worker for worker in self.asked() if worker not in (hung, ended)]
        last.childDataReceived(1, b"reloaded\n")
        self.successResultOf(reloaded)
        hung.childDataReceived(1, b"refused late\nreloaded\n")
        self.assertEqual(self.parent.config, self.after)

    def test_nobody(self) -> None:
        """If no worker answers, nothing changes."""
        worker = self.add()
        reloaded = self.reload()
        worker.processEnded(Failure(ProcessDone(0)))
        self.failureResultOf(reloaded, ConfigurationError)
        self.assertEqual(self.parent.config, self.before)

    def test_too_early(self) -> None:
        """The first worker starts with a configuration that was read before."""
        self.successResultOf(self.reload())
        self.assertEqual(self.parent.config, self.after)


class StopTests(SynchronousTestCase):
    """A ParentService that is stopped while its first worker starts."""

    def test_serves_too_late(self) -> None:
        """If a worker serves only after the stop, no others are started, and nobody is told."""
        with open("log", "w") as stream:
            output = LogOutput("text", stream)
        report = Report()
        parent = ParentService(Config(), Path(), output, [], Clock(), report)
        stopped = parent.stopService()
        self.successResultOf(stopped)
        worker = Worker(Clock(), parent._serving, parent._ended)
        worker.childDataReceived(1, b"serving\n")
        self.assertEqual(report.said, [])
        self.assertEqual(parent._workers, set())
