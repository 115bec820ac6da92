"""Make an image of a file: python examples/upload_image.py ENDPOINT FILE [NAME]"""

import os
import sys

from twisted.internet.task import react

from imgsvc.client import ClientError, ImageClient, guess_disk_format


async def upload(reactor, endpoint, path, name=None):
    async with ImageClient(endpoint, reactor, token=os.environ.get("OS_TOKEN")) as client:
        image = await client.create(
            name=name or os.path.basename(path),
            disk_format=guess_disk_format(path),
            container_format="bare",
        )

        def progress(stage, done, total):
            print(f"\r{done * 100 // total} %", end="", file=sys.stderr)

        # Size and digests are compared with what the server stored; a mismatch raises VerificationFailed.
        image = await client.upload(image.id, path, progress=progress)
        print("", file=sys.stderr)
        print(image.id, image.status, image.size, image.os_hash_value, flush=True)


async def main(reactor, *arguments):
    try:
        await upload(reactor, *arguments)
    except ClientError as problem:
        sys.exit(str(problem))
    except OSError as problem:
        # Nobody reads the output any more (as with `| head`), or its disk is full. The rest of it is thrown away.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1 if isinstance(problem, BrokenPipeError) else f"standard output: {problem.strerror}")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        print(__doc__.strip(), file=sys.stderr)
        sys.exit(2)
    react(main, sys.argv[1:])
