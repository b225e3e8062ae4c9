"""The rules no linter knows, on the whole tree; `rules.py` says them, `test_rules_bite.py` proves that they see."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.tidy import rules

Rule = Callable[[Path, str], Iterator[str]]

CODE = (*rules.ROOMS, "tests", "bench", "scripts", "faults", "examples")


def findings(rule: Rule, files: Iterator[Path]) -> str:
    return "\n".join(line for path in files for line in rule(path, path.read_text(encoding="utf-8")))


def tracked(*patterns: str) -> Iterator[Path]:
    """Text files git knows or would add: nothing that a build made. All but well-known folders where git is missing."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    try:
        listing = subprocess.run(command, cwd=rules.ROOT, capture_output=True, text=True, check=True).stdout
        files = [rules.ROOT / name for name in sorted(set(listing.splitlines()))]
    except (OSError, subprocess.CalledProcessError):
        files = list(walk(rules.ROOT, "*" if patterns == (".",) else patterns[0]))
    for path in files:
        if path.is_file() and path.suffix not in {".gz", ".png", ".ico", ".hex"}:
            yield path


def walk(folder: Path, pattern: str) -> Iterator[Path]:
    """Files below a folder, without what builds and tools make."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if path.name not in MADE:
                yield from walk(path, pattern)
        elif path.match(pattern):
            yield path


MADE = {"__pycache__", "node_modules", "data", "build", "dist"}


def test_rooms_that_decide_validity_are_deterministic() -> None:
    assert findings(rules.determinism, rules.python_files(*rules.DETERMINISTIC)) == ""


def test_modules_and_functions_can_be_taken_in() -> None:
    assert findings(rules.size, rules.python_files(*CODE)) == ""


def test_every_package_has_a_door_sign() -> None:
    packages = {path.parent for path in rules.python_files(*rules.ROOMS)}
    missing = [rules.name_of(folder) for folder in sorted(packages) if not (folder / "__init__.py").exists()]

    assert missing == []
    assert findings(rules.door_sign, (p for p in rules.python_files(*rules.ROOMS) if p.name == "__init__.py")) == ""


def test_nothing_ties_the_project_to_one_machine() -> None:
    assert findings(rules.words, tracked(".")) == ""


def test_links_of_the_documents_lead_somewhere() -> None:
    assert findings(rules.links, tracked("*.md")) == ""


def test_every_document_can_be_found() -> None:
    assert "\n".join(rules.orphans(rules.ROOT / "docs")) == ""


def test_code_the_documents_name_exists() -> None:
    assert findings(rules.named_code, tracked("*.md")) == ""


def test_the_packages_that_run_are_those_of_this_repository() -> None:
    import aitoken
    import chain
    import cli
    import consensus
    import node

    strays = [m.__name__ for m in (aitoken, chain, cli, consensus, node) if rules.ROOT not in Path(m.__file__).parents]

    assert strays == [], "another package of the same name is installed: use this repository's own environment"


def test_test_files_have_names_of_their_own() -> None:
    """Two modules of one name hide each other in reports, and pytest's importlib mode imports only by path."""
    names = [path.name for path in rules.python_files("tests") if path.name.startswith("test_")]

    assert sorted({name for name in names if names.count(name) > 1}) == []
