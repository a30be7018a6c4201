"""A real browser without a window, to look at what was written."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

SWITCHES = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
LOAD_TIMEOUT_S = 120


@contextmanager
def chromium(profile: Path) -> Iterator[Chrome]:
    """Start Chromium with a profile of its own; skip the test where there is none."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("chromium and chromedriver are not installed")
    options = ChromeOptions()
    options.binary_location = browser
    for switch in (*SWITCHES, f"--user-data-dir={profile}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = Chrome(options=options, service=Service(driver))
    try:
        chrome.set_page_load_timeout(LOAD_TIMEOUT_S)
        yield chrome
    finally:
        chrome.quit()


def show(chrome: Chrome, page: Path, *, width: int, height: int = 900, dark: bool = False) -> None:
    """Open a page at a width in CSS pixels, and in light or dark."""
    chrome.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
    )
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    chrome.get(page.as_uri())


def ask(chrome: Chrome, script: str) -> Any:
    """Return what a piece of JavaScript returns."""
    return chrome.execute_script(script)  # type: ignore[no-untyped-call]
