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
class IdentityKeystone:
    """[identity.keystone]"""

    auth_url: str = option(
        "The URL of Keystone, as `https://keystone.example/v3`. Empty: as the `cloud` says.", "", reload=True
    )
    username: str = option("The name of the server's own account, which checks the tokens of callers.", "", reload=True)
    password: str = option("The password of this account.", "", secret=True, reload=True)
    project_name: str = option(
        "The project of this account, by name. Empty: as the `cloud` says, or `service`.", "", reload=True
    )
    user_domain: str = option(
        "The domain of this account, by name; `default` is the id of Keystone's first domain. Empty: as the `cloud`"
        " says, or `default`.",
        "",
        reload=True,
    )
    project_domain: str = option("The domain of this project, likewise.", "", reload=True)
    application_credential_id: str = option("An application credential in place of name and password.", "", reload=True)
    application_credential_secret: str = option("Its secret.", "", secret=True, reload=True)
    cloud: str = option(
        "An entry of `clouds.yaml` that has the URL and the account. The options here go before it.", "", reload=True
    )
    ca_file: str = option(
        "A PEM file of the authorities, one of which must have issued Keystone's certificate. Empty: those of the"
        " system.",
        "",
        reload=True,
    )
    www_authenticate_uri: str = option(
        "The URL of Keystone that clients without a token are told. Empty: `auth_url`.", "", reload=True
    )
    cache_time: Seconds = option(
        "How long the answer for a token is used without asking again. A revoked token works for so long. 0: not at"
        " all.",
        300.0,
        reload=True,
    )
    region: str = option("The region whose Keystone is asked, with `interface`. Empty: any.", "", reload=True)
    interface: str = option(
        "Which of Keystone's endpoints in its catalogue is asked: `public`, `internal` or `admin`. Empty: `auth_url`.",
        "",
        choices=("", "public", "internal", "admin"),
        reload=True,
    )
    service_token_roles: tuple[str, ...] = option(
        "Roles of the accounts of services. With a token of one of them, `X-Service-Token`, a request may bring a"
        " token of its user that has expired.",
        ("service",),
        reload=True,
    )
    service_token_roles_required: bool = option(
        "Refuse a service token without such a role. Otherwise it counts as a token without roles.", True, reload=True
    )
    timeout: Seconds = option("How long to wait for Keystone.", 10.0, at_least=0.1, reload=True)


@frozen
class Identity:
    """[identity]"""

    mode: str = option(
        "`none`: every client is the administrator. `users`: the server has its own users, with passwords and tokens."
        " `proxy`: a proxy in front identifies the client by headers. `keystone`: Keystone checks the client's token.",
        "none",
        choices=("none", "users", "proxy", "keystone"),
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
    keystone: IdentityKeystone = field(factory=IdentityKeystone)
