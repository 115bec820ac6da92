"""A client of the Image API v2: calls for programs, and the `imgsvc` command.

The public names are those of `__all__`. Each is imported when it is first used: `python -m imgsvc.client` imports this
package before it can handle Ctrl-C, so the package must be imported in no time.
"""

from importlib import import_module

TYPE_CHECKING = False
"""True for type checkers. To import it from `typing` would take longer than all the rest of this module."""

if TYPE_CHECKING:
    from imgsvc.client.api import ImageClient
    from imgsvc.client.body import Body
    from imgsvc.client.errors import (
        AmbiguousName,
        BadResponse,
        ClientError,
        ImageChanged,
        LocalFileError,
        LoginRefused,
        LoginUnusable,
        NoData,
        NoImageEndpoint,
        NoSuchImage,
        NoSuchStore,
        RequestRefused,
        TransferInterrupted,
        Unreachable,
        Unsettled,
        VerificationFailed,
    )
    from imgsvc.client.identity.finding import find_login
    from imgsvc.client.identity.login import (
        ApplicationCredential,
        Basic,
        Domain,
        KeystoneToken,
        Login,
        Nobody,
        Password,
        Scope,
        Tls,
        Token,
        User,
    )
    from imgsvc.client.inspection import guess_disk_format
    from imgsvc.client.patience import Notice
    from imgsvc.client.progress import Progress
    from imgsvc.client.view import ImageView, MemberView
else:

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'errors')}"), name)


__all__ = [
    "AmbiguousName",
    "ApplicationCredential",
    "BadResponse",
    "Basic",
    "Body",
    "ClientError",
    "Domain",
    "ImageChanged",
    "ImageClient",
    "ImageView",
    "KeystoneToken",
    "LocalFileError",
    "Login",
    "LoginRefused",
    "LoginUnusable",
    "MemberView",
    "NoData",
    "NoImageEndpoint",
    "NoSuchImage",
    "NoSuchStore",
    "Nobody",
    "Notice",
    "Password",
    "Progress",
    "RequestRefused",
    "Scope",
    "Tls",
    "Token",
    "TransferInterrupted",
    "Unreachable",
    "Unsettled",
    "User",
    "VerificationFailed",
    "find_login",
    "guess_disk_format",
]

_MODULES = {
    "ApplicationCredential": "identity.login",
    "Basic": "identity.login",
    "Body": "body",
    "Domain": "identity.login",
    "ImageClient": "api",
    "ImageView": "view",
    "KeystoneToken": "identity.login",
    "Login": "identity.login",
    "MemberView": "view",
    "Nobody": "identity.login",
    "Notice": "patience",
    "Password": "identity.login",
    "Progress": "progress",
    "Scope": "identity.login",
    "Tls": "identity.login",
    "Token": "identity.login",
    "User": "identity.login",
    "find_login": "identity.finding",
    "guess_disk_format": "inspection",
}
"""The module of each public name that is not an error: `errors` has the others."""
