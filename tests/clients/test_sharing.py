"""Sharing between two projects, and lists, with clients of other projects behind an identifying proxy."""

from __future__ import annotations

import os
import shutil
import subprocess

import openstack
from glanceclient import Client, exc

from tests.clients.rigs import ClientTestCase, Run
from tests.support.waiting import free_port, listens, wait_for

PROJECTS = {"blue": "member,reader", "red": "member,reader", "ops": "admin,member,reader"}
NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
{user}
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/bodies;
    {servers}
}}
"""
SERVER = """
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{daemon};
            proxy_set_header Host $http_host;
            proxy_set_header X-Identity-Status Confirmed;
            proxy_set_header X-Project-Id {project};
            proxy_set_header X-User-Id "user of {project}";
            proxy_set_header X-Roles {roles};
        }}
        # There is no Keystone to ask for projects: the client takes what it is given for an id then.
        location /v2/tenants {{ return 403; }}
    }}
"""


class SharingTestCase(ClientTestCase):
    """A daemon, and for each project a port of a proxy where everybody is a member of that project."""

    toml = ClientTestCase.toml + "[identity]\nmode = 'proxy'\n"

    def setUp(self) -> None:
        super().setUp()
        self.ports = {project: free_port() for project in PROJECTS}
        servers = "".join(
            SERVER.format(port=port, daemon=self.daemon.port, project=project, roles=PROJECTS[project])
            for project, port in self.ports.items()
        )
        file = self.folder / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""
        file.write_text(NGINX.format(folder=self.folder, user=user, servers=servers))
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        proxy = subprocess.Popen([program, "-p", self.folder, "-c", file, "-e", self.folder / "nginx.log"])
        self.addCleanup(proxy.wait, 30)
        self.addCleanup(proxy.terminate)
        wait_for(lambda: all(map(listens, self.ports.values())), "the proxy listens")

    def endpoint(self, project: str) -> str:
        """The URL of the API for a project."""
        return f"http://127.0.0.1:{self.ports[project]}"


class GlanceSharingTests(SharingTestCase):
    """python-glanceclient."""

    def glance(self, project: str, *calls: tuple[str, ...]) -> list[Run]:
        """Calls of the command by a project. They must succeed."""
        options = ["--os-image-url", self.endpoint(project), "--os-auth-token", "any"]
        return self.succeed("glance", options, [[*call] for call in calls])

    def test_command(self) -> None:
        """An image is shared, seen, accepted, listed and unshared."""
        blue, red = (Client("2", endpoint=self.endpoint(project), token="any") for project in ("blue", "red"))
        image = blue.images.create(name="disk").id
        created, listed = self.glance("blue", ("member-create", image, "red"), ("member-list", "--image-id", image))
        for run in (created, listed):
            self.assertRegex(run.output, rf"{image} +\| red +\| pending")
        shared = ("image-list", "--visibility", "shared", "--member-status")
        pending, accepted, updated, now_accepted, now_pending = self.glance(
            "red",
            (*shared, "pending"),
            (*shared, "accepted"),
            ("member-update", image, "red", "accepted"),
            (*shared, "accepted"),
            (*shared, "pending"),
        )
        self.assertIn(image, pending.output)
        self.assertNotIn(image, accepted.output)
        self.assertRegex(updated.output, rf"{image} +\| red +\| accepted")
        self.assertIn(image, now_accepted.output)
        self.assertNotIn(image, now_pending.output)
        with self.assertRaises(exc.HTTPForbidden):
            blue.image_members.update(image, "red", "rejected")
        with self.assertRaises(exc.HTTPConflict):
            blue.image_members.create(image, "red")
        self.assertEqual("accepted", red.image_members.get(image, "red").status)
        self.glance("blue", ("member-delete", image, "red"))
        with self.assertRaises(exc.HTTPNotFound):
            red.images.get(image)

    def test_lists(self) -> None:
        """Filters, orders and pages of lists work."""
        blue = Client("2", endpoint=self.endpoint("blue"), token="any")
        for number in range(5):
            blue.images.create(
                name=f"n{number}", tags=["even" if number % 2 == 0 else "odd"], min_ram=number, os_hidden=number == 4
            )
        own = blue.images.create(name="private", visibility="private", os_distro="debian")

        def names(**options: object) -> list[str]:
            return [image.name for image in blue.images.list(**options)]

        self.assertEqual(["private", "n3", "n2", "n1", "n0"], names())
        self.assertEqual(["n0", "n1", "n2", "n3", "private"], names(sort_key="name", sort_dir="asc"))
        self.assertEqual(["n0", "n1", "n2", "n3", "private"], names(sort="name:asc", page_size=2))
        self.assertEqual(["n0", "n1"], names(sort="name:asc", limit=2))
        self.assertEqual(["n2", "n0"], names(filters={"tag": ["even"]}))
        self.assertEqual(["n4"], names(filters={"os_hidden": True}))
        self.assertEqual(["private"], names(filters={"visibility": "private"}))
        self.assertEqual(["private"], names(filters={"os_distro": "debian"}))
        self.assertEqual(["n1"], names(filters={"name": "n1", "owner": "blue"}))
        self.assertEqual(["private"], names(filters={"created_at": f"gte:{own.created_at}", "id": own.id}))
        red = Client("2", endpoint=self.endpoint("red"), token="any")
        self.assertEqual([], [*red.images.list()])
        calls = [
            ("image-list", "--sort", "name:asc", "--tag", "odd"),
            ("image-list", "--property-filter", "os_distro=debian"),
            ("image-list", "--hidden"),
            ("image-list", "--owner", "red"),
        ]
        found = [
            [name for name in ("n0", "n1", "n2", "n3", "n4", "private") if f" {name} " in run.output]
            for run in self.glance("blue", *calls)
        ]
        self.assertEqual([["n1", "n3"], ["private"], ["n4"], []], found)


class OpenstackSharingTests(SharingTestCase):
    """python-openstackclient."""

    def openstack(self, project: str, *calls: tuple[str, ...]) -> list[Run]:
        """Calls by a project. They must succeed."""
        options = ["--os-auth-type", "none", "--os-endpoint", self.endpoint(project)]
        return self.succeed("openstack", options, [[*call] for call in calls])

    def test_life(self) -> None:
        """`image add project`, `image member list`, `image set --accept`, `image list --member-status` and the
        reverse work.
        """
        created, added, members = self.openstack(
            "blue",
            ("image", "create", "-f", "json", "--shared", "disk"),
            ("image", "add", "project", "-f", "json", "disk", "red"),
            ("image", "member", "list", "-f", "json", "disk"),
        )
        image = created.json["id"]
        self.assertEqual(("red", "pending"), (added.json["member_id"], added.json["status"]))
        self.assertEqual([("red", "pending")], [(each["Member ID"], each["Status"]) for each in members.json])
        listed = ("image", "list", "-f", "json", "--shared")
        by_status = [(*listed, "--member-status", status) for status in ("pending", "accepted", "rejected", "all")]
        runs = self.openstack(
            "red",
            *by_status,
            ("image", "set", "--accept", "--project", "red", image),
            *by_status,
            listed,
            ("image", "set", "--reject", "--project", "red", image),
            *by_status,
            ("image", "show", "-f", "json", image),
        )
        seen = [[each["ID"] for each in run.json] if run.output.startswith("[") else None for run in runs[:-1]]
        here: list[str] = [image]
        self.assertEqual(
            [here, [], [], here, None, [], here, [], here, here, None, [], [], here, here],
            [found if found is not None or place in (4, 10) else [] for place, found in enumerate(seen)],
        )
        self.assertEqual(image, runs[-1].json["id"])
        self.openstack("blue", ("image", "remove", "project", "disk", "red"))
        options = ["--os-auth-type", "none", "--os-endpoint", self.endpoint("red")]
        (gone,) = self.many("openstack", options, [["image", "show", image]])
        self.assertNotEqual(0, gone.status)

    def test_lists(self) -> None:
        """Filters, orders and pages of lists work, and unusual names are found."""
        blue, red = (Client("2", endpoint=self.endpoint(project), token="any") for project in ("blue", "red"))
        for number, name in enumerate(("a", "b", "in:a", "c,d", 'e"f', "g;h&i")):
            blue.images.create(name=name, tags=["even" if number % 2 == 0 else "odd"], os_hidden=name == "b", os=name)
        red.images.create(name="ours", visibility="community")
        usual = [image.name for image in blue.images.list(sort="name:asc")]
        self.assertEqual(["a", "c,d", 'e"f', "g;h&i", "in:a"], usual)
        queries: list[tuple[tuple[str, ...], list[str]]] = [
            ((), usual),
            (("--limit", "2"), ['e"f', "g;h&i"]),  # the newest; the client sorts the page
            (("--max-items", "3"), ["c,d", 'e"f', "g;h&i"]),
            (("--limit", "1", "--marker", "c,d"), ["in:a"]),
            (("--sort", "name:desc", "--long"), usual[::-1]),
            (("--hidden",), ["b"]),
            (("--status", "queued", "--tag", "even"), ["a", 'e"f', "in:a"]),
            (("--status", "active"), []),
            (("--tag", "even", "--tag", "odd"), []),
            (("--property", "os=g;h&i"), ["g;h&i"]),
            (("--shared",), usual),
            (("--community",), ["ours"]),
            (("--all",), ["a", "c,d", 'e"f', "g;h&i", "in:a", "ours"]),
            (("--public",), []),
            (("--name", "g;h&i"), ["g;h&i"]),
            (("--name", 'in:"c,d",a'), ["a", "c,d"]),
        ]
        runs = self.openstack("blue", *(("image", "list", "-f", "json", *query) for query, _ in queries))
        for (query, names), run in zip(queries, runs, strict=True):
            self.assertEqual(names, [image["Name"] for image in run.json], query)
        shown = self.openstack(
            "blue", *(("image", "show", "-f", "json", name) for name in ("b", "c,d", 'e"f', "g;h&i"))
        )
        self.assertEqual(["b", "c,d", 'e"f', "g;h&i"], [run.json["name"] for run in shown])


class SdkSharingTests(SharingTestCase):
    """openstacksdk."""

    def test_life(self) -> None:
        """Members are added, found, listed, changed and removed."""
        clouds = {}
        for project in PROJECTS:
            connection = openstack.connect(
                auth_type="none", endpoint=self.endpoint(project), load_envvars=False, load_yaml_config=False
            )
            self.addCleanup(connection.close)
            clouds[project] = connection.image
        blue, red, ops = (clouds[project] for project in ("blue", "red", "ops"))
        image = blue.create_image("disk", disk_format="raw", container_format="bare")
        self.assertEqual("shared", image.visibility)
        member = blue.add_member(image, member_id="red")
        self.assertEqual(("red", "pending", image.id), (member.member_id, member.status, member.image_id))
        self.assertEqual(["red"], [each.member_id for each in blue.members(image)])
        self.assertEqual("pending", red.get_member("red", image).status)
        self.assertEqual([], [*red.images()])
        self.assertEqual([image.id], [each.id for each in red.images(member_status="pending", visibility="shared")])
        self.assertEqual("accepted", red.update_member("red", image, status="accepted").status)
        self.assertEqual([image.id], [each.id for each in red.images()])
        self.assertEqual("rejected", ops.update_member("red", image, status="rejected").status)
        self.assertEqual(image.id, red.find_image(image.id).id)
        blue.remove_member("red", image, ignore_missing=False)
        self.assertIsNone(red.find_image(image.id))
        self.assertEqual([], [*blue.members(image)])
