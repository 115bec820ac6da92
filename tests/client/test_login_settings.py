"""Logins from OS_* variables and clouds.yaml, compared with openstacksdk where it says what they mean."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st
from openstack.config import loader
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.client import (
    ApplicationCredential,
    Basic,
    Domain,
    KeystoneToken,
    LocalFileError,
    Login,
    LoginUnusable,
    Nobody,
    Password,
    Scope,
    Tls,
    Token,
    User,
    find_login,
)
from imgsvc.client.identity import clouds

KEYSTONE = "https://keystone.example/v3"
SECRET = "hush-hush"
USER = {"OS_AUTH_URL": KEYSTONE, "OS_USERNAME": "alice", "OS_PASSWORD": SECRET}
ALICE = User(name="alice")


class VariableTests(SynchronousTestCase):
    def login(self, **variables: str) -> Login:
        """Make a Login of these variables alone. Their names lack OS_."""
        return find_login(environment={f"OS_{name}": value for name, value in variables.items()})

    def user(self, **variables: str) -> Login:
        """Make a Login of a user with a password, and of more variables."""
        return find_login(environment={**USER, **{f"OS_{name}": value for name, value in variables.items()}})

    def test_nobody(self) -> None:
        """Without variables that say how to log in, nobody does; the endpoint and the files of TLS count."""
        self.assertEqual(self.login(), Login())
        self.assertEqual(self.login(USERNAME="alice", PASSWORD=SECRET, PROJECT_NAME="p"), Login())
        self.assertEqual(self.login(ENDPOINT="http://e", IMAGE_ENDPOINT="http://i").endpoint, "http://i")
        self.assertEqual(self.login(ENDPOINT="http://e", CACERT="/ca", CERT="/c", KEY="/k").tls, Tls("/ca", "/c", "/k"))
        self.assertTrue(self.login(INSECURE="true").tls.insecure)

    def test_credentials(self) -> None:
        """Each kind of credentials is found by OS_AUTH_TYPE, or by the variables that only it has."""
        keystone = {"AUTH_URL": KEYSTONE}
        robot = {**keystone, "APPLICATION_CREDENTIAL_SECRET": SECRET}
        own = {**robot, "APPLICATION_CREDENTIAL_NAME": "robot", "USERNAME": "alice"}
        basic = {"AUTH_TYPE": "http_basic", "USERNAME": "alice", "PASSWORD": SECRET, "ENDPOINT": "http://i"}
        for variables, credentials in (
            ({**keystone, "USERNAME": "alice", "PASSWORD": SECRET}, Password(ALICE, SECRET)),
            ({**keystone, "AUTH_TYPE": "v3password", "USER_ID": "1", "PASSWORD": "p"}, Password(User(id="1"), "p")),
            ({**robot, "APPLICATION_CREDENTIAL_ID": "1"}, ApplicationCredential(SECRET, id="1")),
            ({**own, "AUTH_TYPE": "v3applicationcredential"}, ApplicationCredential(SECRET, name="robot", user=ALICE)),
            ({**keystone, "TOKEN": "t"}, KeystoneToken("t")),
            ({**keystone, "AUTH_TOKEN": "t", "AUTH_TYPE": "v3token"}, KeystoneToken("t")),
            ({"TOKEN": "t"}, Token("t")),
            ({**keystone, "TOKEN": "t", "ENDPOINT": "http://i"}, Token("t")),
            ({**keystone, "TOKEN": "t", "AUTH_TYPE": "admin_token"}, Token("t")),
            (basic, Basic("alice", SECRET)),
            ({"AUTH_TYPE": "none", "ENDPOINT": "http://i"}, Nobody()),
        ):
            self.assertEqual(self.login(**variables).credentials, credentials, variables.keys())

    def test_domains(self) -> None:
        """The domains of user and project are given apart or together; without any it is the one named `default`."""
        for variables, user, project in (
            ({}, Domain(id="default"), Domain(id="default")),
            ({"DEFAULT_DOMAIN": "d"}, Domain(id="d"), Domain(id="d")),
            ({"DOMAIN_NAME": "d"}, Domain(name="d"), Domain(name="d")),
            ({"USER_DOMAIN_NAME": "u", "PROJECT_DOMAIN_ID": "p"}, Domain(name="u"), Domain(id="p")),
            ({"USER_DOMAIN_NAME": "u", "USER_DOMAIN_ID": "i", "DOMAIN_ID": "d"}, Domain(id="i"), Domain(id="d")),
        ):
            login = self.user(PROJECT_NAME="blue", **variables)
            self.assertIsInstance(login.credentials, Password)
            given = login.credentials.user.domain  # type: ignore[union-attr]
            for domain, expected in ((given, user), (login.scope.project_domain, project)):
                self.assertEqual((domain.id or "default", domain.name), (expected.id or "default", expected.name))

    def test_scopes(self) -> None:
        """A token is for a project, a domain, the system, a trust, or none of them."""
        for variables, scope in (
            ({}, Scope()),
            ({"PROJECT_ID": "1"}, Scope(project_id="1")),
            ({"TENANT_NAME": "old"}, Scope(project_name="old")),
            ({"DOMAIN_ID": "d"}, Scope(domain=Domain(id="d"))),
            ({"SYSTEM_SCOPE": "all"}, Scope(system=True)),
            ({"TRUST_ID": "t"}, Scope(trust_id="t")),
        ):
            self.assertEqual(self.user(**variables).scope, scope)

    def test_endpoint(self) -> None:
        """Region, interface and service type choose the endpoint, or it is given."""
        login = self.user(REGION_NAME="R2", INTERFACE="internalURL", IMAGE_SERVICE_TYPE="pictures")
        self.assertEqual((login.region, login.interface, login.service_type), ("R2", "internal", "pictures"))
        self.assertEqual(self.user(ENDPOINT_TYPE="admin").interface, "admin")
        self.assertEqual(self.user(IMAGE_ENDPOINT_OVERRIDE="http://i").endpoint, "http://i")

    def test_wrong(self) -> None:
        """What is missing or wrong is told by the name of the variable, and no secret is shown."""
        for variables, told in (
            ({"AUTH_TYPE": "password"}, "OS_AUTH_URL is missing"),
            ({"AUTH_URL": KEYSTONE}, "OS_USERNAME is missing"),
            ({"AUTH_URL": KEYSTONE, "USERNAME": "a"}, "OS_PASSWORD is missing"),
            ({"AUTH_TYPE": "http_basic", "PASSWORD": SECRET}, "OS_USERNAME is missing"),
            ({"AUTH_TYPE": "http_basic", "USERNAME": "a:b", "PASSWORD": SECRET}, "must not have a colon"),
            ({"AUTH_URL": KEYSTONE, "AUTH_TYPE": "v3oidcpassword"}, "OS_AUTH_TYPE must be one of admin_token, http_b"),
            (
                {"AUTH_URL": KEYSTONE, "APPLICATION_CREDENTIAL_SECRET": SECRET},
                "OS_APPLICATION_CREDENTIAL_ID is missing",
            ),
            ({"AUTH_URL": "keystone", "PASSWORD": SECRET}, "OS_AUTH_URL: 'keystone' is not an http or https URL"),
            ({"AUTH_URL": f"http://a:{SECRET}@b"}, "must not have a user name"),
            ({"AUTH_URL": f"http://a:{SECRET}@b:port"}, "must not have a user name"),
            ({"TOKEN": f"{SECRET}\n"}, "OS_TOKEN has characters that no token has"),
            ({"ENDPOINT": "nowhere"}, "OS_ENDPOINT: 'nowhere' is not"),
            ({"INSECURE": "maybe"}, "OS_INSECURE must be true or false"),
        ):
            problem = self.assertRaises(LoginUnusable, self.login, **variables)
            self.assertIn(told, str(problem))
            self.assertNotIn(SECRET, str(problem))
        for variables, told in (
            ({"PROJECT_ID": "1", "SYSTEM_SCOPE": "all"}, "one of the system and a project, not for both"),
            ({"SYSTEM_SCOPE": "some"}, "OS_SYSTEM_SCOPE must be 'all'"),
            ({"INTERFACE": "secret"}, "OS_INTERFACE must be one of public, internal, admin"),
            ({"IDENTITY_API_VERSION": "2.0"}, "version 2 of the Identity API"),
        ):
            self.assertIn(told, str(self.assertRaises(LoginUnusable, self.user, **variables)))


class CloudTestCase(SynchronousTestCase):
    """A working folder, a home and variables of its own."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.site, self.home = self.folder / "site", self.folder / "home"
        self.work = self.folder / "work"
        self.work.mkdir(parents=True)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.work)
        self.patch(clouds, "SITE_FOLDERS", (str(self.site),))
        self.environment = {"HOME": str(self.home)}

    def write(self, path: Path, **entries: object) -> Path:
        """Write a file with entries. JSON is YAML too."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"clouds": entries}))
        return path

    def cloud(self, name: str = "mine", **variables: str) -> Login:
        """Make the Login of an entry."""
        return find_login(name, {**self.environment, **variables})


def entry(username: str = "alice", **more: object) -> dict[str, object]:
    """An entry of clouds.yaml."""
    return {"auth": {"auth_url": KEYSTONE, "username": username, "password": SECRET}, **more}


class CloudFileTests(CloudTestCase):
    def user(self, **variables: str) -> str | None:
        credentials = self.cloud(**variables).credentials
        assert isinstance(credentials, Password)
        return credentials.user.name

    def test_precedence(self) -> None:
        """The first file that is there counts alone: the working folder, the user's, the site's; a named one first."""
        self.write(self.site / "clouds.yaml", mine=entry("site"))
        self.assertEqual(self.user(), "site")
        for path, name in (
            (self.home / ".config" / "openstack" / "clouds.json", "home, json"),
            (self.home / ".config" / "openstack" / "clouds.yml", "home, yml"),
            (self.home / ".config" / "openstack" / "clouds.yaml", "home, yaml"),
            (self.folder / "xdg" / "openstack" / "clouds.yaml", "xdg"),
            (self.work / "clouds.yaml", "work"),
        ):
            self.write(path, mine=entry(name))
            variables = {"XDG_CONFIG_HOME": str(self.folder / "xdg")}
            self.assertEqual(self.user(**variables), name)
        named = self.write(self.folder / "named", mine=entry("named"))
        self.assertEqual(self.user(OS_CLIENT_CONFIG_FILE=str(named)), "named")
        self.assertRaises(LocalFileError, self.user, OS_CLIENT_CONFIG_FILE=str(self.folder / "missing"))

    def test_cloud_counts_alone(self) -> None:
        """With a cloud no OS_* variable counts but the region; the option counts before OS_CLOUD."""
        self.write(self.work / "clouds.yaml", mine=entry(), other=entry("bob"))
        self.assertEqual(self.user(OS_USERNAME="carol", OS_TOKEN="t", OS_ENDPOINT="http://e"), "alice")
        login = find_login(None, {**self.environment, "OS_CLOUD": "other", "OS_REGION_NAME": "R7"})
        self.assertEqual(login.credentials.user.name, "bob")  # type: ignore[union-attr]
        self.assertEqual(login.region, "R7")
        self.assertEqual(self.user(OS_CLOUD="other"), "alice")

    def test_secure(self) -> None:
        """secure.yaml is put over clouds.yaml, entry by entry and key by key."""
        self.write(self.work / "clouds.yaml", mine={"auth": {"auth_url": KEYSTONE, "username": "alice"}})
        self.assertIn("password is missing", str(self.assertRaises(LoginUnusable, self.cloud)))
        self.write(self.home / ".config" / "openstack" / "secure.yaml", mine={"auth": {"password": "home"}})
        self.assertEqual(self.cloud().credentials, Password(ALICE, "home"))
        named = self.write(self.folder / "named", mine={"auth": {"password": "named"}})
        self.assertEqual(self.cloud(OS_CLIENT_SECURE_FILE=str(named)).credentials, Password(ALICE, "named"))

    def test_regions(self) -> None:
        """The first region of an entry counts, or the one of OS_REGION_NAME; each may have settings of its own."""
        regions = ["R1", {"name": "R2", "values": {"interface": "internal", "auth": {"project-name": "blue"}}}]
        self.write(self.work / "clouds.yaml", mine=entry(regions=regions))
        self.assertEqual((self.cloud().region, self.cloud().interface), ("R1", "public"))
        login = self.cloud(OS_REGION_NAME="R2")
        self.assertEqual((login.region, login.interface, login.scope.project_name), ("R2", "internal", "blue"))
        problem = self.assertRaises(LoginUnusable, self.cloud, OS_REGION_NAME="R3")
        self.assertIn("it has no region 'R3'; there are R1, R2", str(problem))

    def test_tls(self) -> None:
        """An entry names the files of TLS, from the home folder too, and may switch the check off."""
        self.write(self.work / "clouds.yaml", mine=entry(cacert="/ca", cert="/c", key="/k", verify=False))
        self.assertEqual(self.cloud().tls, Tls("/ca", "/c", "/k", insecure=True))

    def test_wrong(self) -> None:
        """Every entry or file that cannot be used is told in one line without secrets."""
        self.assertIn("there is no clouds.yaml in this folder, ", str(self.assertRaises(LoginUnusable, self.cloud)))
        path = self.work / "clouds.yaml"
        for value, told in (
            (entry(profile="vexxhost"), "profiles of vendors are not known"),
            (entry(cloud="vexxhost"), "profiles of vendors are not known"),
            ("text", "it must be a table"),
            ({"auth": "text"}, "auth must be a table"),
            (entry(interface=["internal", "public"]), "interface must be one name"),
            (entry(auth_type="v3kerberos"), "auth_type must be one of"),
        ):
            self.write(path, mine=value)
            self.assertIn(told, str(self.assertRaises(LoginUnusable, self.cloud)))
        self.write(path, a=entry(), b=entry())
        self.assertIn("cloud 'mine': no such cloud; there are a, b.", str(self.assertRaises(LoginUnusable, self.cloud)))
        for text, told in (
            (f"clouds:\n  mine: {{password: *{SECRET}\n", "is not YAML, in line 2"),
            (f"clouds: !!python/object:{SECRET} x", "is not YAML, in line 1"),
            (f"clouds:\n\t{SECRET}: {SECRET}", "is not YAML, in line 2"),
            ("\0", "is not YAML"),
            ("[" * 100_000, "is not YAML"),
            ("- clouds", "is not a table"),
            (" " * 2_000_000, "more than 1048576 bytes"),
        ):
            path.write_text(text)
            problem = self.assertRaises(LocalFileError, self.cloud)
            self.assertIn(told, str(problem))
            self.assertNotIn(SECRET, str(problem))
        path.write_bytes(b"\xff\xfe\xff")
        self.assertRaises(LocalFileError, self.cloud)
        path.write_text("clouds: [a]")
        self.assertIn("clouds must be a table", str(self.assertRaises(LoginUnusable, self.cloud)))


NAMES = st.sampled_from(["a", "b", "7"])
OUTER = st.dictionaries(
    st.sampled_from(
        [
            *("region_name", "cacert", "project_name", "project_id", "tenant_name", "domain_id"),
            *("user_domain_id", "user_domain_name", "project_domain_id"),
        ]
    ),
    NAMES,
)
INNER = st.dictionaries(
    st.sampled_from(["project_name", "tenant_name", "user_domain_name", "project_domain_name", "domain_name"]), NAMES
)
CHOSEN = st.fixed_dictionaries(
    {},
    optional={
        "interface": st.sampled_from(["public", "internal"]),
        "image_endpoint_override": st.sampled_from(["http://a", "http://b"]),
    },
)
USERS = st.fixed_dictionaries({"auth_url": st.just(KEYSTONE)}, optional={"username": NAMES, "password": NAMES})
ENTRIES = st.builds(
    lambda outer, chosen, inner, user: {**outer, **chosen, "auth": {**inner, **user}}, OUTER, CHOSEN, INNER, USERS
)


def _with_dashes(entry: dict[str, Any]) -> dict[str, Any]:
    """The same entry, with dashes in the names of its settings but for those that openstacksdk writes as they are."""
    kept = ("auth_url", "image_endpoint_override", "region_name")
    return {
        key if key in kept else key.replace("_", "-"): _with_dashes(value) if key == "auth" else value
        for key, value in entry.items()
    }


class SdkTests(CloudTestCase):
    """openstacksdk, which is installed for the tests, takes the same files to mean the same."""

    def theirs(self) -> dict[str, Any]:
        """What openstacksdk makes of the entry `mine`."""
        folders = (self.work, self.home / ".config" / "openstack", self.site)
        files = {
            stem: [str(folder / f"{stem}{suffix}") for folder in folders for suffix in (".yaml", ".yml", ".json")]
            for stem in ("clouds", "secure")
        }
        config = loader.OpenStackConfig(
            config_files=files["clouds"], secure_files=files["secure"], vendor_files=[], load_envvars=False
        )
        return dict(config.get_one("mine", validate=False).config)

    def check(self) -> None:
        """Compare what both make of the files that are there."""
        theirs = self.theirs()
        auth = theirs["auth"]
        try:
            login = self.cloud()
        except LoginUnusable:
            self.assertFalse(auth.keys() >= {"username", "password"})
            return
        assert isinstance(login.credentials, Password)
        domain = login.credentials.user.domain
        self.assertEqual(login.credentials.user.name, auth.get("username"))
        self.assertEqual(login.credentials.password, auth.get("password"))
        self.assertEqual(
            (login.region or "", login.endpoint), (theirs["region_name"], theirs.get("image_endpoint_override"))
        )
        self.assertEqual(login.tls.ca_file, theirs.get("cacert"))
        scope = login.scope
        self.assertEqual((scope.project_id, scope.project_name), (auth.get("project_id"), auth.get("project_name")))
        if scope.project_id or scope.project_name:
            # keystoneauth sends the id if there are both.
            wanted = auth.get("user_domain_id"), auth.get("project_domain_id")
            names = auth.get("user_domain_name"), auth.get("project_domain_name")
            home = scope.project_domain
            for ours, by_id, by_name in zip((domain, home), wanted, names, strict=True):
                self.assertEqual((ours.id, ours.name), (by_id, None if by_id else by_name))

    @settings(deadline=None, max_examples=60)
    @given(
        entries=st.lists(st.tuples(st.sampled_from(["work", "home", "site"]), ENTRIES), min_size=1, max_size=3),
        secrets=st.lists(st.tuples(st.sampled_from(["work", "home", "site"]), ENTRIES), max_size=2),
        suffixes=st.lists(st.sampled_from([".yaml", ".yml", ".json"]), min_size=5, max_size=5),
        dash=st.booleans(),
    )
    def test_same(self, entries: list[Any], secrets: list[Any], suffixes: list[str], dash: bool) -> None:
        """Files in several folders give the same user, scope, endpoint and files as openstacksdk finds.

        Names are written with underscores or with dashes. An entry that has one name in both ways has no sense.
        """
        folders = {"work": self.work, "home": self.home / ".config" / "openstack", "site": self.site}
        for folder in folders.values():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        os.chdir(self.work)
        for stem, several in (("clouds", entries), ("secure", secrets)):
            for (place, value), suffix in zip(several, suffixes, strict=False):
                self.write(folders[place] / f"{stem}{suffix}", mine=_with_dashes(value) if dash else value)
        with patch.dict(os.environ, clear=True):
            self.check()
