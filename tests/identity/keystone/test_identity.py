"""Tests of imgsvc.identity.keystone.identity, against a server that speaks as much of Keystone's API."""

from __future__ import annotations

from twisted.web.http_headers import Headers
from zope.interface.verify import verifyObject

from imgsvc.errors import Unauthenticated
from imgsvc.interfaces import IIdentity, RequestHead
from imgsvc.model import Caller
from tests.identity.keystone.rigs import NEVER, PEER, START, KeystoneTestCase
from tests.support.keystone import FakeToken

PERSON = frozenset({"member", "reader"})


class CallerTests(KeystoneTestCase):
    """The caller is who the token was given to."""

    def test_interface(self) -> None:
        """It provides IIdentity, and tells clients where Keystone is."""
        verifyObject(IIdentity, self.parts.identity)
        self.assertEqual(self.parts.identity.challenge, f'Keystone uri="{self.keystone.auth_url}"')
        public = self.make(www_authenticate_uri="https://keystone.example/v3").identity
        self.assertEqual(public.challenge, 'Keystone uri="https://keystone.example/v3"')

    async def test_caller(self) -> None:
        """User, project and roles are those of the token. Roles are compared in lower case."""
        self.keystone.tokens["good"].roles = ("Member", "READER")
        caller = await self.identify()
        self.assertEqual(caller, Caller("user", "project", PERSON, token="good"))
        self.assertNotIn("good", repr(caller))

    async def test_request(self) -> None:
        """The request to Keystone says that access rules are heeded, and asks for no catalogue."""
        await self.identify()
        [asked] = self.keystone.checks
        self.assertEqual(asked.target, "/v3/auth/tokens?nocatalog")
        expected = {"x-subject-token": "good", "x-auth-token": "own-token-1", "openstack-identity-access-rules": "1"}
        self.assertEqual({name: asked.headers.get(name) for name in expected}, expected)

    async def test_kept(self) -> None:
        """The answer is used again, and then the caller comes at once."""
        first = await self.identify()
        head = RequestHead("GET", "/v2/images", Headers({"X-Auth-Token": ["good"]}), PEER)
        self.assertEqual(self.parts.identity.identify(head), first)
        self.assertEqual(len(self.keystone.checks), 1)

    async def test_cache_time(self) -> None:
        """A revoked token works until its answer is not kept any more."""
        await self.identify()
        del self.keystone.tokens["good"]
        self.clock.advance(299.0)
        await self.identify()
        self.clock.advance(1.0)
        await self.refusal()

    async def test_not_kept(self) -> None:
        """With a cache time of 0 every request is checked."""
        self.parts = self.make(cache_time=0.0)
        await self.identify()
        await self.identify()
        self.assertEqual(len(self.keystone.checks), 2)

    async def test_refused(self) -> None:
        """A token that is not valid is refused. Keystone is asked about it again after some seconds."""
        for _ in range(3):
            self.assertIn("not valid", await self.refusal("bad"))
        self.assertEqual(len(self.keystone.checks), 1)
        self.keystone.tokens["bad"] = FakeToken(NEVER)
        self.clock.advance(5.0)
        await self.identify("bad")

    async def test_no_token(self) -> None:
        """Without something that could be a token, Keystone is not asked."""
        self.assertIn("no token", await self.refusal(None))
        self.assertIn("no token", await self.refusal("  "))
        for text in ("two words", "t\u00f6ken", "x" * 4097, "a\x7f"):
            self.assertIn("X-Auth-Token", await self.refusal(text))
        twice = RequestHead("GET", "/v2/images", Headers({"X-Auth-Token": ["good", "good"]}), PEER)
        self.assertRaises(Unauthenticated, self.parts.identity.identify, twice)
        self.assertIn("X-Service-Token", await self.refusal("good", "two words"))
        self.assertEqual(self.keystone.asked, [])

    async def test_storage_token(self) -> None:
        """The old name of the header counts if the newer one is absent. Blanks around the token do not."""
        head = RequestHead("GET", "/v2/images", Headers({"X-Storage-Token": [" good "]}), PEER)
        found = self.parts.identity.identify(head)
        assert not isinstance(found, Caller)
        self.assertEqual((await found).token, "good")

    async def test_identity_headers(self) -> None:
        """The headers by which a proxy names a caller mean nothing."""
        forged = {"X-Identity-Status": ["Confirmed"], "X-Roles": ["admin"], "X-Project-Id": ["other"]}
        head = RequestHead("GET", "/v2/images", Headers({**forged, "X-Auth-Token": ["good"]}), PEER)
        found = self.parts.identity.identify(head)
        assert not isinstance(found, Caller)
        self.assertEqual(await found, Caller("user", "project", PERSON, token="good"))
        self.assertRaises(Unauthenticated, self.parts.identity.identify, RequestHead("GET", "/", Headers(forged), PEER))


class ExpiryTests(KeystoneTestCase):
    """A token counts to its last second."""

    async def test_to_the_second(self) -> None:
        """It is good until the moment at which it expires, and not longer. Keystone need not be asked for that."""
        self.keystone.tokens["short"] = FakeToken(START + 100.0)
        self.clock.advance(99.5)
        await self.identify("short")
        self.clock.advance(0.4)
        await self.identify("short")
        self.clock.advance(0.1)
        self.assertIn("expired", await self.refusal("short"))
        self.assertEqual(len(self.keystone.checks), 1)

    async def test_expired(self) -> None:
        """A token that has expired before is refused."""
        self.keystone.tokens["old"] = FakeToken(START - 1.0)
        self.assertIn("expired", await self.refusal("old"))


class ScopeTests(KeystoneTestCase):
    """Tokens are for different things."""

    async def test_unscoped(self) -> None:
        """A token without a scope is refused."""
        self.keystone.tokens["unscoped"] = FakeToken(NEVER, project=None, roles=())
        self.assertIn("no scope", await self.refusal("unscoped"))

    async def test_other_scopes(self) -> None:
        """A token for a domain or the system has no roles here, because all policies have project scope."""
        for scope in ({"domain": {"id": "default", "name": "Default"}}, {"system": {"all": True}}):
            [name] = scope
            self.keystone.tokens[name] = FakeToken(NEVER, project=None, roles=("admin",), more=scope)
            caller = await self.identify(name)
            self.assertEqual(caller, Caller("user", None, frozenset(), token=name))
            self.assertFalse(caller.is_admin)

    async def test_trust(self) -> None:
        """A token of a trust counts as what it says: the user who is trusted, in the project of who trusts."""
        more = {"OS-TRUST:trust": {"id": "t", "trustor_user": {"id": "other"}, "trustee_user": {"id": "user"}}}
        self.keystone.tokens["trust"] = FakeToken(NEVER, more=more)
        self.assertEqual((await self.identify("trust")).project_id, "project")

    async def test_bound(self) -> None:
        """A token that only the owner of a certificate may use is refused: the certificate is not checked."""
        self.keystone.tokens["bound"] = FakeToken(NEVER, more={"oauth2_credential": {"x5t#S256": "abc"}})
        self.assertIn("client certificate", await self.refusal("bound"))


class ServiceTokenTests(KeystoneTestCase):
    """A service passes the request of a user on."""

    def setUp(self) -> None:
        super().setUp()
        self.keystone.tokens["nova"] = FakeToken(NEVER, "nova", "service", ("Service", "admin"))
        self.keystone.tokens["old"] = FakeToken(START - 1.0)

    async def test_roles(self) -> None:
        """The roles of the service are known, beside those of the user."""
        caller = await self.identify("good", "nova")
        self.assertEqual(caller, Caller("user", "project", PERSON, frozenset({"service", "admin"}), "good"))
        self.assertFalse(caller.is_admin)

    async def test_expired(self) -> None:
        """The token of the user may have expired then, as long as Keystone says that it was one."""
        self.assertEqual((await self.identify("old", "nova")).user_id, "user")
        self.assertIn("allow_expired=1", self.keystone.checks[-1].target)
        self.assertIn("expired", await self.refusal("old"))
        self.keystone.tokens["old"].expires_at -= 1_000_000.0
        self.clock.advance(300.0)
        self.assertIn("not valid", await self.refusal("old", "nova"))

    async def test_expires_while_kept(self) -> None:
        """An answer that is kept is good for services after the token has expired, and for nobody else."""
        self.keystone.tokens["short"] = FakeToken(START + 10.0)
        await self.identify("short")
        await self.identify("short", "nova")
        self.clock.advance(10.0)
        await self.identify("short", "nova")
        await self.refusal("short")

    async def test_no_service(self) -> None:
        """A service token without a role of services is refused, and so is one that is not valid."""
        self.keystone.tokens["other"] = FakeToken(NEVER, "other", "project", ("admin",))
        self.assertIn("none of the roles of services: service", await self.refusal("good", "other"))
        self.assertIn("X-Service-Token", await self.refusal("good", "bad"))
        self.assertIn("X-Service-Token", await self.refusal("good", "old"))

    async def test_not_required(self) -> None:
        """If the role is not required, such a token is let in, but cannot bring expired tokens."""
        self.parts = self.make(service_token_roles_required=False)
        self.keystone.tokens["other"] = FakeToken(NEVER, "other", "project", ("admin",))
        self.assertEqual((await self.identify("good", "other")).service_roles, frozenset({"admin"}))
        self.assertIn("expired", await self.refusal("old", "other"))

    async def test_other_roles(self) -> None:
        """The operator says which roles services have."""
        self.parts = self.make(service_token_roles=("Helper",))
        self.assertIn("helper", await self.refusal("good", "nova"))
        self.keystone.tokens["nova"].roles = ("helper",)
        self.clock.advance(300.0)
        await self.identify("old", "nova")


class AccessRuleTests(KeystoneTestCase):
    """Application credentials may be for some requests only."""

    def credential(self, rules: object) -> str:
        """A token of a credential with these rules."""
        name = f"credential-{len(self.keystone.tokens)}"
        credential = {"id": "c", "name": "c", "restricted": True, "access_rules": rules}
        self.keystone.tokens[name] = FakeToken(NEVER, more={"application_credential": credential})
        return name

    async def test_rules(self) -> None:
        """What no rule allows is refused."""
        rule = {"id": "r", "service": "image", "method": "GET", "path": "/v2/images/*"}
        token = self.credential([{**rule, "service": "compute", "path": "**"}, rule])
        await self.identify(token, path="/v2/images/1")
        for method, path in (("DELETE", "/v2/images/1"), ("GET", "/v2/images"), ("GET", "/v2/images/1/file")):
            self.assertIn("access rules", await self.refusal(token, method=method, path=path))
        self.assertEqual(len(self.keystone.checks), 1)

    async def test_none(self) -> None:
        """A credential without rules may be used for everything, one with an empty list for nothing."""
        await self.identify(self.credential(None), method="DELETE")
        self.assertIn("access rules", await self.refusal(self.credential([])))

    async def test_services(self) -> None:
        """The rules are about what the user calls. What services call for the user is not refused."""
        self.keystone.tokens["nova"] = FakeToken(NEVER, "nova", "service", ("service",))
        await self.identify(self.credential([]), "nova")
