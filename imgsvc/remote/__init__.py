"""Requests to other servers.

For URLs that clients name, `guard` says what is allowed, and `fetch` makes the request. `json_service` is for the
services that the operator has configured and trusts.
"""
