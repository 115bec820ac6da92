"""Tests for every store that can resume an upload. A test case mixes it in beside the StoreContract."""

from __future__ import annotations

from typing import Any

from zope.interface.verify import verifyObject

from imgsvc.errors import ObjectExists, ObjectInUse, ObjectMissing, StoreError
from imgsvc.interfaces import IResumableStore, IResumableWriter
from imgsvc.model import Location
from tests.support.store_contract import DATA, EARLIER, LATER, NAME, promise, put, read, write

__all__ = ["ResumeContract"]


class ResumeContract:
    """Every promise of IResumableStore and IResumableWriter. Needs what StoreContract needs."""

    store: Any

    async def finish(self: Any, writer: IResumableWriter, data: bytes) -> Location:
        """Commit and finalize. The object then has this content, and nothing of the upload is left."""
        location = await writer.commit()
        await writer.finalize()
        await self.assert_holds(location, data)
        return location

    @promise
    async def test_resume_interfaces(self: Any) -> None:
        """The store and its writers provide their interfaces, however a writer was made."""
        verifyObject(IResumableStore, self.store)
        writer = await self.store.writer(NAME, EARLIER, None)
        verifyObject(IResumableWriter, writer)
        await writer.suspend()
        resumed = await self.store.resume(NAME, EARLIER)
        verifyObject(IResumableWriter, resumed)
        await resumed.abort()

    @promise
    async def test_size(self: Any) -> None:
        """A writer says how many bytes it has taken."""
        writer = await self.store.writer(NAME, EARLIER, None)
        self.assertEqual(0, writer.size)
        await writer.write([b"ab", bytearray(b"cde")])
        self.assertEqual(5, writer.size)
        await writer.write([DATA])
        self.assertEqual(5 + len(DATA), writer.size)
        await writer.abort()

    @promise
    async def test_resume(self: Any) -> None:
        """A suspended upload can be resumed any number of times, and becomes one object."""
        writer = await self.store.writer(NAME, EARLIER, None)
        done = 0
        for end in (0, 7, 70001, 70001, len(DATA)):
            await writer.write([DATA[done:end]])
            done = end
            self.assertEqual(done, await writer.suspend())
            await self.assert_unfinished(EARLIER)
            writer = await self.store.resume(NAME, EARLIER)
            self.assertEqual(done, writer.size)
        await self.finish(writer, DATA)

    @promise
    async def test_resume_zeros(self: Any) -> None:
        """Zeros are kept like other bytes, also at the end of a part."""
        content = bytes(200000) + b"x" + bytes(300000)
        writer = await write(self.store, NAME, EARLIER, content[:131072])
        self.assertEqual(131072, await writer.suspend())
        writer = await self.store.resume(NAME, EARLIER)
        await writer.write([content[131072:]])
        self.assertEqual(len(content), await writer.suspend())
        await self.finish(await self.store.resume(NAME, EARLIER), content)

    @promise
    async def test_invisible_while_suspended(self: Any) -> None:
        """A suspended upload is no object."""
        location = await put(self.store, NAME, EARLIER, DATA)
        await self.store.delete(location)
        await (await write(self.store, NAME, LATER, DATA)).suspend()
        with self.assertRaises(ObjectMissing):
            await self.store.size(location)

    @promise
    async def test_suspended_writer(self: Any) -> None:
        """A suspended writer takes nothing, makes no object, and does not harm the resumed one."""
        writer = await write(self.store, NAME, EARLIER, DATA)
        await writer.suspend()
        for call in (lambda: writer.write([b"more"]), writer.commit, writer.suspend):
            with self.assertRaises(StoreError):
                await call()
        for end in (writer.abort, writer.finalize):
            await end()
            await self.assert_unfinished(EARLIER)
        resumed = await self.store.resume(NAME, EARLIER)
        await writer.abort()
        await resumed.write([b"more"])
        await writer.finalize()
        location = await resumed.commit()
        await writer.finalize()
        await writer.abort()
        await self.assert_unfinished(EARLIER)
        await resumed.finalize()
        await self.assert_holds(location, DATA + b"more")

    @promise
    async def test_abort_after_resume(self: Any) -> None:
        """Aborting a resumed upload leaves nothing of it."""
        await (await write(self.store, NAME, EARLIER, DATA)).suspend()
        writer = await self.store.resume(NAME, EARLIER)
        await writer.write([DATA])
        await writer.abort()
        await self.assert_unfinished()
        with self.assertRaises(ObjectMissing):
            await self.store.resume(NAME, EARLIER)

    @promise
    async def test_suspend_after_abort(self: Any) -> None:
        """An aborted upload cannot be suspended."""
        writer = await write(self.store, NAME, EARLIER, DATA)
        await writer.abort()
        with self.assertRaises(StoreError):
            await writer.suspend()
        await self.assert_unfinished()

    @promise
    async def test_resume_nothing(self: Any) -> None:
        """Unknown, finalized, aborted and discarded uploads cannot be resumed."""
        for lease_id in (EARLIER, LATER):
            with self.assertRaises(ObjectMissing):
                await self.store.resume(NAME, lease_id)
        location = await put(self.store, NAME, EARLIER, DATA)
        await (await write(self.store, NAME, LATER, b"other")).suspend()
        await self.store.discard(NAME, LATER)
        for lease_id in (EARLIER, LATER):
            with self.assertRaises(ObjectMissing):
                await self.store.resume(NAME, lease_id)
        await self.assert_holds(location, DATA)

    @promise
    async def test_resume_committed(self: Any) -> None:
        """A committed object cannot be resumed."""
        writer = await write(self.store, NAME, EARLIER, DATA)
        location = await writer.commit()
        with self.assertRaises(ObjectExists):
            await self.store.resume(NAME, EARLIER)
        await writer.finalize()
        await self.assert_holds(location, DATA)

    @promise
    async def test_two_writers(self: Any) -> None:
        """An upload has one writer at a time."""
        first = await write(self.store, NAME, EARLIER, DATA)
        with self.assertRaises(ObjectInUse):
            await self.store.resume(NAME, EARLIER)
        await first.suspend()
        second = await self.store.resume(NAME, EARLIER)
        with self.assertRaises(ObjectInUse):
            await self.store.resume(NAME, EARLIER)
        await second.write([b"more"])
        await self.finish(second, DATA + b"more")

    @promise
    async def test_discarded_while_suspended(self: Any) -> None:
        """An upload that is discarded while a writer continues it makes no object."""
        await (await write(self.store, NAME, EARLIER, DATA)).suspend()
        writer = await self.store.resume(NAME, EARLIER)
        await self.store.discard(NAME, EARLIER)
        location = await put(self.store, NAME, LATER, b"next")
        with self.assertRaises(StoreError):
            await writer.commit()
        await writer.abort()
        self.assertEqual(b"next", await read(self.store, location))
        await self.assert_unfinished()

    @promise
    async def test_stale_resume(self: Any) -> None:
        """A resumed upload does not replace the object of a later one."""
        await (await write(self.store, NAME, EARLIER, DATA)).suspend()
        location = await put(self.store, NAME, LATER, b"next")
        writer = await self.store.resume(NAME, EARLIER)
        with self.assertRaises(ObjectExists):
            await writer.commit()
        await writer.abort()
        await self.assert_holds(location, b"next")
