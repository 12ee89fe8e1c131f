"""What the documents say is there is there; and nothing in the tree says where it was made, or from which index."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import typer

from deploy.command import _GROUPS
from schemas.errors import CATALOGUE

TREE = Path(__file__).parents[2]
DOCUMENTS = sorted([TREE / "README.md", TREE / "CHANGELOG.md", *(TREE / "docs").rglob("*.md")])
SPOKEN = re.compile(r"(?:\.venv/bin/)?tarasul (?=[a-z-])[^`\n]*|make [a-z]+(?: [A-Z]+=\S+)*")


def _name(document: Path) -> str:
    return str(document.relative_to(TREE))


def _tracked() -> Iterator[tuple[str, str]]:
    """Name and text of every tracked file."""
    git = shutil.which("git")
    assert git is not None
    listed = subprocess.run([git, "ls-files", "-z"], cwd=TREE, capture_output=True, check=True, text=True).stdout
    for name in listed.split("\0"):
        if name and (TREE / name).is_file():
            yield name, (TREE / name).read_text("utf-8", "replace")


# Links


def _links() -> list[tuple[str, str]]:
    found = []
    for document in DOCUMENTS:
        text = re.sub(r"```.*?```|`[^`\n]*`", "", document.read_text("utf-8"), flags=re.DOTALL)
        found += [(_name(document), target) for target in re.findall(r"\]\(([^)\s]+)\)", text)]
    return found


@pytest.mark.parametrize(("document", "target"), _links())
def test_what_a_document_links_to_exists(document: str, target: str) -> None:
    if target.startswith(("https://", "http://", "mailto:")):
        return
    path, _, heading = target.partition("#")
    file = (TREE / document).parent / path if path else TREE / document
    assert file.exists(), f"{document} links to {target}"
    if heading:
        assert heading in _headings(file), f"{document} links to {target}"


def _headings(file: Path) -> set[str]:
    """Anchors as forges make them from headings."""
    lines = re.findall(r"^#+ (.+)$", file.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.strip().lower()).replace(" ", "-") for line in lines}


def test_the_readme_leads_to_every_document() -> None:
    """In a few steps, so that none is lost."""
    reached: set[Path] = set()
    waiting = [TREE / "README.md"]
    while waiting:
        document = waiting.pop()
        if document in reached or document.suffix != ".md" or not document.exists():
            continue
        reached.add(document)
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text("utf-8")):
            if "://" not in target:
                place = (document.parent / target).resolve()
                waiting += sorted(place.glob("*.md")) if place.is_dir() else [place]
    assert {_name(each) for each in DOCUMENTS} - {_name(each) for each in reached} <= {"CHANGELOG.md"}


# Commands


def _commands() -> list[tuple[str, str]]:
    """Place and text of every command that a document, or the next step of an error, tells people to type."""
    found = []
    for document in DOCUMENTS:
        text = document.read_text("utf-8")
        for block in re.findall(r"^```[a-z]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            lines = block.replace("\\\n", " ").splitlines()
            found += [
                (_name(document), line.removeprefix("$ ")) for line in lines if SPOKEN.match(line.removeprefix("$ "))
            ]
        outside = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
        found += [(_name(document), code) for code in re.findall(r"`([^`\n]+)`", outside) if SPOKEN.fullmatch(code)]
    for code, text in CATALOGUE.items():
        for said in (text.next_ar, text.next_en):
            found += [(f"error {code}", command) for command in re.findall(r"[«'](tarasul [^»']+)[»']", said)]
    return found


@pytest.mark.parametrize(("place", "command"), sorted(set(_commands())))
def test_a_command_that_people_are_told_to_type_exists(place: str, command: str) -> None:
    words = shlex.split(command, comments=True)
    if words[0] == "make":
        _check_make(words[1:])
    else:
        _check_tarasul(words[1:], f"{place}: {command}")


def _check_make(words: list[str]) -> None:
    makefile = (TREE / "Makefile").read_text("utf-8")
    target, *settings = words
    assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"no target {target}"
    for setting in settings:
        name = setting.partition("=")[0]
        recipe = re.search(rf"^{target}:.*\n((?:\t.*\n?)+)", makefile, re.MULTILINE)
        assert recipe, target
        assert f"$({name})" in recipe[1], f"make {target} knows no {name}"


def _check_tarasul(words: list[str], told: str) -> None:
    if words[0] in {"--help", "--version"}:
        return
    assert words[0] in _GROUPS, told
    module, attribute, _, _ = _GROUPS[words[0]]
    command = typer.main.get_command(getattr(import_module(module), attribute))
    rest = words[1:]
    while rest and hasattr(command, "commands"):
        name = rest.pop(0)
        if name in {"…", "--help"}:
            return
        assert name in command.commands, f"{told}: no command {name}"
        command = command.commands[name]
    assert not hasattr(command, "commands"), f"{told}: names a group, no command"
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for word in rest:
        if word in {"|", ">", "<", ";", "&&"}:
            break
        if word.startswith("-") and word != "-":
            assert word.partition("=")[0] in options | {"--help"}, f"{told}: no option {word}"


def test_the_documents_do_tell_people_to_type_something() -> None:
    """Else the tests above would look at nothing."""
    commands = [command for _, command in _commands()]
    for start in ("make demo", "make test", "tarasul agency run", "tarasul verify", "tarasul authority"):
        assert any(command.startswith(start) for command in commands), start


@pytest.mark.parametrize(
    "command",
    [
        "tarasul agency lose",
        "tarasul nobody run",
        "tarasul agency send --nothing",
        "tarasul agency",
        "tarasul authority topology",
    ],
)
def test_a_command_that_does_not_exist_would_be_noticed(command: str) -> None:
    with pytest.raises(AssertionError):
        _check_tarasul(command.split()[1:], command)


# What must not stand in the tree

# Put together here, so that this file holds none of them itself.
INDEXES = ["pypi" + ".org", "python" + "hosted", "deb.debian" + ".org", "registry.npm" + "js"]
WORKPLACES = re.compile(r"(?<![\w.~-])/(?:work|root|home|Users|tmp|workspace)/\w")


def test_no_file_names_a_package_index() -> None:
    assert [(name, index) for name, text in _tracked() for index in INDEXES if index in text] == []


def test_no_file_names_a_place_of_the_machine_that_it_was_made_on() -> None:
    assert [(name, found[0]) for name, text in _tracked() if (found := WORKPLACES.search(text))] == []


def test_such_a_place_would_be_noticed() -> None:
    assert WORKPLACES.search("see " + "/" + "root" + "/x")
    assert WORKPLACES.search('path = "' + "/" + "tmp" + '/x"')
    assert not WORKPLACES.search("docs/work/x and run/home/x")
