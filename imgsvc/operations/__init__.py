"""What each call means: permission, limits, state, undo. No HTTP, no SQL."""
