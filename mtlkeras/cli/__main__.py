"""Makes `python -m mtlkeras.cli` the same as `mtlkeras`."""

import sys

from mtlkeras.cli import main

sys.exit(main())
