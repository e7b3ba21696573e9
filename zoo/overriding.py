"""``override``, for methods whose documentation is that of the method they override.

The standard library has it from Python 3.12 on, and ``typing_extensions`` is not a dependency of the runtime.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import override
elif sys.version_info >= (3, 12):
    from typing import override
else:

    def override(method):
        """Mark a method as overriding one of a base class, which type checkers verify."""
        method.__override__ = True
        return method


__all__ = ["override"]
