"""Write some bytes of an image to standard output, with plain treq.

python examples/download_range.py ENDPOINT IMAGE_ID FIRST LAST > bytes
"""

import os
import sys

import treq
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.task import react
from twisted.web.client import ResponseFailed


async def download(reactor, endpoint, image_id, first, last):
    headers = {"Range": f"bytes={int(first)}-{int(last)}", "Accept": "application/octet-stream"}
    if token := os.environ.get("OS_TOKEN"):
        headers["X-Auth-Token"] = token
    response = await treq.get(
        f"{endpoint}/v2/images/{image_id}/file", headers=headers, unbuffered=True, reactor=reactor
    )
    if response.code != 206:
        # 200: no ranges here. 204: no data yet. 416: no byte of the image is in the range.
        sys.exit(f"The server answered {response.code}: {await response.text()}")
    print(response.headers.getRawHeaders("content-range")[0], file=sys.stderr)
    await response.collect(sys.stdout.buffer.write)
    sys.stdout.buffer.flush()


async def main(reactor, *arguments):
    try:
        await download(reactor, *arguments)
    except (ConnectError, DNSLookupError) as problem:
        sys.exit(f"Cannot reach the server: {problem}")
    except ResponseFailed:
        sys.exit("The connection broke before the answer was whole.")
    except OSError as problem:
        # Nobody reads the output any more (as with `| head`), or its disk is full. The rest of it is thrown away.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1 if isinstance(problem, BrokenPipeError) else f"standard output: {problem.strerror}")


if __name__ == "__main__":
    if len(sys.argv) != 5:
        print(__doc__.strip(), file=sys.stderr)
        sys.exit(2)
    react(main, sys.argv[1:])
