"""Tests of the accounts, their changes, tokens and passwords."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imgsvc.errors import Conflict, Invalid, NotFound
from imgsvc.identity.users.accounts import Accounts, User, check_name
from imgsvc.identity.users.editing import (
    add_token,
    add_user,
    parse_projects,
    remove_token,
    remove_user,
    replace_user,
)
from imgsvc.identity.users.passwords import check_new_password, hash_password, is_password
from imgsvc.identity.users.tokens import find_token, make_token
from tests.support.users import PASSWORD, a_user, quick_hash, with_token


class AccountsTests(SynchronousTestCase):
    """The document of the file."""

    def test_round_trip(self) -> None:
        """What was written is read: users, projects in their order, tokens."""
        alice, _ = with_token(a_user("alice", zebra="member", blue="admin"), "blue")
        accounts = Accounts({"alice": alice, "b\u00f6b": a_user("b\u00f6b", red="reader")})
        again = Accounts.from_json(accounts.to_json())
        self.assertEqual(again, accounts)
        self.assertEqual(list(again.users["alice"].projects), ["zebra", "blue"])

    def test_wrong(self) -> None:
        """A document with an error is refused, and the message has no hash of a password."""
        good = json.loads(Accounts({"alice": with_token(a_user("alice", blue="member"), "blue")[0]}).to_json())
        hashed = good["users"]["alice"]["password"]

        def changed(change: Any) -> str:
            document = json.loads(json.dumps(good))
            change(document["users"]["alice"], next(iter(document["users"]["alice"]["tokens"].values())))
            return json.dumps(document)

        for text in (
            "",
            "[]",
            "{}",
            '{"users": []}',
            '{"users": {"a:b": {"password": "' + hashed + '", "projects": {}, "tokens": {}}}}',
            changed(lambda user, _: user.update(password="plain text")),
            changed(lambda user, _: user.update(password=hashed.replace("$04$", "$31$"))),
            changed(lambda user, _: user.update(password=3)),
            changed(lambda user, _: user.update(more=1)),
            changed(lambda user, _: user.pop("tokens")),
            changed(lambda user, _: user.update(projects=["blue"])),
            changed(lambda user, _: user.update(projects={"blue": "member"})),
            changed(lambda user, _: user.update(projects={"blue": [1]})),
            changed(lambda _, token: token.update(sha256="short")),
            changed(lambda _, token: token.update(expires_at="tomorrow")),
            changed(lambda _, token: token.update(expires_at=True)),
            changed(lambda _, token: token.update(note=None)),
        ):
            error = self.assertRaises(ValueError, Accounts.from_json, text)
            self.assertNotIn(hashed[7:], str(error))
            self.assertNotIn("plain text", str(error))

    def test_secrets_hidden(self) -> None:
        """No hash and no token is in a repr."""
        alice, made = with_token(a_user("alice", blue="member"), "blue")
        text = repr((Accounts({"alice": alice}), made))
        for secret in (alice.password, made.text, made.record.digest):
            self.assertNotIn(secret, text)

    def test_names(self) -> None:
        """A name is in Normalization Form C, and has no separators."""
        self.assertEqual(check_name("user", "bo\u0308b"), "b\u00f6b")
        for name in ("", " a", "a ", "a:b", "a=b", "a,b", "a\nb", "x" * 256):
            self.assertRaises(Invalid, check_name, "user", name)


class EditingTests(SynchronousTestCase):
    """Changes by an operator."""

    def test_projects(self) -> None:
        """Roles by project, in lower case; `member` is the default."""
        self.assertEqual(
            parse_projects(["blue", "ops=Admin,reader,admin"]), {"blue": ("member",), "ops": ("admin", "reader")}
        )
        for texts in (["blue", "blue=admin"], [""], ["=member"], ["blue=,"]):
            self.assertRaises(Invalid, parse_projects, texts)

    def test_users(self) -> None:
        """Users are added once, changed and removed."""
        accounts = add_user(Accounts(), "alice", quick_hash(PASSWORD), {"blue": ("member",)})
        self.assertRaises(Conflict, add_user, accounts, "alice", "", {})
        changed = replace_user(accounts, "alice", projects={"red": ("reader",)})
        self.assertEqual(changed.users["alice"].projects, {"red": ("reader",)})
        self.assertEqual(changed.users["alice"].password, accounts.users["alice"].password)
        self.assertEqual(replace_user(accounts, "alice", password="x").users["alice"].password, "x")
        self.assertEqual(remove_user(accounts, "alice"), Accounts())
        self.assertRaises(NotFound, remove_user, accounts, "bob")
        self.assertRaises(NotFound, replace_user, accounts, "bob")

    def test_tokens(self) -> None:
        """A token is for a project of its user. It is found until it expires or is removed."""
        accounts = Accounts({"alice": a_user("alice", blue="member"), "bob": a_user("bob", red="member")})
        made = make_token("blue", 1000, 60)
        self.assertRaises(Invalid, add_token, accounts, "bob", made.record)
        accounts = add_token(accounts, "alice", made.record)
        found = find_token(accounts, made.text, 1059.9)
        assert found is not None
        self.assertEqual((found[0].name, found[1]), ("alice", made.record))
        self.assertIsNone(find_token(accounts, made.text, 1060))
        self.assertNotIn(made.text, accounts.to_json())
        for wrong in (
            made.text[:-1] + ("a" if made.text[-1] != "a" else "b"),
            made.text + "a",
            "",
            "imgsvc_",
            "\u00fc",
        ):
            self.assertIsNone(find_token(accounts, wrong, 1000))
        self.assertIsNone(find_token(accounts, make_token("blue", 1000, 60).text, 1000))
        self.assertEqual(accounts.without_expired(1059).users["alice"].tokens, {made.record.token_id: made.record})
        self.assertEqual(accounts.without_expired(1060).users["alice"].tokens, {})
        removed = remove_token(accounts, made.record.token_id)
        self.assertIsNone(find_token(removed, made.text, 1000))
        self.assertRaises(NotFound, remove_token, removed, made.record.token_id)


class PasswordTests(SynchronousTestCase):
    """bcrypt."""

    def test_compare(self) -> None:
        """A password fits its own hash only, also beyond the bytes that bcrypt looks at."""
        longest = "x" * 72
        self.assertTrue(is_password(longest, quick_hash(longest)))
        self.assertFalse(is_password(longest + "y", quick_hash(longest)))
        for wrong in ("", "x" * 71, "x\0", "\u00fc" * 36, "x" * 100_000):
            self.assertFalse(is_password(wrong, quick_hash(longest)))
        self.assertNotEqual(hash_password(PASSWORD, 4), hash_password(PASSWORD, 4))

    def test_new(self) -> None:
        """A new password must be long enough, and short enough for bcrypt; the message does not have it."""
        self.assertEqual(check_new_password("passwo\u0308rd"), "passw\u00f6rd")
        for wrong in ("sesame7", "sesame" * 13, "\u00fc" * 37, "sesame\tsesame"):
            error = self.assertRaises(Invalid, check_new_password, wrong)
            self.assertNotIn("sesame", str(error))

    def test_user_without_project(self) -> None:
        """A user may have no project; the file can say so."""
        accounts = Accounts({"alice": User("alice", quick_hash(PASSWORD), {})})
        self.assertEqual(Accounts.from_json(accounts.to_json()), accounts)
