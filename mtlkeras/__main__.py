"""Makes `python -m mtlkeras` the same as `mtlkeras`."""

import sys

from mtlkeras._app.cli import main

sys.exit(main())
