"""Requests to other servers.

Those that clients name: `guard` says what may be asked for, `fetch` asks. Those that the operator has configured and
trusts: `json_service`.
"""
