"""The URLs of objects in a folder, as Glance's file store writes them."""

from __future__ import annotations

import os
from typing import Final

from attrs import frozen

from imgsvc.errors import Invalid, ObjectMissing
from imgsvc.model import Location
from imgsvc.stores.folder import is_name

SCHEMES: Final = ("file", "filesystem")


@frozen
class FileLocations:
    """The URLs of the objects of one store. folder: absolute path."""

    store_id: str
    folder: str

    def of(self, name: str) -> Location:
        """Return the location of an object."""
        return Location(self.store_id, f"file://{self.folder}/{name}")

    def locate(self, url: str, image_id: str) -> Location | None:
        """See IStore. A URL in another folder is never a URL of this store."""
        scheme, _, path = url.partition("://")
        if scheme.lower() not in SCHEMES or os.path.dirname(path) != self.folder:
            return None
        if not is_name(image_id) or os.path.basename(path) != image_id:
            raise Invalid(f"The location is not the object of image {image_id} in store {self.store_id}.")
        return self.of(image_id)

    def name(self, location: Location) -> str:
        """Return the name of the object at a location. Raises ObjectMissing if the URL has no valid name.

        The folder of the URL is ignored: objects are found by name after the folder has moved, and no URL leads outside
        it.
        """
        scheme, _, path = location.url.partition("://")
        name = path.rpartition("/")[2]
        if scheme not in SCHEMES or not is_name(name):
            raise ObjectMissing(self.store_id, "the location does not name an object of a folder.")
        return name
