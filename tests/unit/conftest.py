"""What every unit test runs under."""

from __future__ import annotations

import os

# Tests run side by side, one on each core. Threads of one tiny training that wait for those of another make both take
# many times as long; a user's own setting stays.
os.environ.setdefault("OMP_NUM_THREADS", "1")
