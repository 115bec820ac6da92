"""Lists of images, page by page.

A query goes through four modules, one after the other, and `pages.py` calls them in this order:

1. `shapes.py` takes the values out of the query. What is left is its `QueryShape`.
2. `planning.py` chooses the way to the page: a `Walk`, a `Gather` or a `ByValue`. It knows no SQL.
3. `compiling.py` makes a statement of the plan, with `conditions.py`, `order.py` and `hints.py`. Statements are kept.
4. `pages.py` runs the statement and makes images of its rows.

docs/architecture.md shows one statement for each plan.
"""

from imgsvc.catalogue.lists.pages import list_images
from imgsvc.catalogue.lists.shapes import is_heavy

__all__ = ["is_heavy", "list_images"]
