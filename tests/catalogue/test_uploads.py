from __future__ import annotations

from datetime import timedelta
from threading import Barrier, Thread

from imgsvc.catalogue import Catalogue
from imgsvc.errors import LeaseLost, NoSuchImage, WrongStatus
from imgsvc.lease_model import Lease, LeaseKind, LeaseObject
from imgsvc.model import Claim, Status
from tests.catalogue.rigs import CatalogueTestCase, HeldThreads, on_every_database, stored_data


def claim_with_others(catalogue: Catalogue, image_id: str, barrier: Barrier, results: list[object]) -> None:
    """Claim at the same time as all others at the barrier, and keep the claim or the error."""
    barrier.wait()
    claim = catalogue.claim(image_id, "local", 60)
    claim.addErrback(lambda failure: failure.value).addCallback(results.append)


class UploadTestCase(CatalogueTestCase):
    def claim(self, image_id: str, lease: float = 60) -> Claim:
        claim = self.successResultOf(self.catalogue.claim(image_id, "local", lease))
        assert isinstance(claim, Claim)
        return claim

    def is_claimed(self, claim: Claim) -> bool:
        leases = self.successResultOf(self.catalogue.leases())
        return (claim.image.id, claim.lease_id) in {(lease.resource_id, lease.lease_id) for lease in leases}


@on_every_database
class ClaimTest(UploadTestCase):
    def test_claim(self) -> None:
        """A claimed image is saving, and the claim has the image as it is then."""
        image = self.add(properties={"a": "1"})
        claim = self.claim(image.id)
        self.assertEqual(claim.image, self.get(image.id))
        self.assertEqual((claim.image.status, claim.image.updated_at), (Status.SAVING, self.now))
        self.assertEqual(dict(claim.image.properties), {"a": "1"})
        self.assertTrue(self.is_claimed(claim))

    def test_second_claim(self) -> None:
        """A claimed image cannot be claimed again, also after the lease has expired."""
        image = self.add()
        self.claim(image.id, lease=-1)
        failure = self.failureResultOf(self.catalogue.claim(image.id, "local", 60), WrongStatus)
        self.assertEqual(failure.value.status, "saving")

    def test_other_statuses(self) -> None:
        """Only a queued image can be claimed. An absent or deleted one is not found."""
        active = self.add_active()
        self.failureResultOf(self.catalogue.claim(active.id, "local", 60), WrongStatus)
        self.successResultOf(self.catalogue.delete(active.id))
        for image_id in (active.id, "nothing"):
            self.failureResultOf(self.catalogue.claim(image_id, "local", 60), NoSuchImage)

    def test_ids_ascend(self) -> None:
        """Each claim of an image has an id that sorts after all earlier ones."""
        image = self.add()
        lease_ids = []
        for _ in range(12):
            claim = self.claim(image.id, lease=-1)
            lease_ids.append(claim.lease_id)
            (expired,) = self.successResultOf(self.catalogue.leases())
            lease_ids.append(self.successResultOf(self.catalogue.take_over(expired, 60)).lease_id)
            self.assertTrue(self.successResultOf(self.catalogue.release(image.id, lease_ids[-1])))
        self.assertEqual(lease_ids, sorted(set(lease_ids)))
        self.assertEqual([int(one.partition("-")[0]) for one in lease_ids], list(range(1, 25)))

    def test_one_winner_of_many(self) -> None:
        """Of many catalogues that claim at the same time, one succeeds."""
        catalogues = [self.open_catalogue(self.open_database()) for _ in range(4)]
        for _ in range(10):
            image = self.add()
            barrier = Barrier(len(catalogues))
            results: list[object] = []

            threads = [
                Thread(target=claim_with_others, args=(catalogue, image.id, barrier, results))
                for catalogue in catalogues
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(sorted(type(result).__name__ for result in results), ["Claim"] + 3 * ["WrongStatus"])


class BatchTest(UploadTestCase):
    def test_one_winner_of_a_batch(self) -> None:
        """Of several claims in one transaction, the first succeeds."""
        image = self.add()
        threads = HeldThreads()
        database = self.open_database(writer_threads=threads)
        catalogue = Catalogue(database)
        started = catalogue.start()
        threads.release()
        self.successResultOf(started)
        self.stop_at_end(catalogue, threads)
        claims = [catalogue.claim(image.id, "local", 60) for _ in range(5)]
        threads.release()
        threads.release()
        self.assertEqual(self.successResultOf(claims[0]).image.status, Status.SAVING)
        for claim in claims[1:]:
            self.failureResultOf(claim, WrongStatus)

    def stop_at_end(self, catalogue: Catalogue, threads: HeldThreads) -> None:
        def stop() -> None:
            stopped = catalogue.stop()
            threads.release()
            self.successResultOf(stopped)

        self.addCleanup(stop)


@on_every_database
class ActivateTest(UploadTestCase):
    def test_activate(self) -> None:
        """An activated image has the fields and the location of its data, and no claim."""
        image = self.add()
        claim = self.claim(image.id)
        self.now += timedelta(seconds=1)
        data = stored_data(image.id)
        self.successResultOf(self.catalogue.activate(image.id, claim.lease_id, data))
        active = self.get(image.id)
        self.assertEqual((active.status, active.updated_at), (Status.ACTIVE, self.now))
        self.assertEqual(active.created_at, image.created_at)
        self.assertEqual((active.size, active.virtual_size, active.checksum), (1000, 2000, data.checksum))
        self.assertEqual((active.os_hash_algo, active.os_hash_value), (data.os_hash_algo, data.os_hash_value))
        self.assertEqual(active.locations, (data.location,))
        self.assertEqual(dict(active.locations[0].metadata), {"inode": "7"})
        self.assertFalse(self.is_claimed(claim))
        self.failureResultOf(self.catalogue.activate(image.id, claim.lease_id, data), LeaseLost)
        self.assertEqual(len(self.get(image.id).locations), 1)

    def test_expired(self) -> None:
        """An expired claim that nobody has taken over is still valid."""
        image = self.add()
        claim = self.claim(image.id, lease=-1)
        self.successResultOf(self.catalogue.activate(image.id, claim.lease_id, stored_data(image.id)))

    def test_lost(self) -> None:
        """An upload whose claim was taken over or released, or whose image was deleted, cannot activate the image."""
        image = self.add()
        old = self.claim(image.id)
        self.successResultOf(self.catalogue.release(image.id, old.lease_id))
        new = self.claim(image.id)
        for lease_id in (old.lease_id, "nothing"):
            activated = self.catalogue.activate(image.id, lease_id, stored_data(image.id))
            self.failureResultOf(activated, LeaseLost)
        self.assertEqual(self.get(image.id).status, Status.SAVING)
        self.successResultOf(self.catalogue.delete(image.id))
        self.failureResultOf(self.catalogue.activate(image.id, new.lease_id, stored_data(image.id)), LeaseLost)
        self.assertEqual(self.successResultOf(self.catalogue.pending_deletions("local")), [])

    def test_undone_whole(self) -> None:
        """If the end of the claim fails, the image stays saving and has no location."""
        image = self.add()
        claim = self.claim(image.id)
        allow_deletes = self.rig.refuse_deletes("leases")
        activated = self.catalogue.activate(image.id, claim.lease_id, stored_data(image.id))
        failure = self.failureResultOf(activated)
        self.assertIn("IntegrityError", [base.__name__ for base in type(failure.value).__mro__])
        self.assertEqual((self.get(image.id).status, self.get(image.id).locations), (Status.SAVING, ()))
        allow_deletes()
        self.successResultOf(self.catalogue.activate(image.id, claim.lease_id, stored_data(image.id)))


@on_every_database
class ReleaseTest(UploadTestCase):
    def test_release(self) -> None:
        """A released image is queued, without data fields, and can be claimed again."""
        image = self.add(size=5, virtual_size=6, checksum="c", os_hash_algo="sha512", os_hash_value="d")
        claim = self.claim(image.id)
        self.assertTrue(self.successResultOf(self.catalogue.release(image.id, claim.lease_id)))
        queued = self.get(image.id)
        self.assertEqual(queued.status, Status.QUEUED)
        data = (queued.size, queued.virtual_size, queued.checksum, queued.os_hash_algo, queued.os_hash_value)
        self.assertEqual(data, (None,) * 5)
        self.assertFalse(self.is_claimed(claim))
        self.claim(image.id)

    def test_not_held(self) -> None:
        """A release without the claim returns False and changes nothing."""
        image = self.add()
        claim = self.claim(image.id)
        for image_id, lease_id in ((image.id, "nothing"), ("nothing", claim.lease_id)):
            self.assertFalse(self.successResultOf(self.catalogue.release(image_id, lease_id)))
        self.assertEqual(self.get(image.id).status, Status.SAVING)
        self.assertTrue(self.is_claimed(claim))

    def test_deleted(self) -> None:
        """A claim stays after its image is deleted, and its release leaves the image deleted."""
        image = self.add()
        claim = self.claim(image.id)
        self.successResultOf(self.catalogue.delete(image.id))
        self.assertTrue(self.is_claimed(claim))
        self.assertTrue(self.successResultOf(self.catalogue.release(image.id, claim.lease_id)))
        self.failureResultOf(self.catalogue.image(image.id), NoSuchImage)
        self.assertFalse(self.is_claimed(claim))


@on_every_database
class LeaseTest(UploadTestCase):
    def leases(self) -> list[Lease]:
        return list(self.successResultOf(self.catalogue.leases()))

    def test_leases(self) -> None:
        """The leases of claims are listed with their objects, by expiry."""
        claims = [self.claim(self.add().id, lease=lease) for lease in (1000, -10, 0, -1)]
        claims.append(self.successResultOf(self.catalogue.claim(self.add().id, "other", 2000)))
        leases = self.leases()
        stores = ("local", "local", "local", "local", "other")
        for lease, store_id, at in zip(leases, stores, (2, 1, 3, 0, 4), strict=True):
            image_id, lease_id = claims[at].image.id, claims[at].lease_id
            self.assertEqual((lease.resource_id, lease.lease_id, lease.kind), (image_id, lease_id, LeaseKind.UPLOAD))
            self.assertEqual(lease.objects, (LeaseObject(store_id, image_id, lease_id),))
        self.assertEqual(leases[0].expires_at, 0)
        self.assertGreater(leases[3].expires_at, leases[2].expires_at + 500_000_000)

    def test_not_expired(self) -> None:
        """A lease that has not expired, or was renewed, is not taken over."""
        claim = self.claim(self.add().id, lease=-1)
        (before,) = self.leases()
        self.successResultOf(self.catalogue.renew(claim.image.id, claim.lease_id, 60))
        (renewed,) = self.leases()
        self.assertGreater(renewed.expires_at, before.expires_at)
        self.assertIsNone(self.successResultOf(self.catalogue.take_over(renewed, 60)))
        self.assertTrue(self.is_claimed(claim))

    def test_renewed_and_expired(self) -> None:
        """A lease that was renewed after it was read is not taken over, even if it has expired again."""
        claim = self.claim(self.add().id, lease=-10)
        (seen,) = self.leases()
        self.successResultOf(self.catalogue.renew(claim.image.id, claim.lease_id, -1))
        self.assertIsNone(self.successResultOf(self.catalogue.take_over(seen, 60)))
        self.assertTrue(self.is_claimed(claim))

    def test_renew_lost(self) -> None:
        """A claim that is not held, or whose image was deleted, cannot be renewed."""
        claim = self.claim(self.add().id)
        self.failureResultOf(self.catalogue.renew(claim.image.id, "nothing", 60), LeaseLost)
        self.failureResultOf(self.catalogue.renew("nothing", claim.lease_id, 60), LeaseLost)
        self.successResultOf(self.catalogue.delete(claim.image.id))
        self.failureResultOf(self.catalogue.renew(claim.image.id, claim.lease_id, 60), LeaseLost)

    def test_take_over(self) -> None:
        """An expired claim gets one new holder, and the old one cannot disturb it."""
        claim = self.claim(self.add().id, lease=-1)
        (expired,) = self.leases()
        other = self.open_catalogue(self.open_database())
        taken = self.successResultOf(other.take_over(expired, 60))
        self.assertGreater(taken.lease_id, claim.lease_id)
        self.assertEqual(taken.objects, expired.objects, "what is to be removed is what the old one has begun")
        self.assertIsNone(self.successResultOf(self.catalogue.take_over(expired, 60)))
        self.assertEqual(self.leases(), [taken])
        self.assertIsNone(self.successResultOf(self.catalogue.take_over(taken, 60)))
        self.assertFalse(self.is_claimed(claim))
        image_id = claim.image.id
        self.failureResultOf(self.catalogue.renew(image_id, claim.lease_id, 60), LeaseLost)
        self.failureResultOf(self.catalogue.activate(image_id, claim.lease_id, stored_data(image_id)), LeaseLost)
        self.assertFalse(self.successResultOf(self.catalogue.release(image_id, claim.lease_id)))
        self.assertTrue(self.successResultOf(self.catalogue.release(image_id, taken.lease_id)))
        self.assertEqual(self.get(image_id).status, Status.QUEUED)

    def test_take_over_renewed(self) -> None:
        """A claim that was renewed or released meanwhile is not taken over."""
        claim = self.claim(self.add().id, lease=-1)
        (expired,) = self.leases()
        self.successResultOf(self.catalogue.renew(claim.image.id, claim.lease_id, 60))
        self.assertIsNone(self.successResultOf(self.catalogue.take_over(expired, 60)))
        self.assertTrue(self.is_claimed(claim))
        self.successResultOf(self.catalogue.release(claim.image.id, claim.lease_id))
        self.assertIsNone(self.successResultOf(self.catalogue.take_over(expired, 60)))
        unknown = Lease("nothing", "000001-nothing", LeaseKind.UPLOAD, 0)
        self.assertIsNone(self.successResultOf(self.catalogue.take_over(unknown, 60)))

    def test_take_over_deleted(self) -> None:
        """The claim on a deleted image can be taken over and released like any other."""
        claim = self.claim(self.add().id, lease=-1)
        self.successResultOf(self.catalogue.delete(claim.image.id))
        (expired,) = self.leases()
        taken = self.successResultOf(self.catalogue.take_over(expired, 60))
        self.assertTrue(self.successResultOf(self.catalogue.release(claim.image.id, taken.lease_id)))
        self.assertEqual(self.leases(), [])


@on_every_database
class LeaseObjectTest(UploadTestCase):
    """The objects in stores that holders of leases have begun."""

    def is_under_way(self, store_id: str, name: str, lease_id: str) -> bool:
        return bool(self.successResultOf(self.catalogue.is_under_way(store_id, name, lease_id)))

    def counts(self) -> list[int]:
        return [self.successResultOf(self.catalogue.object_count(store_id)) for store_id in ("local", "other")]

    def test_several(self) -> None:
        """A lease has objects in several stores until it ends. Only its holder adds objects."""
        claim = self.claim(self.add().id, lease=-1)
        image_id, first = claim.image.id, LeaseObject("local", claim.image.id, claim.lease_id)
        for _ in range(2):
            self.successResultOf(self.catalogue.add_lease_object(image_id, claim.lease_id, "other", "name"))
        (expired,) = self.successResultOf(self.catalogue.leases())
        self.assertEqual(expired.objects, (first, LeaseObject("other", "name", claim.lease_id)))
        taken = self.successResultOf(self.catalogue.take_over(expired, 60))
        failing = self.catalogue.add_lease_object(image_id, claim.lease_id, "other", "late")
        self.failureResultOf(failing, LeaseLost)
        self.successResultOf(self.catalogue.add_lease_object(image_id, taken.lease_id, "other", "name"))
        (lease,) = self.successResultOf(self.catalogue.leases())
        self.assertEqual(lease.objects, (*expired.objects, LeaseObject("other", "name", taken.lease_id)))
        self.assertEqual(self.counts(), [1, 2])
        self.assertEqual(self.successResultOf(self.catalogue.known_objects("other", ["name", "late"])), {"name"})
        self.assertTrue(self.successResultOf(self.catalogue.release(image_id, taken.lease_id)))
        self.assertEqual(self.counts(), [0, 0])

    def test_under_way(self) -> None:
        """Objects of an old holder stay with the lease until it ends, so that the new holder takes care of them."""
        claim = self.claim(self.add().id, lease=-1)
        image_id = claim.image.id
        self.assertTrue(self.is_under_way("local", image_id, claim.lease_id))
        for others in (("other", image_id, claim.lease_id), ("local", "x", claim.lease_id), ("local", image_id, "x")):
            self.assertFalse(self.is_under_way(*others))
        (expired,) = self.successResultOf(self.catalogue.leases())
        taken = self.successResultOf(self.catalogue.take_over(expired, 60))
        self.assertTrue(self.is_under_way("local", image_id, claim.lease_id))
        self.successResultOf(self.catalogue.release(image_id, taken.lease_id))
        self.assertFalse(self.is_under_way("local", image_id, claim.lease_id))
