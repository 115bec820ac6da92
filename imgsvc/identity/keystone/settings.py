"""The server's own account at Keystone, from the options."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from attrs import field, frozen

from imgsvc.clouds import CloudsError, read_cloud
from imgsvc.config import IdentityKeystone
from imgsvc.errors import ConfigurationError

__all__ = ["Account", "Settings", "account_of", "settings_of", "versioned"]

TABLE: Final = "identity.keystone"
HOME_FOLDER: Final = ".config/openstack"
SITE_FOLDER: Final = "/etc/openstack"
INTERFACES: Final = ("", "public", "internal", "admin")
DEFAULT_PROJECT: Final = "service"
FIRST_DOMAIN: Final = "default"
"""The id of the domain that every Keystone has."""


@frozen
class Account:
    """auth_url: URL of Keystone's API, with its version. auth: the object `auth` of the request for a token.

    interface: of the endpoint to ask; empty: `auth_url`. region: of this endpoint; empty: any.
    """

    auth_url: str
    auth: Mapping[str, object] = field(repr=False)
    interface: str = ""
    region: str = ""


@frozen
class Settings:
    """All that the options say, with what is in the files that they name.

    public_url: of Keystone, for clients. ca_file, authorities: the file with the certificates of authorities, and its
    content; None and empty: those of the system.
    """

    options: IdentityKeystone
    account: Account
    public_url: str
    ca_file: Path | None = None
    authorities: bytes = field(default=b"", repr=False)


def settings_of(options: IdentityKeystone, data_folder: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the options and their files. data_folder: relative paths start from it. environment: variables by name.

    Raises ConfigurationError: the options name no account or two, or a file cannot be read.
    """
    cloud: Mapping[str, str] = {}
    if options.cloud:
        cloud = _cloud(options.cloud, data_folder, environment)
    account = account_of(options, cloud)
    public_url = options.www_authenticate_uri or account.auth_url
    if not re.fullmatch(r"https?://[!-~]+", public_url) or '"' in public_url:
        raise ConfigurationError(f"{TABLE}.www_authenticate_uri = {public_url!r}: must be a URL")
    path = options.ca_file or cloud.get("cacert", "")
    ca_file = data_folder / path if path else None
    try:
        authorities = ca_file.read_bytes() if ca_file else b""
    except OSError as error:
        raise ConfigurationError(f"{TABLE}.ca_file = {str(ca_file)!r}: cannot be read: {error.strerror}") from error
    return Settings(options, account, public_url, ca_file, authorities)


def _cloud(name: str, data_folder: Path, environment: Mapping[str, str]) -> Mapping[str, str]:
    """The settings of an entry of clouds.yaml in the data folder, in the home folder of the account, or of the site."""
    home = environment.get("HOME")
    folders = [data_folder, *([Path(home) / HOME_FOLDER] if home else []), Path(SITE_FOLDER)]
    try:
        return read_cloud(name, folders, environment).values
    except CloudsError as problem:
        raise ConfigurationError(f"{TABLE}.cloud = {name!r}: {problem}") from problem


def account_of(options: IdentityKeystone, cloud: Mapping[str, str]) -> Account:
    """The account that the options name, and those settings of a cloud that they leave open.

    Raises ConfigurationError: it is not complete, or there are two.
    """
    auth_url = options.auth_url or cloud.get("auth_url", "")
    if not auth_url:
        raise ConfigurationError(f"{TABLE}.auth_url must be given, as 'https://keystone.example/v3'")
    region = options.region or cloud.get("region_name", "")
    interface = options.interface or cloud.get("interface", "").removesuffix("URL")
    if interface not in INTERFACES:
        raise ConfigurationError(f"{TABLE}.interface = {interface!r}: must be one of {', '.join(INTERFACES)}")
    return Account(versioned(auth_url), _auth(options, cloud), interface, region)


def versioned(url: str) -> str:
    """The URL of version 3 of the API, which is the only one, for a URL of Keystone with or without its version."""
    return url.rstrip("/").removesuffix("/v3") + "/v3"


def _auth(options: IdentityKeystone, cloud: Mapping[str, str]) -> Mapping[str, object]:
    if options.username and options.application_credential_id:
        raise ConfigurationError(f"{TABLE}: either username or application_credential_id, not both")
    credential_id = options.application_credential_id or cloud.get("application_credential_id", "")
    username = options.username or cloud.get("username", "")
    if credential_id and not options.username:
        secret = options.application_credential_secret or cloud.get("application_credential_secret", "")
        if not secret:
            raise ConfigurationError(f"{TABLE}.application_credential_secret must be given")
        credential = {"id": credential_id, "secret": secret}
        return {"identity": {"methods": ["application_credential"], "application_credential": credential}}
    password = options.password or cloud.get("password", "")
    if not username or not password:
        raise ConfigurationError(f"{TABLE}: username and password, or application_credential_id, must be given")
    user = {"name": username, "domain": _domain(options.user_domain, cloud, "user"), "password": password}
    name = options.project_name or cloud.get("project_name", "") or DEFAULT_PROJECT
    project = {"name": name, "domain": _domain(options.project_domain, cloud, "project")}
    return {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": {"project": project}}


def _domain(name: str, cloud: Mapping[str, str], what: str) -> Mapping[str, str]:
    """The domain of a user or a project, from the option, the cloud, or Keystone's first domain."""
    if name and name != FIRST_DOMAIN:
        return {"name": name}
    if not name and (found := cloud.get(f"{what}_domain_id") or cloud.get("domain_id")):
        return {"id": found}
    if not name and (found := cloud.get(f"{what}_domain_name") or cloud.get("domain_name")):
        return {"name": found}
    return {"id": FIRST_DOMAIN}
