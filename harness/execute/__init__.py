"""Plan → finished run folders: warm local workers; a debug engine without training."""

from harness.execute.debug import Behaviour, DebugEngine
from harness.execute.engine import Engine, Exit, Handle, Kept
from harness.execute.local import LocalEngine
from harness.execute.lock import holder
from harness.execute.runner import execute
from harness.execute.session import Session, session
from harness.execute.status import SuiteStatus, status, write_plan
from harness.execute.supervise import Limits

__all__ = [
    "Behaviour",
    "DebugEngine",
    "Engine",
    "Exit",
    "Handle",
    "Kept",
    "Limits",
    "LocalEngine",
    "Session",
    "SuiteStatus",
    "execute",
    "holder",
    "session",
    "status",
    "write_plan",
]
