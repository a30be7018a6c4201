"""The page: what the daemon does now, in a browser."""

from typing import TYPE_CHECKING

from streamsed.exports import lazy

if TYPE_CHECKING:
    from streamsed.web.server import PageServer

__all__ = ["PageServer"]

__getattr__ = lazy(__name__, {"PageServer": "streamsed.web.server"})
