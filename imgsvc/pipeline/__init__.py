"""Transfers of bytes: from a producer through lanes into a store, and from a store to a client."""
