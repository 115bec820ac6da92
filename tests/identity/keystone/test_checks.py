"""Tests of imgsvc.identity.keystone.checks: few requests, and what happens when Keystone fails."""

from __future__ import annotations

import gc
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.web.server import NOT_DONE_YET, Request

from imgsvc.context import working_for
from imgsvc.errors import ServiceUnavailable
from imgsvc.identity.keystone.checks import AT_ONCE
from imgsvc.model import Caller, RequestContext
from tests.identity.keystone.rigs import NEVER, KeystoneTestCase
from tests.support.json_website import Behaviour, cut, document, half, nonsense, silence
from tests.support.keystone import FakeToken, byte_by_byte


class Held:
    """A fault that is none: holds requests back until `release`."""

    def __init__(self, api: Behaviour) -> None:
        self._api = api
        self._held: list[Request] = []

    def __call__(self, request: Request) -> int:
        self._held.append(request)
        return NOT_DONE_YET

    def release(self) -> None:
        """Answer all that are held."""
        held, self._held = self._held, []
        for request in held:
            body: Any = self._api(request)
            request.write(body)
            request.finish()


class HeldTestCase(KeystoneTestCase):
    """A Keystone that has given its token to the server, and holds back what is asked next."""

    async def hold(self) -> Held:
        await self.identify()
        self.keystone.fault = None
        held = Held(self.keystone.check)
        self.keystone.fault = held
        return held

    def context(self, deadline: float) -> RequestContext:
        """A request that waits for services until then."""
        return RequestContext("req-1", Caller(), deadline=deadline)


class JoinedTests(HeldTestCase):
    """Requests with one token at the same time."""

    async def test_one_request(self) -> None:
        """They are checked once, and all get the answer."""
        self.keystone.tokens["new"] = FakeToken(NEVER)
        held = await self.hold()
        callers = [self.identify("new") for _ in range(20)]
        await self.keystone.has_asked(3)
        held.release()
        self.assertEqual({(await caller).token for caller in callers}, {"new"})
        self.assertEqual(len(self.keystone.checks), 2)

    async def test_one_login(self) -> None:
        """Requests with different tokens wait for one token of the server."""
        for number in range(8):
            self.keystone.tokens[f"new-{number}"] = FakeToken(NEVER)
        for caller in [self.identify(f"new-{number}") for number in range(8)]:
            await caller
        self.assertEqual((len(self.keystone.logins), len(self.keystone.checks)), (1, 8))

    async def test_one_leaves(self) -> None:
        """A client that goes takes nothing from the others."""
        self.keystone.tokens["new"] = FakeToken(NEVER)
        held = await self.hold()
        goes, stays = self.identify("new"), self.identify("new")
        await self.keystone.has_asked(3)
        goes.cancel()
        self.failureResultOf(goes, CancelledError)
        held.release()
        self.assertEqual((await stays).token, "new")

    async def test_all_leave(self) -> None:
        """When all have gone, the request to Keystone ends, and nothing is left of it."""
        await self.hold()
        callers = [self.identify("new") for _ in range(3)]
        await self.keystone.has_asked(3)
        connection = [*self.keystone.open.values()][-1]
        for caller in callers:
            caller.cancel()
            self.failureResultOf(caller, CancelledError)
        await connection
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.keystone.fault = None
        self.keystone.tokens["new"] = FakeToken(NEVER)
        self.assertEqual((await self.identify("new")).token, "new")

    async def test_deadline(self) -> None:
        """A request that has waited for long enough is refused. Others wait on, each for its own time."""
        self.keystone.tokens["new"] = FakeToken(NEVER)
        held = await self.hold()
        with working_for(self.context(deadline=3.0)):
            first = self.identify("new")
        with working_for(self.context(deadline=30.0)):
            second = self.identify("new")
        await self.keystone.has_asked(3)
        self.clock.advance(3.0)
        error: Any = await self.assertFailure(first, ServiceUnavailable)
        self.assertEqual((str(error), error.retry_after), ("Keystone does not answer in time.", 1))
        with working_for(self.context(deadline=3.0)):
            self.assertEqual((await self.outage("new")).retry_after, 1)
        held.release()
        self.assertEqual((await second).token, "new")

    async def test_many(self) -> None:
        """So many checks run at the same time, and the others wait for their turn."""
        held = await self.hold()
        callers = [self.identify(f"bad-{number}") for number in range(AT_ONCE * 2)]
        await self.keystone.has_asked(2 + AT_ONCE)
        self.assertEqual(len(self.keystone.checks), 1 + AT_ONCE)
        held.release()
        await self.keystone.has_asked(2 + AT_ONCE * 2)
        self.assertEqual(len(self.keystone.checks), 1 + AT_ONCE * 2)
        held.release()
        for caller in callers:
            error: Any = await self.assertFailure(caller, Exception)
            self.assertIn("not valid", str(error))


class FaultTests(KeystoneTestCase):
    """Keystone fails while one token is kept and another is new."""

    async def begin(self, fault: Behaviour | None) -> None:
        await self.identify()
        self.keystone.tokens["new"] = FakeToken(NEVER)
        self.keystone.fault = fault

    async def ends_well(self) -> None:
        """The kept token has gone on; with Keystone back the new one works, too, and all connections are given back."""
        await self.identify()
        self.keystone.fault = None
        self.clock.advance(60.0)
        self.assertEqual((await self.identify("new")).token, "new")
        await self.parts.client.stop()  # which leaves alone what it does not know of
        await self.keystone.idle()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def test_answers(self) -> None:
        """An error, nonsense or nothing in place of an answer is 503, and soon tried again."""
        for fault, text in (
            (document({"error": {}}, 500), "500"),
            (document({"error": {}}, 400), "400"),
            (document({}, 302, Location="http://other.example/"), "302"),
            (nonsense, "not JSON"),
            (lambda request: b"", "not JSON"),
            (document([]), "no token"),
            (document({"token": {}}), "no expires_at"),
            (document({"token": {"expires_at": "soon"}}), "no date"),
            (document({"token": {"expires_at": "2030-01-01T00:00:00Z"}}), "no user"),
            (document({"token": {"expires_at": "2030-01-01T00:00:00Z", "user": {"id": 5}}}), "no id"),
            (document({"token": {"expires_at": "2030-01-01T00:00:00Z", "user": {"id": "u"}, "roles": 7}}), "list"),
            (lambda request: b" " * (1 << 20), "more than"),
        ):
            await self.begin(fault)
            error = await self.outage("new")
            self.assertIn(text, str(error))
            self.assertEqual(error.retry_after, 1)
            # It says nothing of other tokens: these are asked for.
            asked = len(self.keystone.checks)
            await self.outage("other")
            self.assertEqual(len(self.keystone.checks), asked + 1, text)
            await self.ends_well()
            self.parts = self.make()

    async def test_silent(self) -> None:
        """If it does not answer in time, that is 503. It is asked again after a pause."""
        for fault in (silence, half, byte_by_byte(self.clock, 1.0)):
            await self.begin(fault)
            asked = len(self.keystone.asked)
            waiting = self.identify("new")
            await self.keystone.has_asked(asked + 1)
            self.clock.pump([1.0] * 10)
            error: Any = await self.assertFailure(waiting, ServiceUnavailable)
            self.assertEqual((str(error), error.retry_after), ("Keystone does not answer in time.", 1))
            self.assertEqual((await self.outage("other")).retry_after, 1)
            self.assertEqual(len(self.keystone.asked), asked + 1)
            await self.ends_well()
            self.parts = self.make()

    async def test_cut(self) -> None:
        """If connections end, that is 503."""
        await self.begin(cut)
        self.assertIn("does not answer as it should", str(await self.outage("new")))
        await self.ends_well()

    async def test_gone(self) -> None:
        """If nobody listens, that is 503. Pauses get longer, and after each one request tries it."""
        await self.identify()
        await self.keystone.close()
        self.assertIn("cannot be reached", str(await self.outage("new")))
        pauses = []
        for _ in range(7):
            left = (await self.outage("new")).retry_after
            assert left is not None
            pauses.append(left)
            self.clock.advance(left)
            self.assertIn("cannot be reached", str(await self.outage("new")))
        self.assertEqual(pauses, [1, 2, 4, 8, 16, 30, 30])
        await self.identify()

    async def test_one_tries(self) -> None:
        """After the pause one request asks, and others are refused until it is answered."""
        await self.begin(cut)
        await self.outage("new")
        self.clock.advance(1.0)
        self.keystone.fault = silence
        asked = len(self.keystone.asked)
        trying = self.identify("new")
        await self.keystone.has_asked(asked + 1)
        self.assertEqual((await self.outage("other")).retry_after, 1)
        trying.cancel()
        self.failureResultOf(trying, CancelledError)
        await self.ends_well()

    async def test_other_keys(self) -> None:
        """After a start with other keys the server gets itself another token. Tokens of before are not valid."""
        await self.begin(None)
        self.keystone.change_keys()
        self.assertIn("not valid", await self.refusal("new"))
        self.assertEqual(len(self.keystone.logins), 2)
        self.keystone.tokens["newer"] = FakeToken(NEVER)
        await self.identify("newer")
        self.assertEqual(len(self.keystone.logins), 2)

    async def test_stop(self) -> None:
        """When the server ends, so do its requests."""
        await self.begin(silence)
        waiting = self.identify("new")
        await self.keystone.has_asked(3)
        await self.parts.client.stop()
        error: Any = await self.assertFailure(waiting, ServiceUnavailable)
        self.assertIn("the server ends", str(error))
        await self.keystone.idle()


class SecretTests(KeystoneTestCase):
    """Tokens are kept as hashes."""

    async def test_hashed(self) -> None:
        """Nothing that the checks hold has the text of a token."""
        self.keystone.tokens["t0p-s3cret"] = FakeToken(NEVER)
        await self.identify("t0p-s3cret")
        await self.refusal("n0t-g00d")
        self.assertIsNotNone(self.parts.identity._checks.kept("t0p-s3cret", False))
        seen: set[int] = set()
        todo: list[Any] = [self.parts.identity._checks._valid, self.parts.identity._checks._refused]
        while todo:
            thing = todo.pop()
            if id(thing) in seen or isinstance(thing, type) or getattr(thing, "__module__", "").startswith("twisted"):
                continue
            seen.add(id(thing))
            if isinstance(thing, str | bytes):
                text = thing if isinstance(thing, str) else thing.decode("latin-1")
                self.assertNotIn("t0p-s3cret", text)
                self.assertNotIn("n0t-g00d", text)
            elif not callable(thing):
                todo += gc.get_referents(thing)
        self.assertGreater(len(seen), 10)
