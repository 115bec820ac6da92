"""The options of [identity]: how the server learns who its callers are."""

from __future__ import annotations

from attrs import field, frozen

from imgsvc.options import Seconds, option


@frozen
class IdentityProxy:
    """[identity.proxy]"""

    peers: tuple[str, ...] = option(
        "Proxies whose identity headers are trusted: addresses, networks as `10.0.0.0/8`, `unix` for unix sockets.",
        ("127.0.0.1",),
        reload=True,
    )


@frozen
class IdentityUsers:
    """[identity.users]"""

    file: str = option("The file with the users, which `imgsvc-admin user` writes.", "users.json", reload=True)
    cache_time: Seconds = option(
        "How long a password that was right is not checked again: one check takes about 0.3 s of a core. A changed"
        " password is checked at once.",
        300.0,
        reload=True,
    )


@frozen
class Identity:
    """[identity]"""

    mode: str = option(
        "`none`: every client is the administrator. `users`: the server has its own users, with passwords and tokens."
        " `proxy`: a proxy in front identifies the client by headers.",
        "none",
        choices=("none", "users", "proxy"),
        reload=True,
    )
    allow_remote: bool = option(
        "Allow mode `none` to listen on addresses that other machines can reach. In modes `none` and `users`, allow"
        " every host name.",
        False,
        reload=True,
    )
    proxy: IdentityProxy = field(factory=IdentityProxy)
    users: IdentityUsers = field(factory=IdentityUsers)
