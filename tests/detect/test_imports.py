"""The runtime needs neither torch nor the training package."""

import subprocess
import sys

SCRIPT = """
import importlib, pkgutil, sys
import streamsed
for module in pkgutil.walk_packages(streamsed.__path__, "streamsed."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
heavy = {"torch", "train"} & set(sys.modules)
print(sum(name.startswith("streamsed.") for name in sys.modules), sorted(heavy))
"""


def test_no_module_imports_torch() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=120
    )
    count, heavy = done.stdout.split(maxsplit=1)
    assert int(count) > 20
    assert heavy.strip() == "[]"
