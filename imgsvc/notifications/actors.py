"""Who has caused an event."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from imgsvc.context import current_request
from imgsvc.event_model import Event, TaskEvent


@frozen
class Actor:
    """Who has caused an event: the caller of a request, or the server itself, which has no values.

    client: the address of the peer. roles: sorted. request_id: of the request; empty if there is none.
    """

    user_id: str | None = None
    project_id: str | None = None
    roles: Sequence[str] = ()
    is_admin: bool = False
    client: str = ""
    request_id: str = ""


def actor_of(event: Event) -> Actor:
    """The actor of an event. To be called by its subscriber, for which `Events` sets the request of the publisher."""
    request = current_request()
    if request is not None:
        caller = request.caller
        return Actor(
            caller.user_id,
            caller.project_id,
            sorted(caller.roles),
            caller.is_admin,
            request.peer,
            request.request_id,
        )
    if isinstance(event, TaskEvent):
        task = event.task
        return Actor(task.user_id, task.owner, request_id=task.request_id or "")
    return Actor()
