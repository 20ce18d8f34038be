"""``python -m mdpkit`` is the command ``mdpkit``."""

import sys

from mdpkit.cli import main

sys.exit(main())
