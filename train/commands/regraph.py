"""``streamsed-train regraph``: a bundle's graphs exported anew, with nothing fitted again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from train.console import echo


def regraph(
    bundle: Annotated[Path, typer.Argument(help="Folder of a bundle with its checkpoints.")],
) -> None:
    """Export a bundle's graphs again from its checkpoints; thresholds, figures and card stay."""
    from train.regraph import regraph as export_again  # noqa: PLC0415

    for member, difference in export_again(bundle).items():
        echo(f"{bundle}: {member} differs from its model by at most {difference:.1e}")
