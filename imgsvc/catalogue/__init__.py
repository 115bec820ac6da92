"""The catalogue of images, in SQL. The only package that imports SQLAlchemy."""

from imgsvc.catalogue.catalogue import Catalogue
from imgsvc.catalogue.database import Database
from imgsvc.catalogue.metadefs import MetadefCatalogue
from imgsvc.catalogue.opening import Schema, open_database
from imgsvc.catalogue.url import locate, sqlite_file, without_password

__all__ = [
    "Catalogue",
    "Database",
    "MetadefCatalogue",
    "Schema",
    "locate",
    "open_database",
    "sqlite_file",
    "without_password",
]
