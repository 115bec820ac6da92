"""The order in which the copies of an image are tried, and the stores that they are in."""

from __future__ import annotations

from collections.abc import Sequence

from imgsvc.errors import Invalid, StoreAway, UnknownStore
from imgsvc.interfaces import IStore, IStoreRegistry
from imgsvc.model import Location


def by_weight(stores: IStoreRegistry, locations: Sequence[Location]) -> Sequence[Location]:
    """Sort locations by the weight of their stores, highest first (Image API: the store's weight).

    The sort is stable.
    """
    if len(locations) < 2:
        return locations
    weights = {store.store_id: store.info.weight for store in stores.all()}
    return sorted(locations, key=lambda location: -weights.get(location.store_id, 0))


def preferring(store_ids: Sequence[str], locations: Sequence[Location]) -> Sequence[Location]:
    """Move the locations in these stores to the front, in the order of `store_ids`. The order of the others stays."""
    if not store_ids:
        return locations
    ranks = {store_id: rank for rank, store_id in reversed(list(enumerate(store_ids)))}
    return sorted(locations, key=lambda location: ranks.get(location.store_id, len(store_ids)))


def is_remote(url: str) -> bool:
    """Whether a URL is one of a web server. The server never owns bytes there."""
    return url.lower().startswith(("http://", "https://"))


def store_of(stores: IStoreRegistry, location: Location) -> IStore:
    """The store that a location is in, even if it was reserved later.

    Raises StoreAway: the store is not configured any more.
    """
    try:
        store: IStore = stores.find(location.store_id)
    except UnknownStore as error:
        raise StoreAway(location.store_id, "it is not in the configuration any more.") from error
    return store


def locate(stores: IStoreRegistry, url: str, image_id: str) -> Location | None:
    """The Location of a URL that a client gives, in the first store that accepts it; None if no store knows such URLs.

    Raises Invalid: every store that knows such URLs refuses this one. The reason is that of the last store.
    """
    refusal: Invalid | None = None
    for store in stores.all():
        try:
            location: Location | None = store.locate(url, image_id)
        except Invalid as error:
            refusal = error
        else:
            if location is not None:
                return location
    if refusal is not None:
        raise refusal
    return None
