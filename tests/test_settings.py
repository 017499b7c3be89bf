"""The settings: where each value comes from, what is refused, and what others make of the rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring_runtime.cli.serve import parser
from scoring_runtime.errors import SettingsError
from scoring_runtime.settings import COMPATIBLE_VERSION, LENIENT_BOOLS, ROWS, Row, Settings, find_config_file

BY_NAME = {row.name: row for row in ROWS}
NUMBERS = [row for row in ROWS if row.kind is int]
STRICT_BOOLS = [row for row in ROWS if row.kind is bool and row.name not in LENIENT_BOOLS]
TEXTS = [row for row in ROWS if row.kind is str and not row.choices and row.name not in ("app_root", "config_file")]


def named(row: Row) -> str:
    return row.env


def config_file(folder: Path, **values: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(values))
    return path


def load(folder: Path, environ: dict[str, str] | None = None, **flags: Any) -> Settings:
    return Settings.load(environ or {}, flags, cwd=str(folder))


# where a value comes from


def test_defaults_where_nothing_is_said(tmp_path: Path) -> None:
    settings = load(tmp_path)

    assert {row.name: getattr(settings, row.name) for row in ROWS} == {
        **{row.name: row.default for row in ROWS},
        "app_root": str(tmp_path),  # started by the command: the current folder
    }
    assert settings.warnings == ()


def test_command_line_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    config_file(tmp_path, SCORING_PORT=1001, WORKER_COUNT=11, SERVICE_NAME="file")

    settings = load(tmp_path, {"SCORING_PORT": "1002", "WORKER_COUNT": "12"}, port="1003")

    assert (settings.port, settings.worker_count, settings.service_name) == (1003, 12, "file")
    assert settings.health_port == 5000


@pytest.mark.parametrize("row", [row for row in ROWS if row.flag], ids=named)
def test_flag_is_read_into_its_row(row: Row, tmp_path: Path) -> None:
    value = {int: "7", str: "seven"}[row.kind]
    flags = vars(parser().parse_args([row.flag, value]))

    settings = load(tmp_path, {row.env: "8"}, **{row.name: flags[row.name]})

    expected = str(Path("seven").resolve()) if row.name == "config_file" else row.kind(value)
    assert getattr(settings, row.name) == expected


def test_absent_flags_are_no_flags(tmp_path: Path) -> None:
    assert load(tmp_path, {"SCORING_PORT": "7"}, port=None).port == 7


def test_app_root_of_an_image_beats_the_current_folder(tmp_path: Path) -> None:
    assert Settings.load({"AML_APP_ROOT": "/somewhere"}, cwd=str(tmp_path)).app_root == "/somewhere"


def test_current_folder_is_asked_for_when_not_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert Settings.load({}).app_root == str(tmp_path)


# parsing, a row at a time


@pytest.mark.parametrize("row", NUMBERS, ids=named)
def test_number_is_read(row: Row, tmp_path: Path) -> None:
    settings = load(tmp_path, {row.env: " 12 "})

    assert getattr(settings, row.name) == 12


@pytest.mark.parametrize("text", ["many", "1.5", "0x10", "-1", "1e3"])
@pytest.mark.parametrize("row", NUMBERS, ids=named)
def test_wrong_number_is_named(row: Row, text: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, {row.env: text})

    assert str(caught.value).startswith(f"{row.env}: expected a whole number from {row.minimum}")
    assert repr(text) in str(caught.value)
    assert "It came from the environment." in str(caught.value)


@pytest.mark.parametrize("row", [row for row in NUMBERS if row.maximum], ids=named)
def test_number_has_an_end(row: Row, tmp_path: Path) -> None:
    assert getattr(load(tmp_path, {row.env: str(row.maximum)}), row.name) == row.maximum
    with pytest.raises(SettingsError, match=f"to {row.maximum}, got"):
        load(tmp_path, {row.env: str(row.maximum + 1)})


@pytest.mark.parametrize("value", [True, 1.5, [1], {}])
def test_number_in_a_file_is_a_number(value: object, tmp_path: Path) -> None:
    path = config_file(tmp_path, WORKER_COUNT=value)

    with pytest.raises(SettingsError, match="WORKER_COUNT: expected a whole number from 1 to 512, got") as caught:
        load(tmp_path)

    assert str(path) in str(caught.value)


def test_whole_float_in_a_file_is_a_number(tmp_path: Path) -> None:
    config_file(tmp_path, WORKER_COUNT=2.0)

    assert load(tmp_path).worker_count == 2


def test_number_without_limits_says_so() -> None:
    with pytest.raises(SettingsError, match=r"^X: expected a whole number, got 'a'\."):
        Row("x", "X", int, 0, "help").parse("a", "here")


@pytest.mark.parametrize("text", ["true", "True", "1", "yes", "on", "Y", " t "])
@pytest.mark.parametrize("row", STRICT_BOOLS, ids=named)
def test_true_is_read(row: Row, text: str, tmp_path: Path) -> None:
    assert getattr(load(tmp_path, {row.env: text}), row.name) is True


@pytest.mark.parametrize("text", ["false", "FALSE", "0", "no", "off", "n", "f", ""])
@pytest.mark.parametrize("row", STRICT_BOOLS, ids=named)
def test_false_is_read(row: Row, text: str, tmp_path: Path) -> None:
    assert getattr(load(tmp_path, {row.env: text}), row.name) is False


@pytest.mark.parametrize("row", STRICT_BOOLS, ids=named)
def test_wrong_bool_is_named(row: Row, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"{row.env}: expected true or false, got 'maybe'"):
        load(tmp_path, {row.env: "maybe"})


@pytest.mark.parametrize("name", sorted(LENIENT_BOOLS))
@pytest.mark.parametrize(("text", "value"), [("true", True), ("TRUE", True), ("1", False), ("maybe", False)])
def test_only_true_is_true_where_the_reference_is_lenient(name: str, text: str, value: bool, tmp_path: Path) -> None:
    assert getattr(load(tmp_path, {BY_NAME[name].env: text}), name) is value


@pytest.mark.parametrize("row", TEXTS, ids=named)
def test_text_is_kept_as_it_is(row: Row, tmp_path: Path) -> None:
    assert getattr(load(tmp_path, {row.env: " Text, with = signs "}), row.name) == " Text, with = signs "


def test_level_is_one_of_a_few_in_any_case(tmp_path: Path) -> None:
    assert load(tmp_path, {"AZUREML_LOG_LEVEL": "debug"}).log_level == "DEBUG"
    with pytest.raises(SettingsError, match="AZUREML_LOG_LEVEL: expected one of CRITICAL"):
        load(tmp_path, {"AZUREML_LOG_LEVEL": "loud"})


def test_empty_debug_port_is_none(tmp_path: Path) -> None:
    assert load(tmp_path, {"AZUREML_DEBUG_PORT": " "}).debug_port is None


@pytest.mark.parametrize("row", ROWS, ids=named)
def test_nothing_is_the_default(row: Row) -> None:
    assert row.parse(None, "nowhere") == row.default


@given(st.text())
def test_any_text_is_a_value_or_a_settings_error(text: str) -> None:
    for row in ROWS:
        try:
            said: object = row.parse(text, "the environment")
        except SettingsError as error:
            said = error

        assert isinstance(said, row.kind) or str(said).startswith(f"{row.env}: expected ")


# the rows themselves


def test_rows_are_told_apart() -> None:
    for names in ([row.name for row in ROWS], [row.env for row in ROWS], [row.flag for row in ROWS if row.flag]):
        assert len(names) == len(set(names))


@pytest.mark.parametrize("row", ROWS, ids=named)
def test_row_is_in_order(row: Row) -> None:
    assert row.help.endswith(".")
    assert row.default is None or row.parse(row.default, "its default") == row.default
    assert row.kind is not int or row.minimum is not None


def test_help_shows_every_flag_with_its_variable() -> None:
    text = parser().format_help()

    for row in ROWS:
        assert (f"{row.flag} {row.name.upper()}" in text and f"[{row.env}]" in text) == bool(row.flag)


# the file


def test_file_is_named_by_flag_else_by_variable(tmp_path: Path) -> None:
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    one.write_text('{"SERVICE_NAME": "one"}')
    two.write_text('{"SERVICE_NAME": "two"}')

    assert load(tmp_path, {"AZUREML_CONFIG_FILE": str(two)}, config_file=str(one)).service_name == "one"
    assert load(tmp_path, {"AZUREML_CONFIG_FILE": str(two)}).service_name == "two"


def test_file_is_looked_for_in_the_app_root_then_beside_the_script(tmp_path: Path) -> None:
    root, code = tmp_path / "root", tmp_path / "code"
    for folder in (root, code):
        folder.mkdir()
        config_file(folder, SERVICE_NAME=folder.name)
    script = str(code / "score.py")

    assert load(root, entry_script=script).service_name == "root"
    assert load(tmp_path, entry_script=script).service_name == "code"
    assert load(tmp_path, {"AZUREML_ENTRY_SCRIPT": script}).service_name == "code"
    assert load(tmp_path).service_name == "ML service"


@pytest.mark.parametrize("text", [None, ""])
def test_named_file_that_is_no_use_is_warned_about(text: str | None, tmp_path: Path) -> None:
    config_file(tmp_path, SERVICE_NAME="found")
    named = tmp_path / "named.json"
    if text is not None:
        named.write_text(text)

    settings = load(tmp_path, config_file=str(named))

    assert settings.service_name == "found"
    assert [f"{named} does not exist or is empty" in warning for warning in settings.warnings] == [True]


def test_unknown_keys_are_warned_about(tmp_path: Path) -> None:
    config_file(tmp_path, SERVICE_NAME="known", ZEBRA=1, ANT=2)

    settings = load(tmp_path)

    assert settings.service_name == "known"
    assert len(settings.warnings) == 1
    assert "Extra keys = ['ANT', 'ZEBRA']" in settings.warnings[0]


def test_null_in_the_file_is_no_value(tmp_path: Path) -> None:
    config_file(tmp_path, WORKER_COUNT=None)

    assert load(tmp_path).worker_count == 1


@pytest.mark.parametrize(
    ("data", "expected"), [(b"{", "a JSON file"), (b"[1]", "a JSON object of settings"), (b"\xff", "a JSON file")]
)
def test_broken_file_is_named(data: bytes, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(data)

    with pytest.raises(SettingsError) as caught:
        load(tmp_path)

    assert str(caught.value).startswith(f"{path}: expected {expected}, got ")
    assert str(caught.value).endswith("Repair it, or remove it.")


def test_file_is_found_by_its_real_path(tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(config_file(tmp_path, SERVICE_NAME="real"))

    assert find_config_file({}, {"config_file": str(link)}, []) == str((tmp_path / "config.json").resolve())


# the value


def test_settings_are_frozen() -> None:
    settings = Settings({"port": 7})

    with pytest.raises(AttributeError, match="settings are frozen"):
        settings.port = 8
    with pytest.raises(TypeError, match="unhashable"):
        hash(settings)
    assert settings.port == 7


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no setting 'colour'"):
        _ = Settings({}).colour


def test_replace_changes_a_copy() -> None:
    settings = Settings({"port": 7}, version_header="v", warnings=("w",))

    changed = settings.replace(port=8)

    assert (settings.port, changed.port) == (7, 8)
    assert (changed.version_header, changed.warnings) == ("v", ("w",))
    assert changed != settings
    assert changed.replace(port=7) == settings
    assert settings != "something else"


def test_repr_shows_what_was_set_and_hides_secrets() -> None:
    settings = Settings({"port": 7, "app_insights_key": "open sesame", "worker_preload": True})

    assert repr(settings) == "Settings(port=7, worker_preload=True, app_insights_key='***')".replace("'***'", "***")
    assert "sesame" not in f"{settings} {settings!r}"


def test_environ_brings_the_same_values_back(tmp_path: Path) -> None:
    values: dict[str, Any] = {row.name: 77 if row.kind is int else f"a {row.name}" for row in ROWS}
    values |= {row.name: not row.default for row in ROWS if row.kind is bool}
    values |= {row.name: row.choices[-1] for row in ROWS if row.choices}
    values |= {"app_root": str(tmp_path), "config_file": None}
    settings = Settings(values)

    again = Settings.load(settings.to_environ(), cwd="/elsewhere")

    assert again == settings


def test_environ_leaves_defaults_out() -> None:
    assert Settings({"port": 5001, "service_name": "mine"}).to_environ() == {"SERVICE_NAME": "mine"}


@pytest.mark.parametrize(
    ("environ", "header"),
    [
        ({}, COMPATIBLE_VERSION),
        ({"SERVER_VERSION_LOG_RESPONSE_ENABLED": "True"}, COMPATIBLE_VERSION),
        ({"SERVER_VERSION_LOG_RESPONSE_ENABLED": "false"}, ""),
        ({"SERVER_VERSION_LOG_RESPONSE_ENABLED": "false", "HTTP_X_MS_SERVER_VERSION": "mine"}, "mine"),
    ],
)
def test_version_header_is_on_unless_switched_off(environ: dict[str, str], header: str, tmp_path: Path) -> None:
    assert load(tmp_path, environ).version_header == header
