"""Which servers a client may make this server connect to."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imgsvc.errors import ConfigurationError, Invalid, UrlRefused
from imgsvc.remote.addresses import may_connect
from imgsvc.remote.guard import LONGEST_URL, Guard, GuardRules

ANY_PORT: tuple[int, ...] = ()


def guard(**rules: object) -> Guard:
    """A guard with these rules."""
    return Guard(GuardRules(**rules), "stores.web")  # type: ignore[arg-type]


class AddressTests(SynchronousTestCase):
    """may_connect"""

    def test_public(self) -> None:
        """Hosts of the Internet are allowed."""
        for text in ("1.1.1.1", "9.9.9.9", "93.184.215.14", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00::1"):
            self.assertTrue(may_connect(ip_address(text), False), text)

    def test_private(self) -> None:
        """Private and loopback addresses are refused, unless they are allowed by a rule."""
        for text in (
            *("10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
            *("127.0.0.1", "127.255.255.254", "100.64.0.1", "::1", "fc00::1", "fd12:3456::1"),
        ):
            self.assertFalse(may_connect(ip_address(text), False), text)
            self.assertTrue(may_connect(ip_address(text), True), text)

    def test_never(self) -> None:
        """Metadata, link-local, multicast, unspecified and reserved addresses are always refused, also IPv4
        within IPv6.
        """
        for text in (
            *("169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254"),
            *("fd00:ec2::23", "fd20:ce::254", "169.254.170.23"),
            *("0.0.0.0", "0.1.2.3", "169.254.1.1", "192.0.2.1", "198.18.0.1", "203.0.113.9", "224.0.0.1", "240.0.0.1"),
            *("255.255.255.255", "::", "fe80::1", "fec0::1", "ff02::1", "2001:db8::1", "2001::1", "100::1"),
            *("::ffff:127.0.0.1", "::ffff:1.1.1.1", "::7f00:1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe"),
            *("64:ff9b:1::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "3fff::1", "5f00::1"),
        ):
            for allow_private in (False, True):
                self.assertFalse(may_connect(ip_address(text), allow_private), text)

    @given(st.ip_addresses())
    @settings(max_examples=300, deadline=None, derandomize=True)
    def test_as_the_library_has_it(self, address: IPv4Address | IPv6Address) -> None:
        """Addresses that Python's own table calls private, reserved or multicast are refused."""
        if may_connect(address, False):
            self.assertTrue(address.is_global)
            self.assertFalse(address.is_multicast or address.is_reserved or address.is_unspecified)


class UrlTests(SynchronousTestCase):
    """Guard.check without rules"""

    def test_taken(self) -> None:
        """A URL is parsed, and normalised."""
        for url, parts in (
            ("http://images.test/disk", ("http", "images.test", 80, "http://images.test/disk")),
            ("HTTPS://Images.Test", ("https", "images.test", 443, "https://images.test/")),
            ("http://images.test:80/a%20b?c=d&e", ("http", "images.test", 80, "http://images.test/a%20b?c=d&e")),
            ("http://images.test:443/", ("http", "images.test", 443, "http://images.test:443/")),
            ("http://images.test:/x", ("http", "images.test", 80, "http://images.test/x")),
            ("http://images.test./x", ("http", "images.test.", 80, "http://images.test./x")),
            ("http://1.1.1.1/x", ("http", "1.1.1.1", 80, "http://1.1.1.1/x")),
            ("http://[2606:4700:0::1111]/x", ("http", "2606:4700::1111", 80, "http://[2606:4700::1111]/x")),
            ("http://xn--bcher-kva.test/", ("http", "xn--bcher-kva.test", 80, "http://xn--bcher-kva.test/")),
            ("http://a0/", ("http", "a0", 80, "http://a0/")),
            ("http://a_b.test?x", ("http", "a_b.test", 80, "http://a_b.test/?x")),
            ("http://images.test/disk?a=b#2", ("http", "images.test", 80, "http://images.test/disk?a=b")),
            ("http://images.test/#@127.0.0.1/#", ("http", "images.test", 80, "http://images.test/")),
        ):
            target = guard().check(url)
            self.assertEqual((target.scheme, target.host, target.port, target.url), parts)
            again = guard().check(target.url)
            self.assertEqual(again, target)

    def test_refused(self) -> None:
        """Invalid URLs, and those that programs read in different ways, are refused."""
        for url in (
            *("", "x", "//images.test/", "/etc/passwd", "http:", "http:/", "http://", "http:///x", "http:images.test"),
            *("file:///etc/passwd", "filesystem:///x", "ftp://images.test/", "gopher://images.test/", "data:,x"),
            *(
                "swift+config://a/b/c",
                "cinder://v",
                "rbd://a/b/c/d",
                "s3://k:s@h/b/o",
                "vsphere://h/x",
                "jar:http://x/",
            ),
            *("http://user@images.test/", "http://user:pw@images.test/", "http://@images.test/", "http://a@b@c.test/"),
            *("http://images.test#@127.0.0.1/", "http://images.test#x", "http://images.test\\@127.0.0.1/"),
            *("http://images.test/ x", "http://images.test/\r\nHost: x", "http://images.test/\x00", "ht\ntp://x.test/"),
            *(
                "http://\u0131mages.test/",
                "http://\u24db.test/",
                "http://\uff11\uff12\uff17.0.0.1/",
                "http://a.test/\xfc",
            ),
            *("http://images.test:0/", "http://images.test:65536/", "http://images.test:x/", "http://images.test:-1/"),
            *("http://images.test:80:80/", "http://images..test/", "http://.images.test/", "http://-a.test/"),
            *("http://images%2etest/", "http://127.0.0.1%00.test/", "http://[fe80::1%eth0]/"),
            *("http://[2606:4700::1%25eth0]/", "http://[2606:4700::1%eth0]/"),
            *("http://[2606:4700::1]x/", "http://x[2606:4700::1]/", "http://[2606:4700::1]80/"),
            *("http://[1.1.1.1]/", "http://[::1", "http://::1/", "http://[v1.x]/", "http://images.test]/"),
            *(f"http://{'a' * 64}.test/", f"http://{'a.' * 127}test/", "http://images.test/" + "x" * LONGEST_URL),
        ):
            with self.assertRaises(UrlRefused, msg=url) as refused:
                guard(allowed_ports=ANY_PORT).check(url)
            self.assertNotIn("pw", str(refused.exception))
            self.assertIsInstance(refused.exception, Invalid)

    def test_odd_addresses(self) -> None:
        """Unusual spellings of IPv4 addresses are refused, whatever address they mean."""
        for host in (
            *("127.1", "127.0.1", "2130706433", "017700000001", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "127.0.0.01"),
            *(
                "1.1",
                "16843009",
                "0x01010101",
                "1.1.1.0x1",
                "1.1.1.1.",
                "0",
                "1.2.3.4.5",
                "256.1.1.1",
                "a.1",
                "a.0x",
                "1.",
            ),
        ):
            with self.assertRaises(UrlRefused, msg=host):
                guard(allow_private=True).check(f"http://{host}/")

    def test_addresses(self) -> None:
        """Addresses that are not allowed are refused at once."""
        for host in ("127.0.0.1", "10.0.0.1", "169.254.169.254", "0.0.0.0", "[::1]", "[::]", "[::ffff:1.1.1.1]"):
            with self.assertRaises(UrlRefused, msg=host):
                guard().check(f"http://{host}/")
        guard(allow_private=True).check("http://127.0.0.1/")
        with self.assertRaises(UrlRefused):
            guard(allow_private=True).check("http://169.254.169.254/")

    @given(st.text(alphabet="htps:/@[]#?%.\\ 0127xabc\n", max_size=30))
    @settings(max_examples=500, deadline=None, derandomize=True)
    def test_any_text(self, text: str) -> None:
        """Any text after http:// is refused, or leads to a public address or to a name."""
        try:
            target = guard(allowed_ports=ANY_PORT).check(f"http://{text}")
        except UrlRefused:
            return
        self.assertNotRegex(target.url, r"[\s\\#]")
        self.assertNotIn("@", target.url.split("/")[2])
        if target.address is not None:
            self.assertTrue(may_connect(target.address, False))
        self.assertEqual(guard(allowed_ports=ANY_PORT).check(target.url), target)


class RuleTests(SynchronousTestCase):
    """The rules of operators."""

    def takes(self, rules: Guard, url: str) -> bool:
        """Whether the guard allows a URL."""
        try:
            rules.check(url)
        except UrlRefused:
            return False
        return True

    def test_ports(self) -> None:
        """Without rules the ports of http and https are allowed. Denied ports win over allowed ones."""
        for rules, ports in (
            ({}, {80, 443}),
            ({"allowed_ports": (8080,)}, {8080}),
            ({"allowed_ports": ()}, {22, 80, 443, 8080}),
            ({"allowed_ports": (), "denied_ports": (22, 80)}, {443, 8080}),
            ({"allowed_ports": (80, 22), "denied_ports": (22,)}, {80}),
        ):
            made = guard(**rules)
            taken = {port for port in (22, 80, 443, 8080) if self.takes(made, f"http://images.test:{port}/")}
            self.assertEqual(taken, ports, rules)

    def test_schemes(self) -> None:
        """One of the two schemes may be denied."""
        rules = guard(allowed_schemes=("https",))
        self.assertEqual(
            [self.takes(rules, url) for url in ("http://images.test/", "https://images.test/")], [False, True]
        )

    def test_names(self) -> None:
        """Names are compared as in DNS. A leading dot means all names below."""
        allowed = guard(allowed_hosts=("Images.Test", ".mirror.test"))
        for host, takes in (
            *(("images.test", True), ("IMAGES.TEST.", True), ("a.mirror.test", True), ("a.b.mirror.test", True)),
            *(("mirror.test", False), ("xmirror.test", False), ("images.test.evil.test", False), ("1.1.1.1", False)),
        ):
            self.assertEqual(self.takes(allowed, f"http://{host}/"), takes, host)
            self.assertEqual(allowed.admits(host.lower(), ip_address("1.1.1.1")), takes, host)
        denied = guard(denied_hosts=("images.test", ".mirror.test"))
        for host, takes in (
            ("images.test", False),
            ("images.test.", False),
            ("a.mirror.test", False),
            ("b.test", True),
        ):
            self.assertEqual(self.takes(denied, f"http://{host}/"), takes, host)
            self.assertEqual(denied.admits(host, ip_address("1.1.1.1")), takes, host)

    def test_networks(self) -> None:
        """Addresses and networks are compared with the addresses of a name."""
        allowed = guard(allowed_hosts=("192.168.7.0/24", "2606:4700::/32"), allow_private=True)
        self.assertTrue(self.takes(allowed, "http://images.test/"))
        for address, admits in (
            ("192.168.7.9", True),
            ("2606:4700::1", True),
            ("192.168.8.9", False),
            ("1.1.1.1", False),
        ):
            self.assertEqual(allowed.admits("images.test", ip_address(address)), admits, address)
        denied = guard(denied_hosts=("1.1.1.0/24",))
        self.assertFalse(self.takes(denied, "http://1.1.1.7/"))
        self.assertFalse(denied.admits("images.test", ip_address("1.1.1.7")))
        self.assertTrue(denied.admits("images.test", ip_address("1.1.2.7")))

    def test_denied_wins(self) -> None:
        """What is both allowed and denied is denied. An allowed name does not allow a private address."""
        both = guard(allowed_hosts=(".images.test", "10.0.0.0/8"), denied_hosts=("bad.images.test",))
        self.assertFalse(self.takes(both, "http://bad.images.test/"))
        self.assertFalse(both.admits("bad.images.test", ip_address("1.1.1.1")))
        self.assertTrue(both.admits("good.images.test", ip_address("1.1.1.1")))
        self.assertFalse(both.admits("good.images.test", ip_address("10.1.1.1")))

    def test_configuration(self) -> None:
        """An invalid host is reported with its key."""
        for host in ("", ".", "a b", "http://x.test", "10.0.0.1/33", "1.2.3", "x:80", "*.test"):
            for key in ("allowed_hosts", "denied_hosts"):
                with self.assertRaisesRegex(ConfigurationError, f"^stores.web.{key} = ", msg=host):
                    guard(**{key: (host,)})
