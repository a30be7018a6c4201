"""The configuration: what is accepted, and the one line that says what is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import streamsed.bundle
from streamsed.config import Config, override, parse_config, read_config
from streamsed.detect.fusion import Fusion
from streamsed.errors import ConfigError
from streamsed.sources.kinds.file import FileSource
from streamsed.sources.kinds.microphone import MicrophoneSource
from streamsed.sources.kinds.url import UrlSource
from tests.bundles import ToneMember, make_bundle

MINIMAL: dict[str, Any] = {"sources": [{"type": "file", "name": "a", "path": "a.wav"}]}
EXAMPLE = Path(__file__).parent.parent / "config.yaml"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def every_mistake(tmp_path: Path, text: str) -> list[str]:
    """Return what is wrong with a configuration, a line each, without the file's name."""
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    for line in caught.value.mistakes:
        assert "\n" not in line
        assert line.startswith(str(path))
    return [line.removeprefix(str(path)) for line in caught.value.mistakes]


def error_line(tmp_path: Path, text: str) -> str:
    """Return the one thing that is wrong, without file and line."""
    (line,) = every_mistake(tmp_path, text)
    return line


def test_the_example_states_the_defaults() -> None:
    assert read_config(EXAMPLE).model_dump(exclude={"bundle"}) == Config().model_dump(
        exclude={"bundle"}
    )
    written = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    assert set(written) == set(Config.model_fields)
    depend = {"bind", "path"}  # on the environment
    for part in ("retry", "publish", "journal", "detect", "clips", "metrics", "log"):
        known = set(type(getattr(Config(), part)).model_fields)
        assert set(written[part]) | depend == known | depend


def test_a_server_that_others_reach_can_be_asked_for(tmp_path: Path) -> None:
    text = "metrics: {bind: '0.0.0.0:9577', insecure: true}"
    assert read_config(write(tmp_path, text)).metrics.bind == "0.0.0.0:9577"
    assert (
        read_config(write(tmp_path, "metrics: {bind: '[::1]:9577'}")).metrics.bind == "[::1]:9577"
    )


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    config = read_config(write(tmp_path, ""))
    assert config.model_dump() == Config().model_dump()
    assert config.sources == (MicrophoneSource(name="mic"),)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bundel: x", ": bundel: unknown key; did you mean 'bundle'? known: bundle, clips"),
        ("queue_s: long", ": queue_s: input should be a valid number"),
        ("queue_s: -1", ": queue_s: input should be greater than or equal to 0.1, not -1"),
        ("queue_s: .nan", ": queue_s: "),
        ("publish: {ipc_mode: 0660}", ': publish.ipc_mode: must be in quotes, such as "0660"'),
        ("publish: {ipc_mode: rw}", ": publish.ipc_mode: string should match pattern"),
        ("publish: {curve: {clients: x}}", ": publish.curve.secret_key: missing"),
        ("clips: {pre_s: 10, max_clip_s: 5}", ": clips: max_clip_s must be more than pre_s"),
        ("clips: {sources: [dor]}", ": clips.sources: no source 'dor'; known: mic"),
        ("publish: {levels_every_s: 0.01}", ": publish.levels_every_s: 0.01 is neither 0 nor"),
        ("publish: {levels_every_s: .nan}", ": publish.levels_every_s: nan is neither 0 nor"),
        ("metrics: {bind: 9577}", ": metrics.bind: input should be a valid string"),
        ("metrics: {bind: '9577'}", ": metrics: '9577' is no address; write HOST:PORT"),
        ("metrics: {bind: '0.0.0.0:9577'}", ": metrics: '0.0.0.0:9577' is reachable from other"),
        ("metrics: {bind: 'box:9577'}", ": metrics: 'box' is no IP address"),
        ("provider: gpu", ": provider: input should be 'auto', 'cpu' or 'cuda', not 'gpu'"),
        ("provider: cpu\nrequire_gpu: true", ": require_gpu: true contradicts provider: cpu"),
        ("sources: []", ": sources: input should be a list of at least one, not an empty list"),
        ("sources: [{type: file, path: a.wav}]", ": sources[0].name: missing"),
        ("sources: [{type: flie, name: a}]", ": sources[0]: unknown type 'flie'; did you mean"),
        ("sources: [{name: a}]", ": sources[0]: type is missing"),
        (
            "sources: [{type: file, name: a, path: a.wav, pased: no}]",
            ": sources[0].pased: unknown key; did you mean 'paced'? known: channel, gain_db, name",
        ),
        ("sources: [{type: file, name: a/b, path: a.wav}]", ": sources[0].name: "),
        (
            "sources: [{type: microphone, name: m}, {type: file, name: m, path: a.wav}]",
            ": sources: 2 sources are named 'm'; give each its own name",
        ),
        ("sources: [{type: microphone, name: daemon}]", ": sources: no source may be named"),
        (
            "sources: [{type: pipe, name: a}, {type: pipe, name: b}]",
            ": sources: there is one standard input",
        ),
        (
            "publish: {bind: []}",
            ": publish.bind: input should be a list of at least one, not an empty list",
        ),
        ("publish: {bind: ['5577']}", ": publish: '5577' is no address; write tcp://HOST:PORT"),
        (
            "publish: {bind: ['tcp://0.0.0.0:5577']}",
            ": publish: 'tcp://0.0.0.0:5577' is reachable from other machines",
        ),
        ("publish: {hearbeat_s: 1}", ": publish.hearbeat_s: unknown key; did you mean 'heartbeat"),
        ("detect: {classes: {Dog: {enter: 2}}}", ": detect.classes.Dog.enter: input should be"),
        (
            "detect: {classes: {Dog: {entre: 0.2}}}",
            ": detect.classes.Dog.entre: unknown key; did you mean 'enter'? known: enabled, enter",
        ),
        ("detect: {update_every_s: -1}", ": detect.update_every_s: "),
        ("log: {level: loud}", ": log.level: "),
        ("log: loud", ": log: input should be a mapping of keys to values, not 'loud'"),
        ("log:", ": log: input should be a mapping of keys to values, not null"),
        ("detect: [1]", ": detect: input should be a mapping of keys to values, not a list"),
        ("detect: {classes: [1]}", ": detect.classes: input should be a mapping of keys to values"),
        ("detect: {classes: {Dog: 3}}", ": detect.classes.Dog: input should be a mapping of keys"),
        ("sources: mic", ": sources: input should be a list, not 'mic'"),
        ("sources: {a: 1}", ": sources: input should be a list, not a mapping"),
        ("sources: [3]", ": sources[0]: input should be a mapping of keys to values, not 3"),
        ("publish: {bind: tcp://x}", ": publish.bind: input should be a list, not 'tcp://x'"),
        ("bundle: 3", ": bundle: input should be a path, not 3"),
        ("bundle: 2026-01-02", ": bundle: input should be a path, not date"),
        ("queue_s: [1]", ": queue_s: input should be a valid number, not a list"),
        ("queue_s: 1\nqueue_s: 2", ":2: is no YAML: key 'queue_s' is given twice"),
        ("detect:\n  classes:\n    Dog: {}\n    Dog: {}", ":4: is no YAML: key 'Dog' is given twi"),
        ("queue_s: [1", ":1: is no YAML: "),
        ("a: b: c", ":1: is no YAML: mapping values are not allowed here"),
        ("- 1", ": is no mapping of keys to values"),
        ("[1, 2]: 3", ": is no YAML: "),
        ("? {a: 1}\n: 3", ": is no YAML: "),
        ("1: 2", ": 1: "),
    ],
)
def test_mistakes_are_one_line_that_names_the_key(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in error_line(tmp_path, text)


def test_all_mistakes_are_named_in_order_with_file_line_and_key(tmp_path: Path) -> None:
    found = every_mistake(
        tmp_path,
        """\
bundel: x
threads: 0
sources:
  - {type: file, name: a, path: a.wav, pased: no}
  - type: url
    name: b c
    url: 3
  - type: microphone
    name: a
    device: [1]
    channel: middle
  - {type: microphone, name: m, channel: -1}
retry: {first_s: 20, most_s: 5}
detect:
  classes:
    on: {enter: 2}
    Dog: {min_on_s: 010}
clips: {sources: [dor], classes: [yes]}
queue_s: 0
queue_s: 1
""",
    )
    keys = [line.split(": ")[:2] for line in found]
    assert keys == [
        [":1", "bundel"],
        [":2", "threads"],
        [":3", "sources"],
        [":4", "sources[0].pased"],
        [":6", "sources[1].name"],
        [":7", "sources[1].url"],
        [":10", "sources[2].device"],
        [":11", "sources[2].channel"],
        [":12", "sources[3].channel"],
        [":13", "retry"],
        [":16", "detect.classes.on.enter"],
        [":16", "detect.classes.on"],
        [":17", "detect.classes.Dog.min_on_s"],
        [":18", "clips.classes[0]"],
        [":18", "clips.sources"],
        [":19", "queue_s"],
        [":20", "is no YAML"],
    ]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("type: url, url: 3", 'url: input should be a valid string, not 3; in quotes, "3", it is'),
        ("type: url, url: rtsp://cam, stall_s: soon", "stall_s: input should be a valid number"),
        ("type: pipe, channel: middle", "channel: input should be 'mix', 'left', 'right' or a wh"),
        ("type: pipe, channel: -1", "channel: input should be greater than or equal to 0, not -1"),
        ("type: pipe, channel: 1.5", "channel: input should be 'mix', 'left', 'right' or a whole"),
        ("type: microphone, device: [1]", "device: input should be text or a whole number, not a "),
        ("type: file, path: [a.wav]", "path: input should be a path, not a list"),
        ("type: pipe, pipe: 3", "pipe: unknown key"),
        ("type: pipe, format: off", "format: input should be '"),
    ],
)
def test_a_mistake_in_a_source_is_one_line_with_the_keys_that_were_written(
    tmp_path: Path, entry: str, expected: str
) -> None:
    text = f"sources:\n- {{type: microphone, name: m}}\n- {{name: a, {entry}}}"
    assert error_line(tmp_path, text).startswith(f":3: sources[1].{expected}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "detect:\n  classes: {on: {}}",
            ":2: detect.classes.on: key on is true for YAML, not text; ",
        ),
        ("detect:\n  classes: {No: {}}", ":2: detect.classes.No: key No is false for YAML, not"),
        ("detect:\n  classes: {1: {}}", ":2: detect.classes.1: key 1 is 1 for YAML, not text; in"),
        (
            "clips:\n  classes: [off]",
            ":2: clips.classes[0]: input should be a valid string, not fa",
        ),
        ("threads: 010", ":1: threads: 010 is 8 for YAML, which takes it for base 8; write that"),
        ("queue_s: 1:30", ":1: queue_s: 1:30 is 90 for YAML, which takes it for base 60; write t"),
        (
            "detect:\n  classes: {Dog: {enter: on}}",
            ":2: detect.classes.Dog.enter: input should be a",
        ),
        ("queue_s: yes", ":1: queue_s: input should be a number, not true, as YAML takes yes"),
        (
            "sources: [{type: pipe, name: a, channels: true}]",
            "].channels: input should be a number",
        ),
        (
            "publish: {bind: ['tcp://[::1]:5577', 'tcp://[::1]:5578']}",
            "'tcp://[::1]:5578' is in the way of 'tcp://[::1]:5578', where requests are answered",
        ),
        (
            "sources: [{type: url, name: a, url: 'file:///x'}]",
            "].url: 'file:///x' is a file; type:",
        ),
        ("log:\n\tlevel: info", ":2: is no YAML: there is a tab; YAML indents with spaces"),
        ("log: &l {<<: 3}", ":1: is no YAML: << takes an alias of a mapping"),
        ("log: &l {<<: *l}", ":1: is no YAML: it is nested too deeply, or an alias holds itself"),
        ("sources: &l [*l]", ":1: is no YAML: it is nested too deeply, or an alias holds itself"),
        ("sources: " + "[" * 5000, ": is no YAML: it is nested too deeply"),
        ("bundle: 2026-13-01", ":1: is no YAML: 2026-13-01: month must be in 1..12"),
        ("bundle: !!python/name:os.system x", ":1: is no YAML: could not determine a construct"),
        (
            "publish: {bind: ['tcp://[::1]:1', 'tcp://*:2'], insecure: true}",
            ":1: publish: 'tcp://*:2'",
        ),
        ("metrics: {bind: '127.0.0.1:5578'}", ": metrics.bind '127.0.0.1:5578' and 'tcp://127.0.0"),
        ("retry: {first_s: 20, most_s: 5}", ":1: retry: first_s 20 is more than most_s 5"),
    ],
)
def test_traps_of_yaml_and_contradictions(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in error_line(tmp_path, text)


def test_aliases_that_stand_for_more_and_more_are_bounded(tmp_path: Path) -> None:
    lines = ["a0: &a0 {k: v}"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert "with aliases written out" in error_line(tmp_path, "\n".join(lines))
    merges = ["a0: &a0 {k: v}"]
    merges += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 12)]
    assert "with aliases written out" in error_line(tmp_path, "\n".join(merges))


def test_merge_keys(tmp_path: Path) -> None:
    text = """\
sources:
  - &cam {type: url, name: one, url: "rtsp://a/1", stall_s: 3, silence_s: 7}
  - &slow
    <<: *cam
    name: two
    stall_s: 30
  - {<<: [*slow, *cam], name: three}
  - <<: *slow
    name: four
    <<: {silence_s: 9, required: true}
"""
    one, two, three, four = read_config(write(tmp_path, text)).sources
    assert isinstance(one, UrlSource)
    assert two == one.model_copy(update={"name": "two", "stall_s": 30.0})
    assert three == two.model_copy(update={"name": "three"})
    assert four == two.model_copy(update={"name": "four", "required": True})
    wrong = text.replace("silence_s: 7", "silence_s: -7")
    found = every_mistake(tmp_path, wrong)
    assert [line.split(": ")[:2] for line in found] == [
        [":2", f"sources[{n}].silence_s"] for n in range(4)
    ]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path, expected in [
        (tmp_path / "none.yaml", "No such file"),
        (tmp_path, "Is a directory"),
    ]:
        with pytest.raises(ConfigError, match=expected):
            read_config(path)
    (tmp_path / "latin.yaml").write_bytes(b"bundle: caf\xe9")
    with pytest.raises(ConfigError, match="no UTF-8 text"):
        read_config(tmp_path / "latin.yaml")
    (tmp_path / "control.yaml").write_bytes(b"bundle: \x01")
    with pytest.raises(ConfigError, match="no YAML"):
        read_config(tmp_path / "control.yaml")


def test_paths_are_beside_the_file_if_they_are_there(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "manifest.yaml").touch()
    config = read_config(
        write(
            tmp_path,
            "bundle: mine\nsources: [{type: file, name: a, path: a.wav}, "
            "{type: file, name: b, path: elsewhere.wav}]",
        )
    )
    assert config.bundle_folder == tmp_path / "mine"
    paths = [source.path for source in config.sources if isinstance(source, FileSource)]
    assert paths == [tmp_path / "a.wav", Path("elsewhere.wav")]
    assert config.origin == str(tmp_path / "config.yaml")


def test_an_insecure_bind_must_be_asked_for() -> None:
    publish = {"bind": ["tcp://0.0.0.0:5577"], "insecure": True}
    assert parse_config(MINIMAL | {"publish": publish}, origin="x").publish.bind == (
        "tcp://0.0.0.0:5577",
    )


def test_the_command_line_replaces_what_the_file_says(tmp_path: Path) -> None:
    config = read_config(write(tmp_path, "threads: 2\npublish: {heartbeat_s: 5}"))
    changed = override(
        config,
        {"provider": "cpu", "publish": {"bind": ["tcp://127.0.0.1:1234"]}},
        origin="command line",
    )
    assert (changed.threads, changed.provider) == (2, "cpu")
    assert (changed.publish.heartbeat_s, changed.publish.bind) == (5.0, ("tcp://127.0.0.1:1234",))
    assert changed.origin == config.origin
    with pytest.raises(ConfigError, match=r"^command line: publish: '5577' "):
        override(config, {"publish": {"bind": ["5577"]}}, origin="command line")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> streamsed.bundle.Manifest:
    members = (ToneMember(name="dull"), ToneMember(name="sharp", sharpness=4.0))
    folder = make_bundle(
        tmp_path_factory.mktemp("bundle"),
        members=members,
        postprocessing={"low": {"enter": 0.7, "exit": 0.4, "max_on_s": 30.0, "median_s": 0.2}},
    )
    return streamsed.bundle.load(folder).manifest


def config_of(**detect: Any) -> Config:
    return parse_config(MINIMAL | {"detect": detect}, origin="c.yaml")


def test_overrides_change_what_they_name_and_nothing_else(
    manifest: streamsed.bundle.Manifest,
) -> None:
    config = config_of(classes={"low": {"enter": 0.9, "max_on_s": None}, "mid": {"enabled": False}})
    merged = config.postprocessing(manifest)
    assert merged["low"].model_dump() == manifest.postprocessing["low"].model_dump() | {
        "enter": 0.9,
        "max_on_s": None,
    }
    assert merged["high"] == manifest.postprocessing["high"]
    assert config.disabled == {"mid"}


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (
            {"lwo": {}},
            r"^c\.yaml: detect\.classes\.lwo: no class of .* mean 'low'\? known: high, low, mid$",
        ),
        ({"low": {"exit": 0.8}}, r"^c\.yaml: detect\.classes\.low: exit 0\.8 is above enter 0\.7"),
        ({"low": {"enter": 0.3}}, r"exit 0\.4 is above enter 0\.3"),
        ({"low": {"min_on_s": 60}}, r"max_on_s 30\.0 is below min_on_s 60"),
        (
            {label: {"enabled": False} for label in ("low", "mid", "high")},
            "every class is switched off",
        ),
    ],
)
def test_overrides_that_do_not_fit_the_bundle(
    manifest: streamsed.bundle.Manifest, classes: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ConfigError, match=expected):
        config_of(classes=classes).postprocessing(manifest)


def test_fusion_weights_name_members(manifest: streamsed.bundle.Manifest) -> None:
    assert config_of().fusion_weights(manifest) is None
    for weights in ({"dull": 1.0, "sharp": 0.1}, {"dull": 3.0}, {}):
        accepted = config_of(fusion_weights=weights).fusion_weights(manifest)
        assert accepted == weights
        Fusion(manifest, manifest.postprocessing, accepted)
    expected = r"^c\.yaml: detect\.fusion_weights\.shrap: no member of .* 'sharp'\? known: dull, sh"
    with pytest.raises(ConfigError, match=expected):
        config_of(fusion_weights={"dull": 1.0, "shrap": 1.0}).fusion_weights(manifest)
    with pytest.raises(ConfigError, match=r"detect\.fusion_weights\.sharp: .* 0"):
        config_of(fusion_weights={"sharp": 0.0})


def test_a_bundle_at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    config = read_config(write(tmp_path, "bundle: ~/models/mine"))
    assert config.bundle == Path("/home/somebody/models/mine")
    assert error_line(tmp_path, "bundle: ~nobody.at.all/x").startswith(":1: bundle: '~nobody.at.a")
