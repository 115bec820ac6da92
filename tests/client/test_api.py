"""ImageClient with an Image API over loopback."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from io import BytesIO
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from twisted.web.client import FileBodyProducer

from imgsvc.client import (
    AmbiguousName,
    BadResponse,
    ClientError,
    ImageChanged,
    ImageClient,
    LocalFileError,
    NoData,
    NoSuchImage,
    NoSuchStore,
    RequestRefused,
    TransferInterrupted,
    Unreachable,
    Unsettled,
    VerificationFailed,
)
from imgsvc.client.patience import longest_wait
from imgsvc.client.settling import SETTLE_RETRIES
from imgsvc.model import MemberStatus
from tests.client.memory_api import MemoryImageApi

SOME = os.urandom(3_000_000)


class ApiTestCase(TestCase):
    """A client and its API."""

    timeout = 60

    def setUp(self) -> None:
        self.api = MemoryImageApi()
        self.api.start()
        self.addCleanup(self.api.stop)
        self.client = ImageClient(self.api.endpoint, reactor, stall_limit=5)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.client.close()))

    def file(self, content: bytes) -> str:
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(content)
        return path

    def content(self, path: str) -> bytes:
        with open(path, "rb") as file:
            return file.read()

    async def cancel_after(self, count: int, transfer: Callable[..., Coroutine[Any, Any, object]]) -> None:
        """Begin a transfer, cancel it after `count` bytes, and check that it ends."""
        running: Deferred[object] = Deferred()

        def moved(stage: str, done: int, total: int | None) -> None:
            if done >= count:
                reactor.callLater(0, running.cancel)

        running = Deferred.fromCoroutine(transfer(progress=moved))
        await self.assertFailure(running, CancelledError)

    def sent(self, method: str) -> list[dict[str, str]]:
        return [seen.headers for seen in self.api.seen if seen.method == method]


class MetadataTests(ApiTestCase):
    async def test_create_and_show(self) -> None:
        """An image is shown as it was created."""
        made = await self.client.create(name="cirros", disk_format="raw", tags=["small"], os_distro="cirros")
        shown = await self.client.show(made.id)
        self.assertEqual(shown, made)
        self.assertEqual((shown.name, shown.status, shown.tags), ("cirros", "queued", ("small",)))
        self.assertEqual(shown.properties, {"os_distro": "cirros"})

    async def test_credentials(self) -> None:
        """Token, headers and user are sent with every request."""
        client = ImageClient(
            self.api.endpoint + "/v2/", reactor, token="secret", headers={"X-Roles": "member"}, auth=("ann", "pw")
        )
        await client.create(name="x")
        await client.close()
        [headers] = self.sent("POST")
        self.assertEqual((headers["x-auth-token"], headers["x-roles"]), ("secret", "member"))
        self.assertEqual(headers["authorization"], "Basic " + base64.b64encode(b"ann:pw").decode())

    async def test_pages(self) -> None:
        """All pages are read, each when its first image is needed."""
        wanted = [self.api.add(name=f"image {number}")["id"] for number in range(7)]
        self.assertEqual([image.id async for image in self.client.images(page_size=3)], wanted)
        self.assertEqual(len(self.api.seen), 3)
        async for _ in self.client.images(page_size=3):
            break
        self.assertEqual(len(self.api.seen), 4)

    async def test_filters(self) -> None:
        """Filters are sent, and kept from page to page."""
        self.api.add(name="a b&c")
        wanted = [self.api.add(b"x", name="d")["id"] for _ in range(3)]
        found = [image.id async for image in self.client.images(page_size=2, status="active")]
        self.assertEqual(found, wanted)

    async def test_find(self) -> None:
        """An image is found by its id and by its name, also if the name looks like an operator or a path."""
        for name in ("cirros", "ubuntu:22.04", 'in:"a",b', "a/b", "späti"):
            image = self.api.add(name=name)
            self.assertEqual((await self.client.find(image["id"])).id, image["id"])
            self.assertEqual((await self.client.find(name)).id, image["id"])

    async def test_find_fails(self) -> None:
        """A name that no image or several have is an error of its own."""
        twins = [self.api.add(name="twin")["id"] for _ in range(2)]
        with self.assertRaises(NoSuchImage):
            await self.client.find("nobody")
        with self.assertRaises(AmbiguousName) as caught:
            await self.client.find("twin")
        self.assertEqual(caught.exception.ids, tuple(twins))

    async def test_update_and_delete(self) -> None:
        """Fields are changed. A protected image cannot be deleted, an unprotected one can."""
        image = self.api.add()
        self.assertIs((await self.client.update(image["id"], protected=True)).document["protected"], True)
        with self.assertRaises(RequestRefused) as caught:
            await self.client.delete(image["id"])
        self.assertEqual(
            (caught.exception.status, caught.exception.message),
            (403, f"Image {image['id']} is protected and cannot be deleted."),
        )
        await self.client.update(image["id"], protected=False, color="red")
        await self.client.delete(image["id"])
        self.assertEqual(self.api.images, {})

    async def test_update_properties(self) -> None:
        """Properties of any name are set and removed. Removing a missing one is refused."""
        image_id = self.api.add(old="x")["id"]
        image = await self.client.update(image_id, ["old"], **{"a/b~c": "1", "remove": "2", "image_id": "3"})
        self.assertEqual(image.properties, {"a/b~c": "1", "remove": "2", "image_id": "3"})
        with self.assertRaises(RequestRefused) as caught:
            await self.client.update(image_id, ["old"])
        self.assertEqual(caught.exception.status, 409)
        image = await self.client.update(image_id, ["a/b~c", "remove", "image_id"])
        self.assertEqual(image.properties, {})

    async def test_tags(self) -> None:
        """Tags of any text are added and removed one by one. Removing a missing one is refused."""
        image_id = self.api.add(tags=["kept"])["id"]
        await self.client.add_tag(image_id, "a/b \u00fc?")
        self.assertEqual((await self.client.show(image_id)).tags, ("a/b \u00fc?", "kept"))
        await self.client.remove_tag(image_id, "a/b \u00fc?")
        self.assertEqual((await self.client.show(image_id)).tags, ("kept",))
        with self.assertRaises(RequestRefused) as caught:
            await self.client.remove_tag(image_id, "other")
        self.assertEqual(caught.exception.status, 404)

    async def test_stores_and_info(self) -> None:
        """The stores are listed. For a server with one store the list is empty."""
        self.assertEqual(await self.client.stores(), [])
        self.api.stores = [{"id": "fast", "default": "true"}, {"id": "cheap"}]
        self.assertEqual(await self.client.stores(), self.api.stores)
        self.assertEqual((await self.client.info())["import-methods"]["value"], ["web-download"])

    async def test_members(self) -> None:
        """An image is shared with projects, their statuses change, and one project is removed."""
        image_id = self.api.add()["id"]
        self.assertEqual((await self.client.share(image_id, "a/b")).status, "pending")
        await self.client.share(image_id, "c")
        with self.assertRaises(RequestRefused) as caught:
            await self.client.share(image_id, "c")
        self.assertEqual(caught.exception.status, 409)
        await self.client.answer_share(image_id, "a/b", MemberStatus.ACCEPTED)
        found = [(member.project, member.status) for member in await self.client.members(image_id)]
        self.assertEqual(found, [("a/b", "accepted"), ("c", "pending")])
        await self.client.unshare(image_id, "a/b")
        self.assertEqual([member.project for member in await self.client.members(image_id)], ["c"])

    async def test_deactivate(self) -> None:
        """An image is deactivated and reactivated. One without data is refused."""
        image_id = self.api.add(b"x")["id"]
        for act, status in ((self.client.deactivate, "deactivated"), (self.client.reactivate, "active")):
            await act(image_id)
            await act(image_id)
            self.assertEqual((await self.client.show(image_id)).status, status)
        with self.assertRaises(RequestRefused):
            await self.client.deactivate(self.api.add()["id"])

    async def test_retry_after(self) -> None:
        """A busy server is asked again after its Retry-After, unless that is long."""
        image_id = self.api.add(b"x")["id"]
        self.api.faults.busy, self.api.faults.retry_after = 1, "0"
        self.assertEqual((await self.client.show(image_id)).size, 1)
        for retry_after, pause in (("3600", 3600), (None, None)):
            self.api.faults.busy, self.api.faults.retry_after = 1, retry_after
            with self.assertRaises(RequestRefused) as caught:
                await self.client.show(image_id)
            self.assertEqual((caught.exception.status, caught.exception.retry_after), (503, pause))
        self.assertEqual(len(self.api.seen), 4)

    async def test_no_image_api(self) -> None:
        """A server without images is not an Image API. One that only lacks this image is."""
        self.api.faults.refuse_all = (404, "Nothing here.")
        with self.assertRaises(BadResponse):
            await self.client.create(name="x")
        with self.assertRaises(BadResponse):
            await self.client.find("x")
        with self.assertRaises(RequestRefused):
            await self.client.show("x")

    async def test_unreachable(self) -> None:
        """An unreachable server is distinguished from one with bad responses."""
        client = ImageClient("http://127.0.0.1:1", reactor)
        with self.assertRaises(Unreachable):
            await client.show("x")

    def test_bad_endpoint(self) -> None:
        """An endpoint that is not a URL is refused at once."""
        for endpoint in ("127.0.0.1:9292", "ftp://host", "http://"):
            self.assertRaises(ValueError, ImageClient, endpoint, reactor)


class UploadTests(ApiTestCase):
    async def test_upload(self) -> None:
        """The bytes of a file arrive. Size, store and the known digest are sent in headers."""
        self.api.stores = [{"id": "fast"}]
        for size in (0, 1, 1024 * 1024, len(SOME)):
            content = SOME[:size]
            image = self.api.add()
            shown: list[tuple[str, int, int | None]] = []
            done = await self.client.upload(
                image["id"],
                self.file(content),
                store="fast",
                digests={"sha256": hashlib.sha256(content).hexdigest()},
                progress=lambda *moved, shown=shown: shown.append(moved),
            )
            self.assertEqual((done.status, done.size, self.api.data[image["id"]].content), ("active", size, content))
            headers = self.sent("PUT")[-1]
            self.assertEqual((headers["content-length"], headers["x-openstack-image-size"]), (str(size), str(size)))
            self.assertEqual(headers["x-image-meta-store"], "fast")
            digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
            self.assertEqual(headers["repr-digest"], f"sha-256=:{digest}:")
            self.assertEqual([moved[1] for moved in shown[-1:]], [size] if size else [])

    async def test_producer(self) -> None:
        """The bytes of a producer arrive, and its known digest is compared."""
        for right in (True, False):
            digest = hashlib.sha512(SOME if right else b"").hexdigest()
            image = self.api.add()
            uploading = self.client.upload(image["id"], FileBodyProducer(BytesIO(SOME)), digests={"sha512": digest})
            if right:
                self.assertEqual((await uploading).size, len(SOME))
            else:
                with self.assertRaises(VerificationFailed):
                    await uploading

    async def test_blocks(self) -> None:
        """Blocks of any length arrive in chunks, and are digested meanwhile."""

        async def blocks() -> AsyncIterator[bytes]:
            for start, stop in ((0, 0), (0, 1), (1, 1_500_000), (1_500_000, len(SOME))):
                await deferLater(reactor, 0)
                yield SOME[start:stop]

        image = self.api.add()
        self.assertEqual((await self.client.upload(image["id"], blocks())).size, len(SOME))
        self.assertEqual(self.api.data[image["id"]].content == SOME, True)
        headers = self.sent("PUT")[-1]
        self.assertEqual((headers["transfer-encoding"], "x-openstack-image-size" in headers), ("chunked", False))
        self.api.faults.store_wrong = True
        with self.assertRaises(VerificationFailed):
            await self.client.upload(self.api.add()["id"], blocks())

    async def test_slow_blocks(self) -> None:
        """A source that pauses for longer than the time-out of a server is waited for, and each block is sent."""
        client = ImageClient(self.api.endpoint, reactor, stall_limit=0.2)
        self.addCleanup(lambda: Deferred.fromCoroutine(client.close()))
        sent: list[int] = []

        async def blocks() -> AsyncIterator[bytes]:
            yield b"first"
            await deferLater(reactor, 0.5)
            sent.append(len(shown))
            yield b"second"

        shown: list[int] = []
        image = await client.upload(
            self.api.add()["id"], blocks(), progress=lambda stage, done, total: shown.append(done)
        )
        self.assertEqual((image.size, sent, shown), (11, [1], [5, 11]))

    async def test_cancel_blocks(self) -> None:
        """A cancelled upload stops waiting for its next block."""
        waited: Deferred[Exception] = Deferred()

        async def blocks() -> AsyncIterator[bytes]:
            yield b"first"
            try:
                await Deferred()
            except CancelledError as error:
                waited.callback(error)
                raise

        await self.cancel_after(1, partial(self.client.upload, self.api.add()["id"], blocks()))
        await waited

    async def test_lost_answer(self) -> None:
        """An upload whose response was lost has succeeded if the image is active with the right data, also later."""
        for source in (self.file(SOME), FileBodyProducer(BytesIO(SOME))):
            self.api.faults.lose_answers, self.api.faults.saving = 1, 3
            known = {"sha512": hashlib.sha512(SOME).hexdigest()}
            image = await self.client.upload(self.api.add()["id"], source, digests=known)
            self.assertEqual((image.status, image.size), ("active", len(SOME)))
        self.assertEqual(len(self.sent("PUT")), 2)

    async def test_lost_answer_of_nothing_known(self) -> None:
        """Without a known digest the lost upload cannot be recognised, so the broken connection is reported."""
        self.api.faults.lose_answers = 1
        with self.assertRaises(TransferInterrupted):
            await self.client.upload(self.api.add()["id"], FileBodyProducer(BytesIO(SOME)))

    async def test_lost_answer_of_wrong_bytes(self) -> None:
        """An image that is active with other data does not count as the upload."""
        self.api.faults.lose_answers, self.api.faults.store_wrong = 1, True
        with self.assertRaises(VerificationFailed):
            await self.client.upload(self.api.add()["id"], self.file(SOME))

    async def test_away_after_the_answer(self) -> None:
        """A server that is unreachable between its response and the check of the image is asked again."""
        self.api.faults.busy_after_upload = 2
        told: list[tuple[type[ClientError], float]] = []
        client = ImageClient(
            self.api.endpoint, reactor, notice=lambda problem, pause: told.append((type(problem), pause))
        )
        self.addCleanup(lambda: Deferred.fromCoroutine(client.close()))
        image = await client.upload(self.api.add()["id"], self.file(b"x"))
        self.assertEqual((image.status, told), ("active", [(Unsettled, longest_wait(SETTLE_RETRIES))] * 2))

    async def test_retries(self) -> None:
        """A broken upload of a file is repeated so many times. One of blocks is not."""
        self.api.faults.cut_uploads_after = 1
        self.api.faults.cut_uploads = 2
        image = await self.client.upload(self.api.add()["id"], self.file(SOME), retries=2)
        self.assertEqual((image.status, len(self.sent("PUT"))), ("active", 3))
        self.api.faults.cut_uploads_after, self.api.faults.cut_uploads = 1, 2
        with self.assertRaises(TransferInterrupted):
            await self.client.upload(self.api.add()["id"], self.file(SOME), retries=1)

        async def blocks() -> AsyncIterator[bytes]:
            yield SOME

        self.api.faults.cut_uploads_after, self.api.faults.cut_uploads = 1, 1
        self.api.seen.clear()
        with self.assertRaises(TransferInterrupted):
            await self.client.upload(self.api.add()["id"], blocks(), retries=5)
        self.assertEqual(len(self.sent("PUT")), 1)

    async def test_refusal_is_final(self) -> None:
        """A refusal that no retry can change is not retried."""
        self.api.faults.refuse_data = (413, "The quota is used up.")
        with self.assertRaises(RequestRefused):
            await self.client.upload(self.api.add()["id"], self.file(SOME), retries=5)
        self.assertEqual(len(self.sent("PUT")), 1)

    async def test_store(self) -> None:
        """A store that the server does not have, or cannot choose, is reported before any byte is sent."""
        image_id = self.api.add()["id"]
        with self.assertRaises(NoSuchStore) as caught:
            await self.client.upload(image_id, self.file(SOME), store="fast")
        self.assertIn("one store only", str(caught.exception))
        self.api.stores = [{"id": "fast", "default": "true"}, {"id": "web", "read-only": "true"}]
        for store in ("fats", "web"):
            with self.assertRaises(NoSuchStore) as caught:
                await self.client.upload(image_id, self.file(SOME), store=store)
            self.assertEqual(caught.exception.stores, ("fast",))
        self.assertEqual(self.sent("PUT"), [])

    async def test_wrong_digest(self) -> None:
        """A server that stored other data is detected."""
        self.api.faults.store_wrong = True
        with self.assertRaises(VerificationFailed) as caught:
            await self.client.upload(self.api.add()["id"], self.file(SOME))
        self.assertEqual(caught.exception.algorithm, "sha512")

    async def test_early_refusal(self) -> None:
        """A refusal during the upload is read, and ends the sending."""
        path = self.mktemp()
        with open(path, "wb") as file:
            file.truncate(500_000_000)
        for status, words in ((413, "The quota is used up."), (409, "Another upload runs.")):
            self.api.faults.refuse_data = (status, words)
            with self.assertRaises(RequestRefused) as caught:
                await self.client.upload(self.api.add()["id"], path)
            self.assertEqual((caught.exception.status, caught.exception.message), (status, words))

    async def test_cut(self) -> None:
        """A connection that is lost in the middle is reported."""
        self.api.faults.cut_uploads_after = 1_000_000
        with self.assertRaises(TransferInterrupted):
            await self.client.upload(self.api.add()["id"], self.file(SOME * 10))

    async def test_stall(self) -> None:
        """A server that stops reading is given up."""
        self.api.faults.stall_uploads_after = 1
        client = ImageClient(self.api.endpoint, reactor, stall_limit=0.3)
        path = self.mktemp()
        with open(path, "wb") as file:
            file.truncate(100_000_000)
        with self.assertRaises(TransferInterrupted) as caught:
            await client.upload(self.api.add()["id"], path)
        self.assertIn("took nothing", str(caught.exception))
        await client.close()

    async def test_file_shrinks(self) -> None:
        """A file that becomes shorter during the upload is named in the error."""
        path = self.file(SOME * 10)

        def shrink(stage: str, done: int, total: int | None) -> None:
            os.truncate(path, 0)

        with self.assertRaises(LocalFileError) as caught:
            await self.client.upload(self.api.add()["id"], path, progress=shrink)
        self.assertEqual(caught.exception.path, path)

    async def test_no_file(self) -> None:
        """A file that cannot be read is reported before anything is sent."""
        for path in ("/nonexistent", "/dev/null/x"):
            with self.assertRaises(LocalFileError):
                await self.client.upload("x", path)
        self.assertEqual(self.api.seen, [])

    async def test_cancel(self) -> None:
        """An upload can be cancelled in the middle."""
        self.api.faults.stall_uploads_after = 1
        image, path = self.api.add()["id"], self.file(SOME * 10)
        await self.cancel_after(2_000_000, partial(self.client.upload, image, path))


class DownloadTests(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.image = self.api.add(SOME, disk_format="raw")["id"]
        self.path = self.mktemp()

    def ranges(self) -> list[str]:
        return [headers["range"] for headers in self.sent("GET") if "range" in headers]

    def leftovers(self) -> list[str]:
        name = os.path.basename(self.path)
        folder = os.path.dirname(self.path) or "."
        return sorted(entry[len(name) :] for entry in os.listdir(folder) if entry.startswith(name))

    async def test_parallel(self) -> None:
        """The file is assembled from ranges, and gets its name only when it is complete."""
        algorithm = await self.client.download(self.image, self.path, piece_size=500_000)
        self.assertEqual((algorithm, self.content(self.path) == SOME), ("sha512", True))
        self.assertEqual(len(self.ranges()), 6)
        self.assertEqual(self.leftovers(), [""])

    async def test_verified_on_the_way(self) -> None:
        """Received data is digested while the rest is still to come."""
        image = self.api.add(SOME * 4)["id"]
        self.api.faults.stall_downloads_after = 7_000_000
        verified: Deferred[None] = Deferred()

        def progress(stage: str, done: int, total: int | None) -> None:
            if stage == "verify" and done >= 4_000_000 and not verified.called:
                verified.callback(None)

        downloading = Deferred.fromCoroutine(
            self.client.download(image, self.path, piece_size=8_000_000, connections=2, progress=progress)
        )
        await verified
        self.assertFalse(downloading.called)
        downloading.cancel()
        await self.assertFailure(downloading, CancelledError)

    async def test_sizes(self) -> None:
        """Images of 0 and 1 bytes can be downloaded."""
        for content in (b"", b"x"):
            image = self.api.add(content)["id"]
            await self.client.download(image, self.path)
            self.assertEqual(self.content(self.path), content)

    async def test_other_digests(self) -> None:
        """If the digest's algorithm is unknown, MD5 is compared. Without any digest nothing is compared."""
        for algorithm, used in (("sha256", "sha256"), ("unheard-of", "md5"), (None, "md5")):
            self.api.images[self.image]["os_hash_algo"] = algorithm
            self.api.images[self.image]["os_hash_value"] = hashlib.sha256(SOME).hexdigest()
            self.assertEqual(await self.client.download(self.image, self.path), used)
        self.api.images[self.image]["checksum"] = None
        self.assertIsNone(await self.client.download(self.image, self.path))

    async def test_breaks(self) -> None:
        """Broken pieces continue where they broke, and a store that is down for a moment is waited for."""
        self.api.faults.cut_downloads = [1, 300_000, 0, 262_144]
        self.api.faults.unavailable = 1
        await self.client.download(self.image, self.path, piece_size=1_000_000, connections=2)
        self.assertEqual(self.content(self.path) == SOME, True)
        self.assertIn("bytes=0-999999", self.ranges())

    async def test_without_ranges(self) -> None:
        """A server without ranges sends one stream, also after a break."""
        for fault in ("no_ranges", "refuse_ranges"):
            setattr(self.api.faults, fault, True)
            self.api.faults.cut_downloads = [700_000]
            await self.client.download(self.image, self.path, piece_size=500_000)
            self.assertEqual(self.content(self.path) == SOME, True)
            setattr(self.api.faults, fault, False)

    async def test_continue(self) -> None:
        """A cancelled download continues where it was, and fetches nothing twice."""
        self.api.faults.stall_downloads_after = 400_000
        download = partial(self.client.download, self.image, self.path, connections=1)
        await self.cancel_after(400_000, partial(download, piece_size=1_000_000))
        self.assertEqual(self.leftovers(), [".part", ".part.state"])
        self.api.faults.stall_downloads_after = None
        self.api.seen.clear()
        await download(piece_size=2_000_000, resume=True)
        self.assertEqual(self.content(self.path) == SOME, True)
        self.assertEqual(self.leftovers(), [""])
        begins = [int(asked[6:].split("-")[0]) for asked in self.ranges()]
        self.assertEqual(begins[1:], [1_000_000, 2_000_000])
        self.assertTrue(0 < begins[0] < 1_000_000)

    async def test_continue_changed(self) -> None:
        """The rest of other data is not continued."""
        self.api.images[self.image]["os_hash_algo"] = None
        self.api.images[self.image]["checksum"] = None
        await self.cancel_after(600_000, partial(self.client.download, self.image, self.path, piece_size=500_000))
        other = bytes(reversed(SOME))
        self.api.data[self.image] = self.api.data[self.image].of(other)
        await self.client.download(self.image, self.path, piece_size=500_000, resume=True)
        self.assertEqual(self.content(self.path) == other, True)

    async def test_changed(self) -> None:
        """Data that changes during a download is not mixed."""

        def change(stage: str, done: int, total: int | None) -> None:
            self.api.data[self.image] = self.api.data[self.image].of(bytes(reversed(SOME)))

        with self.assertRaises(ImageChanged):
            await self.client.download(self.image, self.path, piece_size=300_000, connections=1, progress=change)
        self.assertNotIn("", self.leftovers())

    async def test_mismatch(self) -> None:
        """Wrong data is kept under another name, and an existing file is not changed."""
        self.api.faults.send_wrong = True
        with open(self.path, "wb") as file:
            file.write(b"before")
        with self.assertRaises(VerificationFailed) as caught:
            await self.client.download(self.image, self.path)
        self.assertEqual(caught.exception.kept, self.path + ".bad")
        self.assertEqual(self.content(self.path), b"before")
        self.assertEqual(self.leftovers(), ["", ".bad"])

    async def test_refused(self) -> None:
        """A missing image, or one without data, is reported at once, and nothing is left."""
        with self.assertRaises(NoData):
            await self.client.download(self.api.add()["id"], self.path)
        with self.assertRaises(RequestRefused) as caught:
            await self.client.download("nobody", self.path)
        self.assertEqual(caught.exception.status, 404)
        self.assertEqual(self.leftovers(), [])

    async def test_verify(self) -> None:
        """A file is recognised as the image's data by its digest, without a download."""
        for content, known in ((SOME, "sha512"), (SOME[:-1], None), (bytes(len(SOME)), None)):
            self.assertEqual(await self.client.verify(self.image, self.file(content)), known)
        self.assertIsNone(await self.client.verify(self.image, self.path))
        for field in ("os_hash_value", "checksum"):
            self.api.images[self.image][field] = None
        self.assertIsNone(await self.client.verify(self.image, self.file(SOME)))
        self.assertEqual([seen for seen in self.api.seen if seen.path.endswith("/file")], [])

    async def test_two_writers(self) -> None:
        """A second download to the same name is refused while the first runs, and leaves nothing open."""
        self.api.faults.stall_downloads_after = 1
        begun: Deferred[None] = Deferred()
        first = Deferred.fromCoroutine(
            self.client.download(self.image, self.path, progress=lambda *_: begun.called or begun.callback(None))
        )
        await begun
        with self.assertRaises(LocalFileError) as caught:
            await self.client.download(self.image, self.path)
        self.assertIn("another download", str(caught.exception))
        opened = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
        self.assertEqual(opened.count(os.path.realpath(f"{self.path}.part")), 1)
        first.cancel()
        await self.assertFailure(first, CancelledError)

    async def test_stall(self) -> None:
        """A server that stops sending counts as broken."""
        self.api.faults.stall_downloads_after = 1
        client = ImageClient(self.api.endpoint, reactor, stall_limit=0.2)
        body = await client.open_range(self.image)
        with self.assertRaises(TransferInterrupted) as caught:
            async for _ in body:
                pass
        self.assertIn("sent nothing", str(caught.exception))
        await client.close()

    async def test_stream(self) -> None:
        """Bytes come in order, one block at a time, despite breaks."""
        self.api.faults.cut_downloads = [700_000, 1]
        taken: list[bytes] = []
        running = 0

        async def write(block: bytes) -> None:
            nonlocal running
            running += 1
            self.assertEqual(running, 1)
            await deferLater(reactor, 0)
            taken.append(block)
            running -= 1

        self.assertEqual(await self.client.stream(self.image, write), "sha512")
        self.assertEqual(b"".join(taken) == SOME, True)

    async def test_open_range(self) -> None:
        """`open_range` gives the range, its start and the whole size."""
        body = await self.client.open_range(self.image, 5, 10)
        self.assertEqual((body.whole, body.start, body.total), (False, 5, len(SOME)))
        self.assertEqual(b"".join([block async for block in body]), SOME[5:15])
        body = await self.client.open_range(self.image, len(SOME) - 3)
        self.assertEqual(b"".join([block async for block in body]), SOME[-3:])
        with self.assertRaises(NoData):
            await self.client.open_range(self.api.add()["id"])
