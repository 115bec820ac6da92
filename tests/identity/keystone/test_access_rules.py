"""Tests of imgsvc.identity.keystone.access_rules."""

from __future__ import annotations

import re
import time

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.identity.keystone.access_rules import LONGEST_PATH, MOST_RULES, AccessRule, allows


def as_expression(pattern: str) -> str:
    """The pattern as a regular expression."""
    parts = re.findall(r"\{[^}]*\}|\*\*+|\*|.", pattern, re.DOTALL)

    def expression(part: str) -> str:
        if part.startswith("**"):
            return ".*"
        return "[^/]+" if part == "*" or (part[0] == "{" and len(part) > 1) else re.escape(part)

    return "".join(map(expression, parts))


class AccessRuleTests(SynchronousTestCase):
    """Rules are for a service, a method and paths."""

    def matches(self, pattern: str, path: str) -> bool:
        return AccessRule("image", "GET", pattern).matches(path)

    def test_patterns(self) -> None:
        """`*` and names in braces stand for a part of a path, `**` for anything."""
        for pattern, path in (
            ("/v2/images", "/v2/images"),
            ("/v2/images/*", "/v2/images/1"),
            ("/v2/images/{image_id}/file", "/v2/images/1/file"),
            ("/v2/**", "/v2/"),
            ("/v2/**", "/v2/images/1/file"),
            ("**", ""),
            ("/**/file", "/v2/images/1/file"),
            ("/v2/i*s", "/v2/images"),
            ("/v2/***", "/v2/a/b"),
        ):
            self.assertTrue(self.matches(pattern, path), (pattern, path))
        for pattern, path in (
            ("/v2/images", "/v2/images/"),
            ("/v2/images/*", "/v2/images/"),
            ("/v2/images/*", "/v2/images/1/file"),
            ("/v2/images/{image_id}", "/v2/images"),
            ("/v2.images", "/v2/images"),
            ("/v2/images/*", "/v2/images/1\n/file"),
            ("", "/"),
            ("/**/file", "/v2/images/1/files"),
        ):
            self.assertFalse(self.matches(pattern, path), (pattern, path))

    @given(
        st.text("a/*", max_size=12) | st.lists(st.sampled_from(["a", "/", "*", "**", "{x}", "{"])).map("".join),
        st.text("a/", max_size=12),
    )
    @example("a{", "a{")
    @example("***a", "/a")
    def test_expressions(self, pattern: str, path: str) -> None:
        """A pattern matches what its regular expression does."""
        self.assertEqual(self.matches(pattern, path), bool(re.fullmatch(as_expression(pattern), path, re.DOTALL)))

    def test_service_and_method(self) -> None:
        """A rule for another service or method allows nothing."""
        self.assertTrue(allows([AccessRule("image", "GET", "**")], "GET", "/v2/images"))
        self.assertFalse(allows([AccessRule("image", "GET", "**")], "PUT", "/v2/images"))
        self.assertFalse(allows([AccessRule("compute", "GET", "**")], "GET", "/v2/images"))
        self.assertFalse(allows([], "GET", "/v2/images"))

    def test_bounds(self) -> None:
        """Paths that are too long, and rules that are too many, are not compared."""
        rule, other = AccessRule("image", "GET", "**"), AccessRule("image", "GET", "/x")
        self.assertTrue(allows([rule], "GET", "/" * LONGEST_PATH))
        self.assertFalse(allows([rule], "GET", "/" * (LONGEST_PATH + 1)))
        self.assertTrue(allows([other] * (MOST_RULES - 1) + [rule], "GET", "/y"))
        self.assertFalse(allows([other] * MOST_RULES + [rule], "GET", "/y"))

    def test_work(self) -> None:
        """The number of wildcards does not matter: a comparison takes one step for each character."""
        rule = AccessRule("image", "GET", "**a*" * 64 + "b")
        begin = time.process_time()
        self.assertFalse(rule.matches("a" * LONGEST_PATH))
        self.assertLess(time.process_time() - begin, 5.0)  # going back and forth would take years
