"""Makes the identity that the configuration asks for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from weakref import WeakSet

from imgsvc.config import Config, IdentityKeystone
from imgsvc.errors import ConfigurationError
from imgsvc.identity.none import LocalAdministrator
from imgsvc.identity.pages import PageGuard
from imgsvc.identity.proxy import Proxy
from imgsvc.interfaces import IIdentity, IThreads
from imgsvc.peers import THIS_MACHINE, Peers

if TYPE_CHECKING:
    from imgsvc.identity.keystone.client import KeystoneClient
    from imgsvc.identity.keystone.maker import KeystoneParts
    from imgsvc.identity.users.checker import PasswordChecker

__all__ = ["Identities"]


class Identities:
    """Makes the identity of each configuration, and keeps what outlives a change of the configuration.

    It owns the requests to other servers: `stop` ends them.
    """

    def __init__(
        self, data_folder: Path, reactor: Any, make_threads: Callable[[str, int], IThreads], file_threads: IThreads
    ) -> None:
        """data_folder: relative paths of the configuration start from it. reactor: for requests to other servers.
        make_threads: makes a thread pool of a name and a size, for the checks of passwords. file_threads: read files.
        """
        self._data_folder = data_folder
        self._reactor = reactor
        self._make_threads = make_threads
        self._file_threads = file_threads
        self._checker: PasswordChecker | None = None
        self._keystone: KeystoneParts | None = None
        self._clients: WeakSet[KeystoneClient] = WeakSet()  # requests may use earlier ones after a reload

    def make(self, config: Config) -> IIdentity:
        """The identity of a configuration. Raises ConfigurationError."""
        if config.identity.mode == "proxy":
            return Proxy(config.identity.proxy.peers)
        if config.identity.mode == "keystone":
            return self._of_keystone(config.identity.keystone)
        server = config.server
        names = ["*" if config.identity.allow_remote else urlsplit(server.public_endpoint).hostname or "localhost"]
        if config.identity.mode == "users":
            return self._of_users(config, PageGuard(server.cors_origins, names))
        return LocalAdministrator(server.cors_origins, names)

    def _of_users(self, config: Config, pages: PageGuard) -> IIdentity:
        # Imported here, because the import takes a part of the start-up time and not all configurations need it.
        from imgsvc.identity.users.addresses import ClientAddresses
        from imgsvc.identity.users.checker import PasswordChecker
        from imgsvc.identity.users.file import UserFile
        from imgsvc.identity.users.identity import Users

        path = self._data_folder / config.identity.users.file
        seconds = self._reactor.seconds
        file = UserFile(path, self._file_threads, seconds) if path.exists() else None
        if file is None or not file.accounts.users:
            raise ConfigurationError(
                f"identity.mode = 'users': there are no users in {path} yet. To make the first one, run"
                " `imgsvc-admin user add NAME --project PROJECT=admin` with the --config and --data of the daemon"
            )
        if self._checker is None:
            self._checker = PasswordChecker(self._make_threads("passwords", 1), seconds)
        server = config.server
        proxies = Peers(server.proxy_peers, "server.proxy_peers") if server.proxy_headers else None
        exempt = Peers((*THIS_MACHINE, *server.proxy_peers), "server.proxy_peers")
        return Users(
            file, self._checker, pages, ClientAddresses(exempt, proxies), config.identity.users.cache_time, time
        )

    def _of_keystone(self, options: IdentityKeystone) -> IIdentity:
        """The same identity as before if nothing has changed: it keeps what Keystone has said of tokens."""
        # Imported here, because the import takes a part of the start-up time and few configurations need it.
        from imgsvc.identity.keystone.maker import make_keystone
        from imgsvc.identity.keystone.settings import settings_of

        settings = settings_of(options, self._data_folder)
        if self._keystone is None or self._keystone.settings != settings:
            self._keystone = make_keystone(settings, self._reactor)
            self._clients.add(self._keystone.client)
        return self._keystone.identity

    async def stop(self) -> None:
        """End all requests to other servers. Those who wait for their identity get ServiceUnavailable."""
        for client in list(self._clients):
            await client.stop()
