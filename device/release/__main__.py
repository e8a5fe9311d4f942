"""`python -m device.release` (process.py)."""

import sys

from device.release.process import main

sys.exit(main())
