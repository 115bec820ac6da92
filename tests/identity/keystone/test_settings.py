"""Tests of imgsvc.identity.keystone.settings and clouds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imgsvc.config import IdentityKeystone
from imgsvc.errors import ConfigurationError
from imgsvc.identity.keystone.settings import Settings, settings_of, versioned
from tests.support.certificates import write_certificate

ACCOUNT = {"auth_url": "http://keystone.example", "username": "imgsvc", "password": "s3cret"}
CLOUDS = """
clouds:
  ours:
    region_name: here
    interface: internal
    cacert: authorities.pem
    auth:
      auth_url: https://cloud.example/identity
      username: cloudy
      password: cl0udy
      project_name: services
      user_domain_id: abc
      project_domain_name: Services
  credential:
    auth_type: v3applicationcredential
    auth: {auth_url: "https://cloud.example/identity/v3", application_credential_id: id}
  vendor: {profile: vendor}
"""
SECURE = "clouds: {credential: {auth: {application_credential_secret: s3cret}}}"


class SettingsTestCase(SynchronousTestCase):
    """A data folder."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir(parents=True)

    def settings(self, environment: dict[str, str] | None = None, **options: Any) -> Settings:
        """What options say, by default with no variables."""
        return settings_of(IdentityKeystone(**options), self.folder, environment or {})

    def refusal(self, environment: dict[str, str] | None = None, **options: Any) -> str:
        """Why they are refused."""
        text = str(self.assertRaises(ConfigurationError, self.settings, environment, **options))
        self.assertNotIn("s3cret", text)
        return text


class SettingsTests(SettingsTestCase):
    """The options by themselves."""

    def test_url(self) -> None:
        """The version may be in the URL or not."""
        for url in ("http://k.example/x", "http://k.example/x/", "http://k.example/x/v3", "http://k.example/x/v3/"):
            self.assertEqual(versioned(url), "http://k.example/x/v3")

    def test_equal(self) -> None:
        """The same options make equal settings, but not if a file has changed since."""
        write_certificate(self.folder / "ca.pem")
        first = self.settings(**ACCOUNT, ca_file="ca.pem")
        self.assertEqual(first, self.settings(**ACCOUNT, ca_file="ca.pem"))
        write_certificate(self.folder / "ca.pem")
        self.assertNotEqual(first, self.settings(**ACCOUNT, ca_file="ca.pem"))

    def test_wrong(self) -> None:
        """What is missing, or is there twice, is named."""
        for changes, text in (
            ({"auth_url": ""}, "auth_url must be given"),
            ({"username": ""}, "username and password"),
            ({"password": ""}, "username and password"),
            ({"application_credential_id": "id"}, "not both"),
            ({"application_credential_id": "id", "username": ""}, "application_credential_secret must be given"),
            ({"ca_file": "missing.pem"}, "missing.pem"),
            ({"www_authenticate_uri": 'http://a"b'}, "www_authenticate_uri"),
            ({"www_authenticate_uri": "http://a\nb"}, "www_authenticate_uri"),
        ):
            self.assertIn(text, self.refusal(**{**ACCOUNT, **changes}))


class CloudTests(SettingsTestCase):
    """An entry of clouds.yaml."""

    def setUp(self) -> None:
        super().setUp()
        (self.folder / "clouds.yaml").write_text(CLOUDS)
        write_certificate(self.folder / "authorities.pem")

    def test_entry(self) -> None:
        """It has the account, and where Keystone is."""
        settings = self.settings(cloud="ours")
        account = settings.account
        self.assertEqual(account.auth_url, "https://cloud.example/identity/v3")
        self.assertEqual((account.interface, account.region), ("internal", "here"))
        self.assertEqual(settings.ca_file, self.folder / "authorities.pem")
        user = {"name": "cloudy", "domain": {"id": "abc"}, "password": "cl0udy"}
        identity = {"methods": ["password"], "password": {"user": user}}
        project = {"name": "services", "domain": {"name": "Services"}}
        self.assertEqual(account.auth, {"identity": identity, "scope": {"project": project}})

    def test_options(self) -> None:
        """The options go before it."""
        account = self.settings(
            cloud="ours", **ACCOUNT, project_name="mine", user_domain="default", region="there", interface="admin"
        ).account
        self.assertEqual(account.auth_url, "http://keystone.example/v3")
        self.assertEqual((account.interface, account.region), ("admin", "there"))
        user = {"name": "imgsvc", "domain": {"id": "default"}, "password": "s3cret"}
        project = {"name": "mine", "domain": {"name": "Services"}}
        identity = {"methods": ["password"], "password": {"user": user}}
        self.assertEqual(account.auth, {"identity": identity, "scope": {"project": project}})

    def test_secure(self) -> None:
        """Secrets may be in a file of their own."""
        self.assertIn("application_credential_secret", self.refusal(cloud="credential"))
        (self.folder / "secure.yaml").write_text(SECURE)
        credential = {"id": "id", "secret": "s3cret"}
        self.assertEqual(
            self.settings(cloud="credential").account.auth,
            {"identity": {"methods": ["application_credential"], "application_credential": credential}},
        )

    def test_places(self) -> None:
        """A variable names the file; otherwise the data folder comes before the home of the account."""
        home = self.folder / "home"
        (home / ".config/openstack").mkdir(parents=True)
        (home / ".config/openstack/clouds.yaml").write_text(CLOUDS.replace("cloudy", "homely"))
        other = self.folder / "other.yaml"
        other.write_text(CLOUDS.replace("cloudy", "other"))

        def username(**environment: str) -> object:
            auth: Any = self.settings(environment, cloud="ours").account.auth
            return auth["identity"]["password"]["user"]["name"]

        self.assertEqual(username(HOME=str(home)), "cloudy")
        self.assertEqual(username(HOME=str(home), OS_CLIENT_CONFIG_FILE=str(other)), "other")
        (self.folder / "clouds.yaml").unlink()
        self.assertEqual(username(HOME=str(home)), "homely")

    def test_wrong(self) -> None:
        """What is wrong is said, without the words of the file."""
        self.assertIn("no such cloud", self.refusal(cloud="missing"))
        self.assertIn("profile", self.refusal(cloud="vendor"))
        self.assertIn("cannot be read", self.refusal({"OS_CLIENT_CONFIG_FILE": str(self.folder)}, cloud="ours"))
        file = self.folder / "clouds.yaml"
        for text in ("s3cret: [", "[" * 10_000, "clouds: 1", "1", "", "clouds: {ours: 1}", "\0", " " * (2 << 20)):
            file.write_text(text)
            self.refusal(cloud="ours")
        file.write_text("clouds: {ours: {interface: s3cret, auth: {auth_url: 'http://a'}}}".replace("s3cret", "outer"))
        self.assertIn("must be one of", self.refusal(cloud="ours"))
        file.unlink()
        self.assertIn("there is no clouds.yaml", self.refusal({"HOME": "/nowhere"}, cloud="ours"))
