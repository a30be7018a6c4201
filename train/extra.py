"""Whether everything is installed that training needs, and what brings it."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires, version

EXTRA = "train"

_REQUIREMENT = re.compile(
    r"(?P<name>[\w.-]+)\s*(?:\[(?P<extras>[\w,\s-]+)\])?.*;.*extra == ['\"](?P<of>[\w-]+)['\"]"
)


def missing() -> list[str]:
    """Return the packages of the extra, and of those that it names, that are not there."""
    try:
        lines = requires("streamsed") or []
    except PackageNotFoundError:  # a checkout that is not installed
        return []
    entries = [found for line in lines if (found := _REQUIREMENT.match(line))]
    wanted, lacking = [EXTRA], []
    for extra in wanted:
        for entry in entries:
            if entry["of"] != extra:
                continue
            if entry["name"] == "streamsed":
                named = [name.strip() for name in (entry["extras"] or "").split(",")]
                wanted += [name for name in named if name not in wanted]
            elif not _is_installed(entry["name"]):
                lacking.append(entry["name"])
    return lacking


def missing_packages_message(packages: list[str]) -> str:
    """Return one line about packages that are not there."""
    few = ", ".join(packages[:3]) + (", …" if len(packages) > 3 else "")
    return f"{few}: not installed; training needs an extra: pip install 'streamsed[{EXTRA}]'"


def _is_installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True
