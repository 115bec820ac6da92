"""The kinds of stores that come with imgsvc."""

from __future__ import annotations

from imgsvc.stores.maker import StoreMaker

file = StoreMaker("file", "imgsvc.stores.file.make")
http = StoreMaker("http", "imgsvc.stores.http.make")
memory = StoreMaker("memory", "imgsvc.stores.memory.make")
