"""The delivery of events to subscribers."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from imgsvc.context import current_request, working_for
from imgsvc.event_model import Event, StoreDown, StoreEvent, StoreUp
from imgsvc.events import DELIVERED_AT_ONCE, Events
from imgsvc.interfaces import IEvents
from imgsvc.model import Caller, RequestContext


class EventsTests(SynchronousTestCase):
    """Events with a test's clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.events = Events(self.clock)
        verifyObject(IEvents, self.events)
        self.seen: list[Event] = []

    def test_later(self) -> None:
        """The publisher goes on before any subscriber is called."""
        self.events.subscribe(StoreUp, self.seen.append)
        self.events.publish(StoreUp("a"))
        self.assertEqual(self.seen, [])
        self.clock.advance(0)
        self.assertEqual(self.seen, [StoreUp("a")])

    def test_kinds(self) -> None:
        """A subscriber gets events of its class and of subclasses, in order, and no others."""
        self.events.subscribe(StoreEvent, self.seen.append)
        ups: list[Event] = []
        self.events.subscribe(StoreUp, ups.append)
        published = [StoreUp("a"), StoreDown("b", "is away"), StoreUp("c")]
        for event in (*published, Event()):
            self.events.publish(event)
        self.clock.advance(0)
        self.assertEqual(self.seen, published)
        self.assertEqual(ups, [StoreUp("a"), StoreUp("c")])

    def test_failure(self) -> None:
        """An error of a subscriber is logged. The others get the event, and it gets the next one."""

        def fail(event: StoreUp) -> None:
            self.seen.append(event)
            raise ValueError("of a subscriber")

        others: list[Event] = []
        self.events.subscribe(StoreUp, fail)
        self.events.subscribe(StoreUp, others.append)
        self.events.publish(StoreUp("a"))
        self.events.publish(StoreUp("b"))
        self.clock.advance(0)
        self.assertEqual(self.seen, [StoreUp("a"), StoreUp("b")])
        self.assertEqual(others, self.seen)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    def test_request(self) -> None:
        """A subscriber is called with the request of the publisher, and the next one with its own."""
        seen: list[RequestContext | None] = []
        self.events.subscribe(StoreUp, lambda event: seen.append(current_request()))
        request = RequestContext("req-1", Caller("ann"))
        with working_for(request):
            self.events.publish(StoreUp("a"))
        self.events.publish(StoreUp("b"))
        self.clock.advance(0)
        self.assertEqual(seen, [request, None])

    def test_unsubscribed(self) -> None:
        """After the end of a subscription no later event is delivered. Ending it twice has no effect."""
        end = self.events.subscribe(StoreUp, self.seen.append)
        end()
        end()
        self.events.publish(StoreUp("a"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_many(self) -> None:
        """Many events take several turns, so that requests are handled between."""
        self.events.subscribe(StoreUp, self.seen.append)
        for number in range(2 * DELIVERED_AT_ONCE + 1):
            self.events.publish(StoreUp(str(number)))
        delivered = []
        while self.clock.getDelayedCalls():
            [turn] = self.clock.getDelayedCalls()
            deliver = turn.func
            turn.cancel()
            deliver()  # a reactor makes the calls that are due, but not those that they schedule
            delivered.append(len(self.seen))
        self.assertEqual(delivered, [DELIVERED_AT_ONCE, 2 * DELIVERED_AT_ONCE, 2 * DELIVERED_AT_ONCE + 1])

    def test_publish_within(self) -> None:
        """A subscriber may publish, and is not called within itself."""

        def answer(event: StoreUp) -> None:
            self.seen.append(event)
            if event.store_id == "a":
                self.events.publish(StoreUp("b"))
                self.assertEqual(len(self.seen), 1)

        self.events.subscribe(StoreUp, answer)
        self.events.publish(StoreUp("a"))
        self.clock.advance(0)
        self.clock.advance(0)
        self.assertEqual(self.seen, [StoreUp("a"), StoreUp("b")])

    def test_stop(self) -> None:
        """`stop` delivers waiting events at once, and leaves no timer."""
        self.events.subscribe(StoreUp, self.seen.append)
        for number in range(DELIVERED_AT_ONCE + 1):
            self.events.publish(StoreUp(str(number)))
        self.events.stop()
        self.assertEqual(len(self.seen), DELIVERED_AT_ONCE + 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
