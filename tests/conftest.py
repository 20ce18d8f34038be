"""Settings of the tests."""

from __future__ import annotations

import os

from hypothesis import settings

# Examples are new in each run at home, which is how defects are found, and the same ones where a change is judged.
settings.register_profile("judged", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("judged")
