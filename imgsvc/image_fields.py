"""The fields of an image that the Image API defines (v2, "Show image schema"), in one table for all packages.

Any other key of an image is a custom property.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

from attrs import frozen

from imgsvc.model import Status, Visibility

__all__ = ["FIELDS", "SORT_KEYS", "FieldType", "FilterForm", "ImageField", "Setting", "Source", "names_of"]


class FieldType(Enum):
    """The type of a field."""

    ID = "a UUID"
    TEXT = "text"
    CHOICE = "one of the values of an enumeration"
    FORMAT = "one of the formats that the configuration lists"
    FLAG = "true or false"
    AMOUNT = "an integer of at least 0 that clients set; it has 31 bits"
    SIZE = "a number of bytes"
    TIME = "a time, in UTC"
    TAGS = "an array of texts"
    LOCATIONS = "an array of locations"


class Source(Enum):
    """Where the value comes from."""

    COLUMN = "an attribute of Image, a column of the table of images"
    ROWS = "an attribute of Image, rows of a table of its own"
    ANSWER = "computed for each response"


class Setting(Enum):
    """Who may set a field, and when."""

    SERVER = "the server only"
    CREATION = "a client, when it makes the image"
    CLIENT = "a client, at any time"
    LOCATIONS = "a client, by changes of single locations"


class FilterForm(Enum):
    """The form of the filters of lists by a field (Image API v2, "List images")."""

    CHOICE = "`VALUE`, `eq:VALUE`, or `in:A,B`"
    TEXT = "`VALUE`"
    FLAG = "`true` or `false`"
    NUMBER = "`VALUE`; also `NAME_min` and `NAME_max`"
    TIME = "`OPERATOR:TIME`"


@frozen
class ImageField:
    """One field.

    name: its key in JSON, and the name of the attribute of Image if `source` says that it is one. description: for
    schemas.
    nullable: whether it may be null. max_length: characters of a text, or of each tag; None: no limit.
    values: the values of a CHOICE. always_shown: whether every image has the key. filter: None: lists have no filter of
    these forms for it.
    """

    name: str
    type: FieldType
    description: str
    source: Source = Source.COLUMN
    setting: Setting = Setting.SERVER
    nullable: bool = False
    max_length: int | None = None
    values: tuple[str, ...] = ()
    always_shown: bool = True
    sortable: bool = False
    filter: FilterForm | None = None

    @property
    def is_attribute(self) -> bool:
        """Whether Image has an attribute of this name."""
        return self.source is not Source.ANSWER


_TABLE: Final = (
    ImageField(
        "id",
        FieldType.ID,
        "Identifier of the image, a UUID",
        setting=Setting.CREATION,
        sortable=True,
        filter=FilterForm.CHOICE,
    ),
    ImageField(
        "name",
        FieldType.TEXT,
        "Name for people; need not be unique",
        setting=Setting.CLIENT,
        nullable=True,
        max_length=255,
        sortable=True,
        filter=FilterForm.CHOICE,
    ),
    ImageField(
        "status",
        FieldType.CHOICE,
        "State of the image",
        values=tuple(status.value for status in Status),
        sortable=True,
        filter=FilterForm.CHOICE,
    ),
    ImageField(
        "visibility",
        FieldType.CHOICE,
        "Who can see the image besides its owner",
        setting=Setting.CLIENT,
        values=tuple(visibility.value for visibility in Visibility),
    ),
    ImageField(
        "protected",
        FieldType.FLAG,
        "Whether the image cannot be deleted",
        setting=Setting.CLIENT,
        filter=FilterForm.FLAG,
    ),
    ImageField(
        "os_hidden",
        FieldType.FLAG,
        "Whether lists leave the image out unless asked for hidden ones",
        setting=Setting.CLIENT,
        filter=FilterForm.FLAG,
    ),
    ImageField(
        "owner",
        FieldType.TEXT,
        "Project that owns the image",
        setting=Setting.CLIENT,
        nullable=True,
        max_length=255,
        filter=FilterForm.TEXT,
    ),
    ImageField(
        "container_format",
        FieldType.FORMAT,
        "Container around the disk",
        setting=Setting.CLIENT,
        nullable=True,
        max_length=255,
        sortable=True,
        filter=FilterForm.CHOICE,
    ),
    ImageField(
        "disk_format",
        FieldType.FORMAT,
        "Format of the disk",
        setting=Setting.CLIENT,
        nullable=True,
        max_length=255,
        sortable=True,
        filter=FilterForm.CHOICE,
    ),
    ImageField(
        "min_disk",
        FieldType.AMOUNT,
        "Disk needed to boot the image, GiB",
        setting=Setting.CLIENT,
        filter=FilterForm.NUMBER,
    ),
    ImageField(
        "min_ram",
        FieldType.AMOUNT,
        "Memory needed to boot the image, MiB",
        setting=Setting.CLIENT,
        filter=FilterForm.NUMBER,
    ),
    ImageField("tags", FieldType.TAGS, "Words to group images by", Source.ROWS, Setting.CLIENT, max_length=255),
    ImageField(
        "size", FieldType.SIZE, "Size of the data in bytes", nullable=True, sortable=True, filter=FilterForm.NUMBER
    ),
    ImageField(
        "virtual_size",
        FieldType.SIZE,
        "Size of the disk within the image in bytes",
        nullable=True,
        filter=FilterForm.NUMBER,
    ),
    ImageField(
        "checksum", FieldType.TEXT, "MD5 of the data, hex", nullable=True, max_length=32, filter=FilterForm.TEXT
    ),
    ImageField(
        "os_hash_algo",
        FieldType.TEXT,
        "Algorithm of os_hash_value",
        nullable=True,
        max_length=64,
        filter=FilterForm.TEXT,
    ),
    ImageField(
        "os_hash_value",
        FieldType.TEXT,
        "Digest of the data, hex",
        nullable=True,
        max_length=128,
        filter=FilterForm.TEXT,
    ),
    ImageField("created_at", FieldType.TIME, "When the image was created, UTC", sortable=True, filter=FilterForm.TIME),
    ImageField(
        "updated_at", FieldType.TIME, "When the image was last changed, UTC", sortable=True, filter=FilterForm.TIME
    ),
    ImageField("self", FieldType.TEXT, "Path of the image", Source.ANSWER),
    ImageField("file", FieldType.TEXT, "Path of the data", Source.ANSWER),
    ImageField("schema", FieldType.TEXT, "Path of this schema", Source.ANSWER),
    ImageField("direct_url", FieldType.TEXT, "URL of the first copy of the data", Source.ANSWER, always_shown=False),
    ImageField(
        "stores",
        FieldType.TEXT,
        "Stores that hold the data, separated by commas",
        Source.ANSWER,
        always_shown=False,
    ),
    ImageField(
        "locations",
        FieldType.LOCATIONS,
        "Locations of the copies of the data",
        Source.ROWS,
        Setting.LOCATIONS,
        always_shown=False,
    ),
)

FIELDS: Final[Mapping[str, ImageField]] = MappingProxyType({field.name: field for field in _TABLE})
"""All fields by name, in the order of documents."""


def names_of(wanted: Callable[[ImageField], object]) -> tuple[str, ...]:
    """The names of the fields for which `wanted` returns something true, in the order of FIELDS."""
    return tuple(field.name for field in _TABLE if wanted(field))


SORT_KEYS: Final = names_of(lambda field: field.sortable)
"""The fields that lists of images can be sorted by."""
