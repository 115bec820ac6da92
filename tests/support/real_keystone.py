"""A real Keystone on the loopback address, with SQLite and fernet tokens.

It is installed from PyPI into `.keystone/venv` of the checkout, which takes a minute or two, and is found there again.
`real_keystone()` starts it at the first call. It runs to the end of the process, and not longer.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import openstack

from tests.support.databases import _end_with_parent
from tests.support.waiting import children, free_port

ROOT = Path(__file__).parents[2]
HOME = ROOT / ".keystone"
PINS = Path(__file__).with_name("keystone-pins.txt")
START_TIME = 120.0
PASSWORD = "s3cret-pässword"
REGION = "RegionOne"
USERS = {
    "imgsvc": ("service", "service"),
    "blue-member": ("blue", "member"),
    "blue-reader": ("blue", "reader"),
    "red-member": ("red", "member"),
    "red-reader": ("red", "reader"),
    "blue-nobody": ("blue", None),
}
"""Project and role of each user, beside `admin`, who is the administrator in the project of that name."""

CONFIGURATION = """
[DEFAULT]
log_file = {folder}/keystone.log
[database]
connection = sqlite:///{folder}/keystone.db?timeout=60
[token]
provider = fernet
expiration = {life}
[fernet_tokens]
key_repository = {folder}/fernet-keys
[credential]
key_repository = {folder}/credential-keys
[cache]
enabled = false
[identity]
password_hash_rounds = 4
[oslo_policy]
enforce_scope = true
enforce_new_defaults = true
"""
# One thread: with more, SQLite sometimes answers that it is locked.
GUNICORN = """
wsgi_app = "keystone.wsgi.api:application"
bind = "127.0.0.1:{port}"
workers = 1
worker_class = "gthread"
threads = 1
timeout = 120
graceful_timeout = 2
keepalive = 30
control_socket_disable = True
"""


def installed() -> Path:
    """The folder of Keystone's programs. Installs it if it is not there, or other versions are."""
    HOME.mkdir(exist_ok=True)
    venv = HOME / "venv"
    with (HOME / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other processes of the same tests may need it, too
        done = venv / "pins"
        if not done.exists() or done.read_bytes() != PINS.read_bytes():
            subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True, capture_output=True)
            pip = [
                venv / "bin/python",
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--no-compile",
            ]
            subprocess.run([*pip, "--constraint", PINS, "keystone", "gunicorn"], check=True, capture_output=True)
            shutil.copy(PINS, done)
    return venv / "bin"


class RealKeystone:
    """A Keystone with its files in a folder of its own. life: seconds that its tokens are valid."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="imgsvc-keystone-"))
        self.port = free_port()
        self.life = 3600
        self.projects: dict[str, str] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self._programs = installed()
        self._configuration = self.folder / "keystone.conf"
        self._configure()
        for command in ("db_sync", "credential_setup"):
            self._manage(command)
        self.change_keys()
        url = self.auth_url
        urls = [part for kind in ("public", "internal", "admin") for part in (f"--bootstrap-{kind}-url", url)]
        self._manage("bootstrap", "--bootstrap-password", PASSWORD, "--bootstrap-region-id", REGION, *urls)

    @property
    def auth_url(self) -> str:
        """The URL of its API."""
        return f"http://127.0.0.1:{self.port}/v3"

    def _configure(self) -> None:
        self._configuration.write_text(CONFIGURATION.format(folder=self.folder, life=self.life))

    def _manage(self, command: str, *arguments: str) -> None:
        account = ("--keystone-user", "root", "--keystone-group", "root") if os.geteuid() == 0 else ()
        more = account if command.endswith("_setup") else ()
        program = [self._programs / "keystone-manage", "--config-file", self._configuration, command]
        subprocess.run([*program, *more, *arguments], check=True, capture_output=True)

    def change_keys(self) -> None:
        """Make other keys for tokens. Tokens of before are not known after the next start."""
        shutil.rmtree(self.folder / "fernet-keys", ignore_errors=True)
        (self.folder / "fernet-keys").mkdir(mode=0o700)
        self._manage("fernet_setup")

    def start(self, life: int = 3600) -> None:
        """Start, and wait until it answers. life: seconds that its tokens are valid."""
        self.life = life
        self._configure()
        settings = self.folder / "gunicorn.conf.py"
        settings.write_text(GUNICORN.format(port=self.port))
        with (self.folder / "gunicorn.log").open("ab") as log:
            self.process = subprocess.Popen(
                [self._programs / "gunicorn"],  # which finds its settings in its folder
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                preexec_fn=_end_with_parent,
                # All settings are in files, because Keystone reads the arguments of gunicorn, too.
                env={**os.environ, "OS_KEYSTONE_CONFIG_FILES": str(self._configuration)},
            )
        until = time.monotonic() + START_TIME
        while not self._answers():
            if time.monotonic() > until or self.process.poll() is not None:
                text = (self.folder / "gunicorn.log").read_text("utf-8", "replace")
                raise AssertionError(f"Keystone does not start:\n{text[-3000:]}")
            time.sleep(0.05)  # the one way to wait for a server that says nothing

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.auth_url, timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def stop(self) -> None:
        """End it in order. Any number of times."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it with all its processes, as a power cut would. Any number of times."""
        is_up = self.process is not None and self.process.poll() is None
        workers = children(self.process.pid) if self.process is not None and is_up else []
        self._end(signal.SIGKILL)  # first, because it would start other workers
        for pid in workers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(30)

    def freeze(self, frozen: bool) -> None:
        """Stop all of its processes, or let them go on. Meanwhile it accepts connections, but says nothing."""
        assert self.process is not None
        for pid in (self.process.pid, *children(self.process.pid)):
            os.kill(pid, signal.SIGSTOP if frozen else signal.SIGCONT)

    def close(self) -> None:
        """End it, and remove its files."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- what is in it

    def environment(self, user: str) -> dict[str, str]:
        """The variables by which clients log in as a user."""
        return {
            "OS_AUTH_URL": self.auth_url,
            "OS_IDENTITY_API_VERSION": "3",
            "OS_USERNAME": user,
            "OS_PASSWORD": PASSWORD,
            "OS_PROJECT_NAME": self.project_of(user),
            "OS_USER_DOMAIN_ID": "default",
            "OS_PROJECT_DOMAIN_ID": "default",
            "OS_REGION_NAME": REGION,
        }

    def project_of(self, user: str) -> str:
        """The name of the project of a user."""
        return "admin" if user == "admin" else USERS[user][0]

    def connection(self, user: str) -> Any:
        """A connection of openstacksdk. The caller closes it."""
        return openstack.connect(
            auth_url=self.auth_url,
            username=user,
            password=PASSWORD,
            project_name=self.project_of(user),
            user_domain_id="default",
            project_domain_id="default",
            region_name=REGION,
            load_yaml_config=False,
            load_envvars=False,
        )

    def token(self, user: str) -> str:
        """A new token of a user, for the project of this user."""
        with self.connection(user) as connection:
            token: str = connection.auth_token
            return token

    def fill(self) -> None:
        """Make the projects and users of USERS."""
        with self.connection("admin") as admin:
            identity = admin.identity
            roles = {role.name: role for role in identity.roles()}
            for name in {project for project, _ in USERS.values()}:
                self.projects[name] = identity.create_project(name=name, domain_id="default").id
            for name, (project, role) in USERS.items():
                user = identity.create_user(name=name, password=PASSWORD, domain_id="default")
                if role is not None:
                    identity.assign_project_role_to_user(self.projects[project], user, roles[role])

    def announce(self, image_url: str) -> None:
        """Say in the catalogue where the images are."""
        with self.connection("admin") as admin:
            identity = admin.identity
            service = next(identity.services(type="image"), None) or identity.create_service(
                name="imgsvc", type="image"
            )
            for endpoint in list(identity.endpoints(service_id=service.id)):
                identity.delete_endpoint(endpoint)
            for interface in ("public", "internal", "admin"):
                identity.create_endpoint(service_id=service.id, interface=interface, url=image_url, region_id=REGION)


@cache
def real_keystone() -> RealKeystone:
    """The Keystone of this process, with USERS."""
    keystone = RealKeystone()
    atexit.register(keystone.close)
    keystone.start()
    keystone.fill()
    return keystone
