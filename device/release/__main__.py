"""`python -m device.release`."""

import sys

from device.release.process import main

sys.exit(main())
