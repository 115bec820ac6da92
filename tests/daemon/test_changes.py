"""Many concurrent changes of one image, in several processes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.daemon.rig import DaemonTestCase
from tests.support.daemon import Daemon

TYPE = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
NUMBER = 50


class ChangesTests(DaemonTestCase):
    """A daemon with two workers."""

    def setUp(self) -> None:
        super().setUp()
        self.server = self.daemon("[server]\nworkers = 2\n")
        self.wait(lambda: len(re.findall(r"worker \d+: imgsvc \S+ on", self.server.log())) == 2, "workers")

    def at_once(self, *jobs: Callable[[int], int]) -> Sequence[int]:
        """The statuses of NUMBER concurrent calls of each function, in the order of the calls."""
        with ThreadPoolExecutor(NUMBER) as pool:
            calls = [pool.submit(job, number) for number in range(NUMBER) for job in jobs]
            return [call.result() for call in calls]

    def patch(self, daemon: Daemon, image_id: str, *operations: dict[str, object]) -> int:
        """The status of the response."""
        body = json.dumps(operations).encode()
        return daemon.request("PATCH", f"/v2/images/{image_id}", TYPE, body)[0]

    def test_nothing_is_lost(self) -> None:
        """Every property and every tag is kept, although both workers change the image, and it gets its data."""
        daemon, image_id = self.server, self.server.image()

        def add_property(number: int) -> int:
            return self.patch(daemon, image_id, {"op": "add", "path": f"/key {number}", "value": str(number)})

        def add_tag(number: int) -> int:
            return daemon.request("PUT", f"/v2/images/{image_id}/tags/tag{number}")[0]

        with ThreadPoolExecutor(1) as pool:
            upload = pool.submit(daemon.put, image_id, bytes(8 << 20))
            statuses = self.at_once(add_property, add_tag)
            self.assertEqual(upload.result(), 204)
        self.assertEqual(statuses, [200, 204] * NUMBER)
        shown = daemon.show(image_id)
        self.assertEqual({f"key {number}": str(number) for number in range(NUMBER)}, self.properties(shown))
        self.assertEqual({f"tag{number}" for number in range(NUMBER)}, set(shown["tags"]))
        self.assertEqual(("active", 8 << 20), (shown["status"], shown["size"]))
        workers = set(re.findall(r"access_log \[\S+\] worker (\d+): .* PATCH ", daemon.log()))
        self.assertEqual(len(workers), 2)

    def properties(self, shown: dict[str, object]) -> dict[str, object]:
        """The properties that the test has set."""
        return {key: value for key, value in shown.items() if key.startswith("key ")}

    def test_one_wins(self) -> None:
        """Of many requests that create the same property if it is absent, one succeeds, and the others get an error."""
        daemon, image_id = self.server, self.server.image()
        old_type = {"Content-Type": "application/openstack-images-v2.0-json-patch"}

        def make(number: int) -> int:
            body = json.dumps([{"add": "/one", "value": str(number)}]).encode()
            return daemon.request("PATCH", f"/v2/images/{image_id}", old_type, body)[0]

        statuses = self.at_once(make)
        self.assertEqual(sorted(statuses), [200] + [409] * (NUMBER - 1))
        self.assertEqual(daemon.show(image_id)["one"], str(statuses.index(200)))
