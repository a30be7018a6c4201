"""The report in a real browser: it shows everything, asks for nothing, fits, and can be read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from streamsed.evaluate.evaluation import Evaluation
from streamsed.evaluate.measure import evaluate
from streamsed.evaluate.metrics.detections import operating_point
from streamsed.evaluate.report import write_report
from tests.evaluate.browser import ask, chromium, show
from tests.evaluate.report_data import draw_data, publish, write_audio

LABELS = ("Alarm_bell_ringing", "Electric_shaver_toothbrush", "<script>boo()</script>" * 3, "Cat")
HOSTILE = "<script>document.title='taken'</script><img src=x onerror=alert(1)>" * 2 + ".wav"


@dataclass(frozen=True)
class Written:
    """A report and what it is of."""

    path: Path
    evaluation: Evaluation


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("report")
    data = draw_data(classes=LABELS, recordings=(HOSTILE, "b.wav", "c.wav", "d.wav"))
    point = operating_point(data)
    assert point is not None
    data = replace(
        data,
        events=point.events,
        decided=publish(point.events, delay_s=0.6),
        audio=write_audio(folder, data),
        class_thresholds=dict.fromkeys(LABELS, 0.5),
        evaluated="bundle <b>it</b>",
    )
    evaluation = evaluate(data, bootstrap=20)
    assert evaluation.latency
    assert evaluation.f1_over_threshold
    return Written(write_report(evaluation, data, folder), evaluation)


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def test_it_asks_for_nothing_and_complains_of_nothing(chrome: Chrome, written: Written) -> None:
    show(chrome, written.path, width=1400)
    page = written.path.as_uri()
    events = [json.loads(entry["message"])["message"] for entry in chrome.get_log("performance")]
    requests = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent" and event["params"]["documentURL"] == page
    ]
    assert [url for url in requests if not url.startswith("data:")] == [page]
    fetched = ask(chrome, "return performance.getEntriesByType('resource').map((e) => e.name)")
    assert [url for url in fetched if not url.startswith("data:")] == []
    assert chrome.get_log("browser") == []
    assert chrome.title == "Evaluation"


def test_the_policy_of_the_page_forbids_fetching(chrome: Chrome, written: Written) -> None:
    show(chrome, written.path, width=1400)
    refused = """
        const done = arguments[0];
        document.addEventListener("securitypolicyviolation", (e) => done(e.violatedDirective));
        const image = new Image();
        image.src = "http://127.0.0.1:9/x.png";
        document.body.append(image);
    """
    chrome.set_script_timeout(30)
    assert chrome.execute_async_script(refused) == "img-src"  # type: ignore[no-untyped-call]
    chrome.get_log("browser")  # it says so there too


def test_every_picture_has_a_size_and_every_spectrogram_loads(
    chrome: Chrome, written: Written
) -> None:
    show(chrome, written.path, width=1400)
    sizes = ask(
        chrome,
        "return [...document.querySelectorAll('svg.chart')].map((s) => {"
        "const b = s.getBoundingClientRect(); return [b.width, b.height]})",
    )
    assert len(sizes) >= 2 + len(LABELS) + 2 + 3  # PSD-ROC, F1, latency, recordings
    assert all(width > 150 and height > 80 for width, height in sizes)
    loaded = """
        const done = arguments[0];
        const load = (address) => new Promise((resolve) => {
          const image = new Image();
          image.onload = () => resolve(image.naturalWidth * image.naturalHeight);
          image.onerror = () => resolve(0);
          image.src = address;
        });
        const images = [...document.querySelectorAll("svg image")];
        Promise.all(images.map((i) => load(i.href.baseVal))).then(done);
    """
    areas = chrome.execute_async_script(loaded)  # type: ignore[no-untyped-call]
    assert len(areas) >= 3
    assert all(area >= 80 * 100 for area in areas)


def test_headlines_are_the_figures(chrome: Chrome, written: Written) -> None:
    show(chrome, written.path, width=1400)
    shown = ask(
        chrome,
        "return [...document.querySelectorAll('.card')].map((c) =>"
        "[c.dataset.key, c.querySelector('.value').innerText])",
    )
    assert [key for key, _ in shown] == [metric.key for metric in written.evaluation.metrics]
    for metric, (_, text) in zip(written.evaluation.metrics, shown, strict=True):
        value = float(text.removesuffix(" %")) / (100 if text.endswith("%") else 1)
        assert value == pytest.approx(metric.value, abs=5.001e-4)


def test_tables_are_sorted_by_their_heads(chrome: Chrome, written: Written) -> None:
    show(chrome, written.path, width=1400)

    def column(number: int) -> list[str]:
        cells: list[str] = ask(
            chrome,
            "return [...document.querySelector('table.errors').tBodies[0].rows]"
            f".map((r) => r.cells[{number}].innerText)",
        )
        return cells

    def click(number: int) -> str:
        direction: str = ask(
            chrome,
            f"const h = document.querySelector('table.errors').tHead.rows[0].cells[{number}];"
            "h.querySelector('button').click(); return h.ariaSort",
        )
        return direction

    missed = [str(of.missed) for of in written.evaluation.counts.values()]
    assert column(4) == missed
    assert click(4) == "descending"
    assert column(4) == sorted(missed, key=int, reverse=True)
    assert click(4) == "ascending"
    assert column(4) == sorted(missed, key=int)
    assert click(0) == "ascending"
    assert column(0)[-1].startswith("Electric")
    assert len(ask(chrome, "return [...document.querySelectorAll('[aria-sort]')]")) == 1


def test_a_name_in_the_legend_brings_out_its_line(chrome: Chrome, written: Written) -> None:
    show(chrome, written.path, width=1400)
    faded = (
        "const item = document.querySelectorAll('[data-line]')[1]; item.focus();"
        "const chart = document.getElementById(item.dataset.line).closest('svg');"
        "return [...chart.querySelectorAll('g[id*=\"-class\"]')]"
        ".map((g) => getComputedStyle(g).opacity)"
    )
    opacities = ask(chrome, faded)
    assert [float(value) for value in opacities] == [0.12, 1.0, 0.12, 0.12]


@pytest.mark.parametrize("width", [390, 800, 1400])
def test_nothing_is_wider_than_the_page(chrome: Chrome, written: Written, width: int) -> None:
    show(chrome, written.path, width=width)
    assert ask(chrome, "return document.documentElement.scrollWidth") == width
    spilled = ask(
        chrome,
        "return [...document.querySelectorAll('body *')].filter((e) =>"
        " !e.closest('.scroll') && !e.closest('svg') && e.getBoundingClientRect().right >"
        " innerWidth + 1).map((e) => e.outerHTML.slice(0, 80))",
    )
    assert spilled == []


def test_labels_and_marks_stay_in_their_pictures(chrome: Chrome, written: Written) -> None:
    show(chrome, written.path, width=1400)
    cut = ask(
        chrome,
        "return [...document.querySelectorAll('svg.chart text')].filter((t) => {"
        "const a = t.getBoundingClientRect(), b = t.closest('svg').getBoundingClientRect();"
        "return a.left < b.left - 1 || a.right > b.right + 1 || a.top < b.top - 1 ||"
        " a.bottom > b.bottom + 1}).map((t) => t.textContent)",
    )
    assert cut == []


def test_spectrogram_and_lanes_share_one_time_axis(chrome: Chrome, written: Written) -> None:
    show(chrome, written.path, width=1400)
    ends = ask(
        chrome,
        "return [...document.querySelectorAll('.picture')].map((p) => {"
        "const b = p.querySelector('image').getBoundingClientRect();"
        "const a = p.querySelector('[id$=\"time\"]').getBoundingClientRect();"
        "return [b.left, b.right, a.left, a.right]})",
    )
    assert len(ends) >= 3
    for left, right, axis_left, axis_right in ends:
        assert left == pytest.approx(axis_left, abs=1.5)
        assert right == pytest.approx(axis_right, abs=1.5)
    assert len({round(left) for left, *_ in ends}) == 1


CONTRAST = """
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
  const behind = (element) => {
    const root = document.documentElement;
    if (!element) return rgba(getComputedStyle(root).getPropertyValue("--paper"));
    return over(rgba(getComputedStyle(element).backgroundColor), behind(element.parentElement));
  };
  const light = (c) => [0.2126, 0.7152, 0.0722].reduce((sum, share, i) => {
    const v = c[i] / 255;
    return sum + share * (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  }, 0);
  const worst = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || ["SCRIPT", "STYLE", "title"].includes(element.tagName)) continue;
    const style = getComputedStyle(element), below = behind(element.closest("svg") ?? element);
    const ink = rgba(element.closest("svg") ? style.fill : style.color);
    const [a, b] = [light(over(ink, below)), light(below)];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) worst.push(contrast.toFixed(2) + " " + element.outerHTML.slice(0, 90));
  }
  return worst;
"""


@pytest.mark.parametrize("dark", [False, True])
def test_text_can_be_read_in_light_and_dark(chrome: Chrome, written: Written, dark: bool) -> None:
    show(chrome, written.path, width=1400, dark=dark)
    paper = ask(chrome, "return getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)")
    assert ask(chrome, CONTRAST) == []


def test_it_can_be_read_without_scripts(chrome: Chrome, written: Written) -> None:
    chrome.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        show(chrome, written.path, width=1400)
        text = chrome.find_element("tag name", "main").text
    finally:
        chrome.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    for label, of in written.evaluation.counts.items():
        shown = label if len(label) <= 40 else label[:20]
        assert shown in text
        assert f"{of.truth} {of.found} {of.hits} {of.missed} {of.wrong}" in text
