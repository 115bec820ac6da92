"""Images that openstacksdk signs like `openstack image create --sign-key-path`, with certificates from Barbican."""

from __future__ import annotations

import base64
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import openstack
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from openstack import exceptions
from openstack.image.image_signer import ImageSigner
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from twisted.web.server import Site

from imgsvc.pipeline.signatures import CERTIFICATE
from tests.support.barbican import Barbican, Secret
from tests.support.daemon import Daemon
from tests.support.signing import DAY, certificate, der, private_key, signature_properties

DATA = b"the bytes of an image" * 10_000


class SigningTestCase(TestCase):
    """The daemon, and a server with Barbican's API. patience: the daemon's time-out for it."""

    patience = "60 s"

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        key = private_key("RSA-PSS")
        (self.folder / "key.pem").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        )
        (self.folder / "image").write_bytes(DATA)
        now = datetime.now(UTC)
        self.certificate = str(uuid.uuid4())
        secret = Secret(der(certificate(key, now - DAY, now + DAY)), "application/pkix-cert")
        self.barbican = Barbican({self.certificate: secret}, frozenset({None}))
        port: Any = reactor.listenTCP(0, Site(self.barbican), interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        self.daemon = Daemon(
            self.folder / "daemon",
            f'[signatures]\nbarbican = "http://127.0.0.1:{port.getHost().port}"\n'
            f'barbican_timeout = "{self.patience}"\n',
        )
        self.addCleanup(self.daemon.kill)
        self.daemon.start()

    def create(self, method: str = "SHA-256", sign: str = "image") -> Any:
        """Create an image of the file `image`, with the signature of the file `sign`. Blocks."""
        connection = openstack.connect(
            auth_type="none", endpoint=self.daemon.endpoint, load_envvars=False, load_yaml_config=False
        )
        signer = ImageSigner(method)
        signer.load_private_key(str(self.folder / "key.pem"))
        with connection, (self.folder / sign).open("rb") as file:
            signature = base64.b64encode(signer.generate_signature(file)).decode()
            return connection.image.create_image(
                f"signed with {method}",
                filename=str(self.folder / "image"),
                disk_format="raw",
                container_format="bare",
                img_signature=signature,
                img_signature_hash_method=signer.hash_method,
                img_signature_key_type=signer.padding_method,
                img_signature_certificate_uuid=self.certificate,
            )


class SigningTests(SigningTestCase):
    """Signatures of a client."""

    async def test_signed(self) -> None:
        """The server verifies what the client signs, with every hash method."""
        for method in ("SHA-224", "SHA-256", "SHA-384", "SHA-512"):
            image = await deferToThread(self.create, method)
            self.assertEqual(self.daemon.show(image.id)["status"], "active")
        self.assertEqual(len(self.barbican.asked), 8)

    async def test_mismatch(self) -> None:
        """A signature of other data is refused, and the client says why."""
        (self.folder / "other").write_bytes(DATA + b".")
        with self.assertRaisesRegex(exceptions.BadRequestException, "its bytes are not what was signed"):
            await deferToThread(self.create, sign="other")


class SilenceTests(SigningTestCase):
    """A Barbican that does not respond."""

    patience = "1 s"

    async def test_no_barbican(self) -> None:
        """If Barbican does not respond, the upload is 503 after the time-out."""
        self.barbican.broken = "hang"
        properties = {**signature_properties(DATA), CERTIFICATE: self.certificate}
        image = self.daemon.image(**properties)
        self.assertEqual(await deferToThread(self.daemon.put, image, DATA), 503)
        self.assertEqual(self.daemon.show(image)["status"], "queued")
        self.assertEqual(len(self.barbican.hanging), 1)
