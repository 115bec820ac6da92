"""The operations of the API: they check permissions, limits and states, and undo failed changes. No HTTP, no SQL."""
