"""The limits of connections, and which connections are closed for new ones."""

from __future__ import annotations

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress

from imgsvc.peers import THIS_MACHINE, Peers
from imgsvc.web.channel import LINGER_TIME
from imgsvc.web.crowd import FRESH, REFUSALS, CrowdLimits
from tests.support.server import Connection
from tests.web.site_rig import SiteTestCase, answer, head


def peer(host: str) -> IPv4Address | IPv6Address:
    """A client at this address."""
    return (IPv6Address if ":" in host else IPv4Address)("TCP", host, 50_000)


class LimitTests(SiteTestCase):
    """At most three connections."""

    limits = CrowdLimits(3)

    def crowd(self) -> list[Connection]:
        """Open as many connections as are allowed, one after the other."""
        connections = []
        for _ in range(3):
            connections.append(self.connect())
            self.clock.advance(FRESH)
        return connections

    def assert_refused_for_now(self, connection: Connection) -> None:
        """The client is told so, whatever it sends, and the connection ends."""
        connection.send(head("GET /"))
        (refusal,) = connection.answers()
        self.assertEqual((refusal.status, refusal.headers["connection"]), (503, "close"))
        self.assertTrue(refusal.body)
        self.clock.advance(LINGER_TIME)
        self.assertTrue(connection.transport.aborting)
        connection.lose()

    def test_longest_idle(self) -> None:
        """A new connection takes the place of the one that was idle for longest, with an earlier request or without."""
        first, second, third = self.crowd()
        first.send(head("GET /"))
        fourth = self.connect()
        self.assertEqual([False, True, False], [one.closed for one in (first, second, third)])
        second.lose()
        fourth.send(head("GET /"))
        self.assertEqual(fourth.answers()[0].status, 200)
        self.assertEqual(len(self.site.connections), 3)
        self.clock.advance(FRESH)
        self.connect()
        self.assertEqual([False, True], [one.closed for one in (first, third)])

    def test_within_a_head(self) -> None:
        """A connection with only a part of a head is idle."""
        first, *_ = self.crowd()
        first.send(b"GET / HT")
        self.connect()
        self.assertTrue(first.closed)

    def test_none_is_idle(self) -> None:
        """If each connection has a request or sends a body, a new connection is refused with a message, soon."""
        self.route = lambda request: None
        busy = self.crowd()
        for connection in busy:
            connection.send(head("PUT /", "Content-Length: 5"))
        self.assert_refused_for_now(self.connect())
        self.assertEqual(len(self.site.connections), 3)
        answer(self.requests[0], b"")
        busy[0].lose()
        later = self.connect()
        later.send(head("GET /"))
        self.assertEqual(len(self.requests), 4)

    def test_fresh_ones(self) -> None:
        """New connections do not push each other out before their requests have come."""
        fresh = [self.connect() for _ in range(3)]
        self.assert_refused_for_now(self.connect())
        for connection in fresh:
            self.assertFalse(connection.closed)

    def test_many_refusals(self) -> None:
        """Only so many refused connections get a message at a time. The others are cut at once, and all are
        forgotten.
        """
        self.route = lambda request: None
        for connection in self.crowd():
            connection.send(head("GET /"))
        refused = [self.connect() for _ in range(REFUSALS + 10)]
        self.assertEqual(REFUSALS, sum(len(one.answers()) for one in refused))
        self.assertEqual(10, sum(one.transport.aborting for one in refused))
        for connection in refused:
            connection.lose()
        self.assertEqual(len(self.site.connections), 3)
        self.assert_refused_for_now(self.connect())

    def test_secure(self) -> None:
        """Under TLS an idle connection is cut, because an orderly end would wait for the client."""
        first, *_ = self.crowd()
        first.channel.isSecure = lambda: True
        self.connect()
        self.assertTrue(first.transport.aborting)

    def test_stop(self) -> None:
        """A stop ends refused connections too."""
        self.route = lambda request: None
        for connection in self.crowd():
            connection.send(head("GET /"))
        refused = self.connect()
        self.site.cut_connections()
        self.assertTrue(refused.transport.aborting)


class PeerTests(SiteTestCase):
    """At most two connections of one peer."""

    limits = CrowdLimits(100, 2, Peers((*THIS_MACHINE, "10.0.0.1"), "server.proxy_peers"))

    def setUp(self) -> None:
        super().setUp()
        self.route = lambda request: None

    def are_let_in(self, *hosts: str) -> list[bool]:
        """Which connections from these addresses may stay, if each has a running request."""
        let_in = []
        for host in hosts:
            connection = self.connect(peer(host))
            connection.send(head("GET /"))
            let_in.append(not connection.answers())
        return let_in

    def test_one_peer(self) -> None:
        """The third connection of one peer is refused, and those of others are not."""
        self.assertEqual([True, True, False, True], self.are_let_in("1.2.3.4", "1.2.3.4", "1.2.3.4", "1.2.3.5"))

    def test_mapped(self) -> None:
        """An IPv4 address on an IPv6 socket is the same peer."""
        self.assertEqual([True, True, False], self.are_let_in("1.2.3.4", "::ffff:1.2.3.4", "1.2.3.4"))

    def test_network(self) -> None:
        """IPv6 addresses with the same first 64 bits are one peer, because each machine has as many of them as it
        likes.
        """
        self.assertEqual(
            [True, True, False, True], self.are_let_in("2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1")
        )

    def test_exempt(self) -> None:
        """This machine and the proxies may have any number."""
        for host in ("127.0.0.1", "127.8.8.8", "::1", "10.0.0.1"):
            self.assertEqual([True] * 5, self.are_let_in(*[host] * 5))
        for _ in range(5):
            connection = self.connect(UNIXAddress(None))
            connection.send(head("GET /"))
            self.assertEqual(connection.answers(), [])

    def test_idle_one_of_the_peer(self) -> None:
        """An idle connection of the same peer makes room, but not one of another peer."""
        other, first, _ = self.connect(peer("9.9.9.9")), self.connect(peer("1.2.3.4")), self.connect(peer("1.2.3.4"))
        self.clock.advance(FRESH)
        third = self.connect(peer("1.2.3.4"))
        self.assertEqual([False, True, False], [one.closed for one in (other, first, third)])

    def test_ended(self) -> None:
        """A connection that has ended does not count any more."""
        connection = self.connect(peer("1.2.3.4"))
        connection.lose()
        self.assertEqual([True, True, False], self.are_let_in("1.2.3.4", "1.2.3.4", "1.2.3.4"))
