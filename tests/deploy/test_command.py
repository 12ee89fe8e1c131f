"""The command `tarasul`: groups, exit codes, and output that survives any locale and any reader."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import typer

from agency_adapter.command import agency_app
from deploy.command import NOT_THERE, REFUSED, exit_code, report, run, usage
from deploy.demo.command import demo_app
from schemas.errors import CATALOGUE, ErrorCode, Refused
from tests.coverage_of_codes import saw_code

TREE = Path(__file__).parents[2]
GROUPS = ("agency", "authority", "verify", "demo")
ARABIC = re.compile("[\u0600-\u06ff]")


def tarasul(*arguments: object, **environment: str) -> "subprocess.CompletedProcess[bytes]":
    """The command as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "deploy.command", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=60,
        cwd=TREE,
        env=os.environ | environment,
    )


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_names_every_group_in_both_languages(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([option]) == 0
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == (usage() + "\n", "")
    lines = printed.out.splitlines()
    for group in GROUPS:
        [number] = [n for n, line in enumerate(lines) if line.startswith(f"  {group} ")]
        assert not ARABIC.search(lines[number])
        assert ARABIC.search(lines[number + 1])


def test_the_version_is_the_distributions(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr() == (f"tarasul {version('tarasul')}\n", "")


@pytest.mark.parametrize("arguments", [[], ["nobody"], ["--nothing"], [""], ["Agency"]])
def test_an_unknown_group_is_wrong_use_and_shows_the_help_as_a_message(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.endswith(usage() + "\n")
    if arguments and arguments[0]:
        assert printed.err.startswith(f"لا أمر باسم {arguments[0]}. No such group: {arguments[0]}.")


def test_a_hostile_name_of_a_group_does_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["\x1b[2J\u202e"]) == 2
    assert not {"\x1b", "\u202e"} & set(capsys.readouterr().err)


@pytest.mark.parametrize(
    "arguments",
    [
        ["agency", "lose"],
        ["agency", "send", "--nothing"],
        ["authority", "topology", "plan", "extra"],
        ["authority", "bootstrap"],
        ["authority", "bootstrap", "x", "--broker-port", "0"],
        ["verify"],
        ["demo", "run", "--twice"],
    ],
)
def test_wrong_use_inside_a_group_is_exit_2_and_a_message(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines()[-1] == f"استعمال غير صحيح؛ بيان الأوامر والخيارات: tarasul {arguments[0]} --help"


@pytest.mark.parametrize("group", GROUPS)
def test_every_group_has_its_help(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([group, "--help"]) == 0
    assert ARABIC.search(capsys.readouterr().out)


@pytest.mark.parametrize("app", [agency_app, demo_app], ids=["agency", "demo"])
def test_every_command_says_what_it_does_in_arabic_and_english(app: typer.Typer) -> None:
    for command in app.registered_commands:
        assert command.callback is not None
        arabic, _, english = str(command.callback.__doc__).partition(" · ")
        assert ARABIC.search(arabic), arabic
        assert not re.search("[\u0600-\u06ff]", english)
        assert english.endswith(".")


# Refusals


@pytest.mark.parametrize("code", ErrorCode)
def test_a_refusal_is_exit_1_and_what_is_not_there_exit_3(code: ErrorCode) -> None:
    away = CATALOGUE[code].status in {502, 503}
    assert exit_code(Refused(code)) == (NOT_THERE if away else REFUSED)


def test_a_refusal_is_told_in_arabic_then_english_each_with_code_and_next_step(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(["authority", "topology", "check", "--config", str(tmp_path / "none.toml")]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    arabic, details, next_arabic, english, next_english = printed.err.splitlines()
    for line in (arabic, english):
        assert str(tmp_path / "none.toml") in line
        assert line.endswith("[settings_invalid]")
    assert arabic.startswith("ملف الإعدادات")
    assert details == "  التفاصيل التقنية: لا يوجد ملف ولا مجلد بهذا الاسم"
    assert english.startswith("The settings file")
    text = CATALOGUE[ErrorCode.SETTINGS_INVALID]
    assert (next_arabic, next_english) == (f"  {text.next_ar}", f"  {text.next_en}")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("authority", "topology", "check"), "settings_invalid"),
        (("authority", "dead-letters", "list"), "settings_invalid"),
        (("demo", "books", "none"), "certificate_unreadable"),
        (("agency", "inbox"), "settings_invalid"),
    ],
)
def test_with_json_a_refusal_is_one_json_object(
    arguments: tuple[str, ...], code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "deploy.command", *arguments, "--json"],
        capture_output=True,
        check=False,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(TREE)},
    )
    assert (done.returncode, done.stdout) == (1, b"")
    refused = json.loads(done.stderr)
    assert refused["code"] == code
    assert set(refused) == {"code", "detail", "detail_ar", "next_step", "next_step_ar"}


def test_the_place_is_told_but_cannot_disguise_the_message(capsys: pytest.CaptureFixture[str]) -> None:
    report(Refused(ErrorCode.UNKNOWN_MEMBER, pointer="/a\x1b[2J\n\u202eb"))
    printed = capsys.readouterr().err
    assert "(/a" in printed
    assert len(printed.splitlines()) == 4
    assert not {"\x1b", "\u202e"} & set(printed)


def test_ctrl_c_while_a_group_is_still_loading_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_module: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("deploy.command.import_module", interrupted)
    assert run(["demo", "run"]) == 130


# Whoever reads the output


def test_a_locale_that_says_ascii_still_gets_utf_8() -> None:
    ascii_only = {
        "LC_ALL": "C",
        "LANG": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONIOENCODING": "ascii",
    }
    shown = tarasul("--help", **ascii_only)
    assert (shown.returncode, shown.stdout.decode("utf-8"), shown.stderr) == (0, usage() + "\n", b"")
    refused = tarasul("authority", "topology", "check", "--config", "none.toml", **ascii_only)
    assert refused.returncode == 1
    assert refused.stderr.decode("utf-8").startswith("ملف الإعدادات")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--help",), 0),
        (("authority", "bootstrap", "{folder}/made", "--json"), 0),
        (("authority", "bootstrap", "{folder}/made"), 0),
        (("demo", "books", "{folder}"), 1),
    ],
)
def test_a_reader_that_has_gone_changes_neither_the_work_nor_its_exit_code(
    arguments: tuple[str, ...], code: int, tmp_path: Path
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "deploy.command", *(each.format(folder=tmp_path) for each in arguments)],
            stdout=pipe,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
            cwd=TREE,
        )
    assert done.returncode == code
    assert b"Traceback" not in done.stderr
    assert b"BrokenPipe" not in done.stderr
    assert (done.stderr == b"") == (code == 0)
    assert (tmp_path / "made").exists() == (arguments[0] == "authority")


def test_a_reader_that_goes_in_the_middle_has_its_first_lines() -> None:
    command = f"{sys.executable} -m deploy.command verify --help | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["/bin/bash", "-c", command], capture_output=True, check=False, timeout=60, cwd=TREE)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize("arguments", [("--help",), ("authority", "bootstrap", "{folder}/made", "--json")])
def test_a_full_disk_under_the_output_breaks_nothing_off(arguments: tuple[str, ...], tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "deploy.command", *(each.format(folder=tmp_path) for each in arguments)],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
            cwd=TREE,
        )
    assert done.returncode == 1
    assert b"output_unwritable" in done.stderr
    assert b"Traceback" not in done.stderr
    saw_code(ErrorCode.OUTPUT_UNWRITABLE)
    assert (tmp_path / "made").exists() == (arguments[0] == "authority")


def test_output_and_messages_may_be_closed_from_the_start() -> None:
    command = f"{sys.executable} -m deploy.command --help >&- 2>&-"
    assert subprocess.run(["/bin/bash", "-c", command], check=False, timeout=60, cwd=TREE).returncode == 0


# What is loaded


@pytest.mark.parametrize(
    ("group", "strange"),
    [
        ("agency", ("gateway", "deploy.demo")),
        ("authority", ("agency_adapter", "deploy.demo", "aio_pika", "fastapi")),
        ("verify", ("agency_adapter", "gateway", "broker", "deploy.demo", "aio_pika", "fastapi", "sqlalchemy")),
    ],
)
def test_a_group_loads_nothing_of_the_others(group: str, strange: tuple[str, ...]) -> None:
    code = (
        f"import sys; from deploy.command import run; run([{group!r}, '--help']); print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, cwd=TREE
    )
    loaded = done.stderr.split()
    found = [module for module in loaded if any(module == name or module.startswith(f"{name}.") for name in strange)]
    assert found == []


def test_help_and_version_load_no_group() -> None:
    code = (
        "import sys; from deploy.command import run; run(['--help']); run(['--version']); run(['nobody']);"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, cwd=TREE
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not {"agency_adapter", "gateway", "broker", "trust", "deploy.demo", "pydantic"} & loaded
