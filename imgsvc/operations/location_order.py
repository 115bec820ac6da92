"""Which of an image's copies comes first."""

from __future__ import annotations

from collections.abc import Sequence

from imgsvc.errors import Invalid, StoreAway, UnknownStore
from imgsvc.interfaces import IStore, IStoreRegistry
from imgsvc.model import Location


def by_weight(stores: IStoreRegistry, locations: Sequence[Location]) -> Sequence[Location]:
    """Those in the heavier stores first (Image API: the store's weight); among equals the order stays."""
    if len(locations) < 2:
        return locations
    weights = {store.store_id: store.info.weight for store in stores.all()}
    return sorted(locations, key=lambda location: -weights.get(location.store_id, 0))


def preferring(store_ids: Sequence[str], locations: Sequence[Location]) -> Sequence[Location]:
    """Those in these stores first, in the order in which they are named; the order of the rest stays."""
    if not store_ids:
        return locations
    ranks = {store_id: rank for rank, store_id in reversed(list(enumerate(store_ids)))}
    return sorted(locations, key=lambda location: ranks.get(location.store_id, len(store_ids)))


def is_remote(url: str) -> bool:
    """Whether a URL is one of a web server, whose bytes are never ours."""
    return url.lower().startswith(("http://", "https://"))


def store_of(stores: IStoreRegistry, location: Location) -> IStore:
    """The store that a location is in. Raises StoreAway for one that is not configured any more."""
    try:
        store: IStore = stores.get(location.store_id)
    except UnknownStore as error:
        raise StoreAway(location.store_id, "it is not in the configuration any more.") from error
    return store


def locate(stores: IStoreRegistry, url: str, image_id: str) -> Location | None:
    """The Location that a URL of a client means, in the first store that takes it; None if it is no store's.

    Raises Invalid if each store whose URL it could be refuses it: the reason of the last one.
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
