"""List images and a digest of each one's data, holding one page and one block at a time.

python examples/list_images.py ENDPOINT [FILTER=VALUE ...]
"""

import hashlib
import os
import sys

from twisted.internet.task import react
from twisted.internet.threads import deferToThread

from imgsvc.client import ClientError, ImageClient


async def sha256(client, image):
    digest = hashlib.sha256()
    body = await client.open_range(image.id)
    try:
        # The next block is only read while this one is digested: a slow taker makes the server wait.
        async for block in body:
            await deferToThread(digest.update, block)
    finally:
        body.close()
    return digest.hexdigest()


async def main(reactor, endpoint, *filters):
    try:
        async with ImageClient(endpoint, reactor, token=os.environ.get("OS_TOKEN")) as client:
            # A page is asked for when the loop gets to it.
            async for image in client.images(page_size=50, **dict(each.split("=", 1) for each in filters)):
                value = await sha256(client, image) if image.status == "active" else "-"
                print(image.id, image.status, image.size, value, image.name, flush=True)
    except ClientError as problem:
        sys.exit(str(problem))
    except OSError as problem:
        # Nobody reads the output any more (as with `| head`), or its disk is full. The rest of it is thrown away.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1 if isinstance(problem, BrokenPipeError) else f"standard output: {problem.strerror}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        print(__doc__.strip(), file=sys.stderr)
        sys.exit(2)
    react(main, sys.argv[1:])
