"""Large lists and images: pages end, memory is counted, and slow clients hold up nobody."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.model import LARGEST_PAGE
from imgsvc.pipeline.json_budget import JsonBudget
from imgsvc.pipeline.sending import Answers
from imgsvc.web.large import SLICE_PIECES, SLICE_SIZE, LargeResponses, array_pieces, object_pieces
from imgsvc.web.turns import ReactorTurns
from tests.support.server import Answer, Connection, ServerTestCase, parse_answer

KIB = 1 << 10
MIB = 1 << 20
LIST = "/v2/images?limit=1000"
TURNS = 1000


class LargeAnswerTestCase(ServerTestCase):
    """A server with so little memory that one large response takes all of that for responses: 128 KiB."""

    tables: ClassVar[dict[str, Any] | None] = {
        "server": {"memory_budget": "1MiB", "send_timeout": 60},
        "stores": {"local": {"kind": "memory"}},
    }

    def setUp(self) -> None:
        super().setUp()
        self.budget = self.server.server.core.budgets.answers

    def made(self, number: int, size: int = 900 * KIB) -> list[str]:
        """The ids of new images with so many bytes of properties each, the newest first."""
        properties = {f"p{place}": "x" * (60 * KIB) for place in range(size // (60 * KIB))}
        return [self.server.image(**properties)["id"] for _ in range(number)][::-1]

    def ask(self, path: str, slow: bool = False, method: str = "GET", body: bytes = b"") -> Connection:
        """Send a request. slow: the client does not read the response by itself."""
        connection = self.server.connect()
        if slow:
            transport: Any = connection.transport
            write = transport.write

            def fill(data: bytes) -> None:
                write(data)
                connection.channel.pauseProducing()  # as the transport does when it holds too much

            transport.write = fill
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        connection.send(f"{method} {path} HTTP/1.1\r\nHost: imgsvc-test\r\n{length}\r\n".encode() + body)
        return connection

    def answer(self, connection: Connection) -> Answer:
        """The whole response, which takes some turns of the reactor."""
        for _ in range(TURNS):
            if connection.received:
                answer, rest = parse_answer(connection.received)
                if len(answer.body) == int(answer.headers["content-length"]):
                    self.assertEqual(b"", rest)
                    return answer
            self.server.clock.advance(0)
        self.fail(f"no answer: {connection.received[:200]!r}")

    def turn(self) -> None:
        """Let the server work for a while."""
        for _ in range(TURNS):
            self.server.clock.advance(0)


class SliceTests(SynchronousTestCase):
    """How large responses are made."""

    def test_slices(self) -> None:
        """At most one slice is made in a turn of the reactor, counted in characters and in pieces."""
        for piece, number, in_turn in (
            ("x" * (SLICE_SIZE // 4), 21, 4),
            ("\N{GRINNING FACE}", 5 * SLICE_PIECES, SLICE_PIECES),
            ("y" * (3 * SLICE_SIZE), 3, 1),
        ):
            clock, asked = Clock(), []

            def pieces(asked: list[int], piece: str = piece, number: int = number) -> Iterator[str]:
                for place in range(number):
                    asked.append(place)
                    yield piece

            answers = LargeResponses(Answers(JsonBudget(MIB), clock, 60.0), ReactorTurns(clock))
            made = Deferred.fromCoroutine(answers._made(pieces(asked)))
            before = 0
            while not made.called:
                self.assertLessEqual(len(asked) - before, in_turn)
                before = len(asked)
                clock.advance(0)
            self.assertEqual((piece * number).encode(), b"".join(self.successResultOf(made)))

    def test_pieces(self) -> None:
        """The pieces of objects and arrays together are the JSON of the whole."""
        for document in ({}, {"a": [1, {"b": None}], '"\\': "\N{GRINNING FACE}\x01"}, {"only": {}}):
            self.assertEqual(document, json.loads("".join(object_pieces(document))))
            for number in (0, 1, 3):
                array = array_pieces(object_pieces(document) for _ in range(number))
                text = "".join(object_pieces({"first": 1, "all": array, "last": 2}))
                self.assertEqual({"first": 1, "all": [document] * number, "last": 2}, json.loads(text))


class PageTests(LargeAnswerTestCase):
    """Pages of lists."""

    def test_ends(self) -> None:
        """A page ends before 4 MiB, with a link to the next one, also if the client set no limit."""
        ids = self.made(11)
        for path in (LIST, "/v2/images"):
            seen: list[str] = []
            pages, link = 0, path
            while link:
                answer = self.answer(self.ask(link))
                self.assertEqual(200, answer.status)
                self.assertLessEqual(len(answer.body), LARGEST_PAGE)
                seen += [image["id"] for image in answer.json["images"]]
                link = answer.json.get("next")
                pages += 1
            self.assertEqual((3, ids), (pages, seen))

    def test_same_as_small(self) -> None:
        """An image in a large response is the same as alone, with all characters."""
        hard = '"\\\x01\N{GRINNING FACE}\n'
        self.server.image(name=hard, tags=[hard.strip()], **{hard.strip(): hard * 100})
        self.made(1)
        self.server.image()
        images = self.answer(self.ask(LIST)).json["images"]
        self.assertEqual(3, len(images))
        for image in images:
            self.assertEqual(image, self.answer(self.ask(f"/v2/images/{image['id']}")).json)

    def test_many(self) -> None:
        """A page of many small images has all of them."""
        ids = [self.server.image(name=f"n{number}")["id"] for number in range(130)][::-1]
        self.assertEqual(ids, [image["id"] for image in self.answer(self.ask(LIST)).json["images"]])

    def test_head(self) -> None:
        """HEAD has the headers of GET, and leaves nothing behind."""
        self.made(2)
        length = self.answer(self.ask(LIST)).headers["content-length"]
        connection = self.ask(LIST, method="HEAD")
        self.turn()
        answer, rest = parse_answer(connection.received)
        self.assertEqual((length, b"", b""), (answer.headers["content-length"], answer.body, rest))
        self.assertEqual(0, self.budget.held)


class SlowClientTests(LargeAnswerTestCase):
    """Clients that do not read."""

    def test_counted(self) -> None:
        """A response is counted until the client has read it, has disconnected, or was cut because it did not read."""
        self.made(4)
        connection = self.ask(LIST, slow=True)
        self.turn()
        whole, taken = int(connection.answers()[0].headers["content-length"]), 0
        for _ in range(5):
            before, taken = taken, len(connection.answers()[0].body)
            self.assertTrue(before < taken <= before + 64 * KIB)
            self.assertEqual(whole - taken, self.budget.held)
            connection.channel.resumeProducing()
        connection.lose()
        self.assertEqual(0, self.budget.held)
        connection = self.ask(LIST, slow=True)
        self.turn()
        self.server.clock.advance(59.0)
        self.assertFalse(connection.transport.aborting)
        self.server.clock.advance(2.0)
        self.assertTrue(connection.transport.aborting)
        connection.lose()
        self.assertEqual(0, self.budget.held)

    def test_others(self) -> None:
        """While one large response is not read, small ones and uploads go on. Large ones wait, in their order."""
        (large, *_) = self.made(4)
        small = self.server.image(name="small")["id"]
        first = self.ask(LIST, slow=True)
        self.turn()
        second, third = self.ask(LIST), self.ask(f"/v2/images/{large}")
        self.turn()
        self.assertEqual((b"", b""), (second.received, third.received))
        self.assertLess(self.budget.held, LARGEST_PAGE)
        answer = self.answer(self.ask("/v2/images?limit=1"))
        self.assertEqual([small], [image["id"] for image in answer.json["images"]])
        self.assertEqual(200, self.answer(self.ask(f"/v2/images/{small}")).status)
        self.assertEqual(204, self.server.put(small, b"z" * MIB).status)
        first.lose()
        self.assertEqual(5, len(self.answer(second).json["images"]))
        second.lose()
        self.assertEqual(large, self.answer(third).json["id"])
        self.assertEqual(0, self.budget.held)

    def test_gone_while_waiting(self) -> None:
        """A client that disconnects while it waits leaves the queue."""
        ids = self.made(4)
        first = self.ask(LIST, slow=True)
        self.turn()
        waiting = [self.ask(path) for path in (LIST, f"/v2/images/{ids[0]}", LIST)]
        self.turn()
        for connection in waiting:
            connection.lose()
        self.assertEqual(0, self.budget.waiting)
        first.lose()
        self.turn()
        self.assertEqual(0, self.budget.held)

    def test_gone_while_made(self) -> None:
        """A client that disconnects while its response is made leaves nothing behind."""
        self.made(4)
        connection = self.server.connect()
        held = []

        def lose() -> None:
            held.append(self.budget.held)
            connection.lose()

        self.server.clock.callLater(0, lose)  # before the turn that continues the work that begins now
        connection.send(f"GET {LIST} HTTP/1.1\r\nHost: imgsvc-test\r\n\r\n".encode())
        self.turn()
        self.assertGreater(held[0], 3 * MIB)
        self.assertEqual((b"", 0), (connection.received, self.budget.held))

    def test_one_image(self) -> None:
        """A large image is counted, also in the response to its creation or change."""
        (image_id,) = self.made(1)
        document = json.dumps({f"p{place}": "x" * (60 * KIB) for place in range(3)}).encode()
        for method, path, body in (("GET", f"/v2/images/{image_id}", b""), ("POST", "/v2/images", document)):
            connection = self.ask(path, slow=True, method=method, body=body)
            self.turn()
            self.assertGreater(self.budget.held, 64 * KIB)
            connection.lose()
            self.assertEqual(0, self.budget.held)
