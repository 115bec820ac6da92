"""Run the command and write down its largest memory: python -m tests.client.measured FILE ARGUMENT..."""

import re
import sys
from pathlib import Path

from imgsvc.client.command import main

try:
    main(sys.argv[2:], prog_name="imgsvc")
finally:
    status = Path("/proc/self/status").read_text()
    Path(sys.argv[1]).write_text(re.search(r"VmHWM:\s+(\d+) kB", status)[1])
