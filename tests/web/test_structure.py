"""The structure that is found in JSON, compared with a plain model that parses it."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.errors import BodyTooLarge, Invalid
from imgsvc.web.structure import DEEPEST, LONGEST_NUMBER, MOST_VALUES, Structure, check_structure

many = settings(max_examples=500, deadline=None, derandomize=True)

TEXTS = st.text(st.one_of(st.sampled_from('[]{}",:\\/ \n\t0123456789+-.eEu'), st.characters()), max_size=12)
DOCUMENTS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**18), 10**18), st.floats(allow_nan=False), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(TEXTS, inner, max_size=5)),
    max_leaves=20,
)


def model(document: Any) -> Structure:
    """The structure, found by walking through the parsed document."""
    if not isinstance(document, list | dict):
        return Structure(1, 0)
    inner = [model(each) for each in (document.values() if isinstance(document, dict) else document)]
    return Structure(1 + sum(each.values for each in inner), 1 + max((each.depth for each in inner), default=0))


class StructureTests(SynchronousTestCase):
    """check_structure."""

    @many
    @given(DOCUMENTS, st.booleans(), st.sampled_from([None, 1]), st.sampled_from([(",", ":"), (" ,\t", "\n : ")]))
    @example(["\\", '"', '\\"', "[", {"\\\\": "]"}], True, None, (",", ":"))
    def test_any_document(
        self, document: Any, ascii_only: bool, indent: int | None, separators: tuple[str, str]
    ) -> None:
        """The result is that of a parser, however the document is written and whatever its texts contain."""
        text = json.dumps(document, ensure_ascii=ascii_only, indent=indent, separators=separators)
        self.assertEqual(check_structure(text.encode("utf-8", "surrogatepass")), model(document))

    @many
    @given(st.binary(max_size=100) | st.text('{}[]",:\\u0 \n1e-tf', max_size=100).map(str.encode))
    def test_any_bytes(self, data: bytes) -> None:
        """JSON has the structure that was found. Other bytes cause no failure."""
        found = check_structure(data)
        try:
            document = json.loads(data.decode())
        except ValueError:
            return
        kept = model(document)  # fewer than the text has, if a key is repeated
        self.assertGreaterEqual(found.values, kept.values)
        self.assertGreaterEqual(found.depth, kept.depth)

    def test_depth(self) -> None:
        """Documents may be as deep as the limit, and no deeper, also those that never end or have far too many
        values.
        """
        self.assertEqual(check_structure(b"[" * DEEPEST + b"]" * DEEPEST), Structure(DEEPEST, DEEPEST))
        self.assertEqual(check_structure(b"[" * DEEPEST + b"]" * 100_000).depth, DEEPEST)
        for deep in (
            b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1),
            b'{"a":' * (DEEPEST + 1) + b"1" + b"}" * (DEEPEST + 1),
            b"[" * (1 << 20),
            b'{"a":' * (1 << 17),
            b"[[]," * 100_000,
        ):
            self.assertIn("32 levels", str(self.assertRaises(Invalid, check_structure, deep)))

    def test_brackets_in_texts(self) -> None:
        """Characters within a text, between quotes that are escaped or not, do not count."""
        for text in ("[" * 100, '"' + "[" * 100, "\\" + '"' + "[" * 100, "\\" * 99 + "," * MOST_VALUES, "1" * 1000):
            self.assertEqual(check_structure(json.dumps([text, {text: text}]).encode()), Structure(4, 2))
        self.assertRaises(Invalid, check_structure, b'["\\\\",' + b"[" * DEEPEST)
        self.assertRaises(Invalid, check_structure, b'["\\\\\\"", "",' + b"[" * DEEPEST)

    def test_values(self) -> None:
        """A document may have as many values as the limit, and no more, of every kind."""
        for value in (b"1", b"null", b'""', b'"a,b"', b"[]", b"{}", b" [ ] "):
            good = b"[" + b",".join([value] * (MOST_VALUES - 1)) + b"]"
            self.assertEqual(check_structure(good).values, MOST_VALUES)
            bad = b"[" + b",".join([value] * MOST_VALUES) + b"]"
            self.assertRaises(BodyTooLarge, check_structure, bad)
        good = b"{" + b",".join([b'"key":"value"'] * (MOST_VALUES - 1)) + b"}"
        self.assertEqual(check_structure(good).values, MOST_VALUES)
        for bad in (b"{" + b",".join([b'"key":"value"'] * MOST_VALUES) + b"}", b'""' * (4 * MOST_VALUES)):
            self.assertRaises(BodyTooLarge, check_structure, bad)

    def test_numbers(self) -> None:
        """A number may be as long as the largest one of 64 bits, but not as long as a body."""
        for number in ("-2.2250738585072014e-308", "-9223372036854775808", str(-int(1.7976931348623157e308))):
            self.assertEqual(check_structure(f"[{number}]".encode()).values, 2)
        for number in (
            "1" * (LONGEST_NUMBER + 1),
            "-" + "9" * LONGEST_NUMBER,
            "0." + "1" * 1000,
            "1e" + "0" * 1000,
            "1" * (1 << 20),
        ):
            self.assertRaises(Invalid, check_structure, f"[{number}]".encode())

    def test_own_definitions(self) -> None:
        """The definitions that come with imgsvc are far below all limits."""
        for file in files("imgsvc.definitions").iterdir():
            if file.name.endswith(".json"):
                found = check_structure(file.read_bytes())
                self.assertLess((found.values, found.depth), (MOST_VALUES // 10, DEEPEST // 3), file.name)
