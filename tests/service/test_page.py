"""The page in a real browser, beside a real daemon."""

from __future__ import annotations

import http.client
import queue
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.support.ui import WebDriverWait

from streamsed.config import parse_config
from streamsed.errors import ConfigError
from streamsed.service.daemon import Daemon
from tests.bundles import tones
from tests.evaluate.browser import ask, chromium
from tests.service.daemons import configure, recording, running
from tests.sockets import PATIENCE_S

WEB = {"bind": "127.0.0.1:0"}
NAME = "kitchen"


def url(daemon: Daemon) -> str:
    assert daemon.page is not None
    return daemon.page.url


def test_now_shows_a_source_with_its_level_and_scores(bundle: Path, tmp_path: Path) -> None:
    sounds = [("low", 0.2, 299.0)]
    paced = recording(tmp_path / f"{NAME}.wav", tones(sounds, duration_s=300.0), paced=True)
    with (
        running(configure(bundle, [paced], web=WEB)) as run,
        chromium(tmp_path / "profile") as first,
    ):
        first.get(url(run.daemon))
        wait = WebDriverWait(first, PATIENCE_S)
        wait.until(lambda chrome: "low since" in ask(chrome, "return document.body.innerText"))
        assert ask(first, "return document.querySelector('h2').textContent") == NAME
        assert ask(first, "return document.querySelector('.state').textContent") == "running"
        assert ask(first, "return document.querySelectorAll('.mark').length") > 0
        assert "dBFS" in ask(first, "return document.body.innerText")
        for width, scheme in ((1200, "light"), (1200, "dark"), (390, "light")):
            first.execute_cdp_cmd(
                "Emulation.setDeviceMetricsOverride",
                {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False},
            )
            feature = {"name": "prefers-color-scheme", "value": scheme}
            first.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
            first.save_screenshot(str(tmp_path / f"now-{scheme}-{width}.png"))
            assert ask(first, "return document.documentElement.scrollWidth") <= width
        severe = [line for line in first.get_log("browser") if line["level"] == "SEVERE"]
        assert not [line for line in severe if "favicon" not in line["message"]]


def test_a_name_that_resolves_here_is_refused(bundle: Path, tmp_path: Path) -> None:
    silent = recording(tmp_path / "a.wav", tones([], duration_s=300.0), paced=True)
    with running(configure(bundle, [silent], web=WEB)) as run:
        run.until(("source", "a"))
        for host, expected in (("evil.example", 421), ("127.0.0.1.evil.example", 421)):
            connection = http.client.HTTPConnection(
                urlsplit(url(run.daemon)).netloc, timeout=PATIENCE_S
            )
            connection.request("GET", "/api/now", headers={"Host": host})
            assert connection.getresponse().status == expected
            connection.close()
        address = url(run.daemon)
        with urllib.request.urlopen(address, timeout=PATIENCE_S) as response:  # noqa: S310
            assert "default-src 'none'" in response.headers["Content-Security-Policy"]


def test_an_address_that_others_reach_is_refused() -> None:
    with pytest.raises(ConfigError, match="reachable from other machines"):
        parse_config({"web": {"bind": "0.0.0.0:8577"}}, origin="test")


def test_an_address_in_use_twice_is_refused() -> None:
    content = {"web": {"bind": "127.0.0.1:9577"}, "metrics": {"bind": "127.0.0.1:9577"}}
    with pytest.raises(ConfigError, match="cannot both be bound"):
        parse_config(content, origin="test")


def test_a_browser_that_reads_nothing_delays_no_end(bundle: Path, tmp_path: Path) -> None:
    silent = recording(tmp_path / "a.wav", tones([], duration_s=300.0), paced=True)
    with running(configure(bundle, [silent], web=WEB)) as run:
        run.until(("source", "a"))
        netloc = urlsplit(url(run.daemon)).netloc
        stalled = http.client.HTTPConnection(netloc, timeout=PATIENCE_S)
        stalled.request("GET", "/api/now")
        other = http.client.HTTPConnection(netloc, timeout=PATIENCE_S)
        other.request("GET", "/api/now")
        assert other.getresponse().readline().startswith(b"data: {")
        run.daemon.stop("the test is over")
        run.join()
        stalled.close()
        other.close()


@contextmanager
def refusing(port: int) -> Iterator[queue.Queue[str]]:
    """Answer 503 on a port of this machine, as a proxy without a daemon does."""
    refused: queue.Queue[str] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(503)
            refused.put(self.path)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield refused
        server.shutdown()
        thread.join()


def test_two_browsers_come_back_after_a_restart(bundle: Path, tmp_path: Path) -> None:
    def text_has(chrome: Chrome, text: str) -> None:
        WebDriverWait(chrome, PATIENCE_S).until(
            lambda chrome: text in ask(chrome, "return document.body.innerText")
        )

    before = recording(tmp_path / "before.wav", tones([], duration_s=300.0), paced=True)
    after = recording(tmp_path / "after.wav", tones([], duration_s=300.0), paced=True)
    with chromium(tmp_path / "first") as first, chromium(tmp_path / "second") as second:
        with running(configure(bundle, [before], web=WEB)) as run:
            address = url(run.daemon)
            for chrome in (first, second):
                chrome.get(address)
                text_has(chrome, "before")
        for chrome in (first, second):
            text_has(chrome, "no connection to the daemon")
        with refusing(urlsplit(address).port or 0) as refused:
            for _ in range(4):  # so at least one of the two was refused more than once
                refused.get(timeout=PATIENCE_S)
        with running(configure(bundle, [after], web={"bind": urlsplit(address).netloc})):
            for chrome in (first, second):
                text_has(chrome, "after")
                text_has(chrome, "connected")
