"""The house rules as functions from a file to findings; each finding names the cure.

Kept apart from the tests so that the rules themselves can be tested on planted mistakes.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
ROOMS: Final = ("aitoken", "chain", "consensus", "node", "gateway", "cli", "simulation")
DETERMINISTIC: Final = ("chain", "consensus", "aitoken/codec", "aitoken/pay", "aitoken/proto")
MODULE_LINES_MAX: Final = 600
FUNCTION_LINES_MAX: Final = 70

BANNED_CALLS: Final = {
    "hash": "its value differs per process: use aitoken.crypto.hashing or the value itself",
    "id": "an address in memory differs per process: compare values or keep an index",
    "float": "floats round differently from money: use integers, and `mul_div` for fractions",
    "round": "it rounds to even and makes floats: use `//` with the rounding named",
    "set": "",  # allowed as such; iterating one is found by `_iterates_set`
}
_SET_MAKERS: Final = ("set", "frozenset")

# Words of a machine or of a registry, split so that this file does not contain them.
BANNED_WORDS: Final = {
    "pythonhosted" + ".org": "the lock file names packages and hashes, never a host",
    "pypi" + ".org": "the lock file names packages and hashes, never a host",
    "registry.npmjs" + ".org": "the lock file names packages and hashes, never a host",
    "index" + "-url": "which registry is used is the machine's configuration, not the project's",
    "extra-index" + "-url": "which registry is used is the machine's configuration, not the project's",
}
_MACHINE_PATH: Final = re.compile(r"(?<![\w.$}~-])/(?:root|work|home)/[\w.]")
_SHARED_FOLDER: Final = re.compile(r"(?:\.\./|/work/)shared|(?<!\w)shared/(?:vectors|design|acceptance)")


def python_files(*rooms: str) -> Iterator[Path]:
    """Every module of these folders, sorted."""
    for room in rooms:
        yield from sorted(path for path in (ROOT / room).rglob("*.py") if "__pycache__" not in path.parts)


def name_of(path: Path) -> str:
    """The path as a person types it."""
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name


def determinism(path: Path, text: str) -> Iterator[str]:
    """What may differ between two machines: floats, asserts, process-dependent order and numbers."""
    tree = ast.parse(text)
    sets = _names_of_sets(tree)
    dunder_hash = {inner for node in ast.walk(tree) if _is_dunder_hash(node) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if node not in dunder_hash and (found := _nondeterminism(node, sets)):
            yield f"{name_of(path)}:{getattr(node, 'lineno', 0)}: {found}"


def _is_dunder_hash(node: ast.AST) -> bool:
    """The one place where `hash()` belongs: dictionaries ask for it and keep no trace of its value."""
    return isinstance(node, ast.FunctionDef) and node.name == "__hash__"


def _nondeterminism(node: ast.AST, sets: frozenset[str]) -> str:
    match node:
        case ast.Constant(value=float()):
            return "float literal: use integers (parts per billion, or `mul_div`)"
        case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
            return "`/` makes a float: use `//` or `mul_div` with the rounding named"
        case ast.Assert():
            return "assert vanishes under -O: raise a Rejected, or call aitoken.errors.invariant"
        case ast.Call(func=ast.Name(id=name)) if BANNED_CALLS.get(name):
            return f"{name}(): {BANNED_CALLS[name]}"
        case ast.For(iter=source) | ast.comprehension(iter=source) if _iterates_set(source, sets):
            return "iterating a set: its order differs per process, sort it or keep a dict or list"
        case ast.Call(func=ast.Name(id="list" | "tuple" | "iter" | "enumerate" | "map" as name), args=arguments) if any(
            _iterates_set(argument, sets) for argument in arguments
        ):
            return f"{name}() over a set: its order differs per process, use sorted()"
    return ""


def _iterates_set(source: ast.expr, sets: frozenset[str]) -> bool:
    match source:
        case ast.Set() | ast.SetComp() | ast.Call(func=ast.Name(id="set" | "frozenset")):
            return True
        case ast.Name(id=name):
            return name in sets
        case ast.Attribute(attr=name):
            return f".{name}" in sets
        case ast.BinOp(op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor(), left=left, right=right):
            return _iterates_set(left, sets) or _iterates_set(right, sets)
    return False


def _names_of_sets(tree: ast.Module) -> frozenset[str]:
    """Names and `.attributes` this module annotates or assigns as sets."""
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.AnnAssign(target=target, annotation=annotation) if _is_set_type(annotation):
                found.add(_target(target))
            case ast.arg(arg=name, annotation=ast.expr() as annotation) if _is_set_type(annotation):
                found.add(name)
            case ast.Assign(targets=[target], value=value) if _makes_set(value):
                found.add(_target(target))
    return frozenset(found - {""})


def _target(target: ast.expr) -> str:
    match target:
        case ast.Name(id=name):
            return name
        case ast.Attribute(attr=name):
            return f".{name}"
    return ""


def _makes_set(value: ast.expr) -> bool:
    match value:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Call(func=ast.Name(id=name)):
            return name in _SET_MAKERS
    return False


def _is_set_type(annotation: ast.expr) -> bool:
    match annotation:
        case ast.Name(id=name):
            return name in _SET_MAKERS
        case ast.Subscript(value=ast.Name(id=name)):
            return name in _SET_MAKERS
    return False


def size(path: Path, text: str) -> Iterator[str]:
    """Modules and functions a newcomer can take in."""
    lines = text.count("\n")
    if lines > MODULE_LINES_MAX:
        yield f"{name_of(path)}: {lines} lines: split it by concept, {MODULE_LINES_MAX} is the most"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES_MAX:
                cure = f"let it branch and move the work to functions, {FUNCTION_LINES_MAX} is the most"
                yield f"{name_of(path)}:{node.lineno}: {node.name} has {length} lines: {cure}"


def door_sign(path: Path, text: str) -> Iterator[str]:
    """A package's `__init__.py` says what the room is and nothing else."""
    tree = ast.parse(text)
    if not ast.get_docstring(tree) or len(tree.body) != 1:
        yield f"{name_of(path)}: a door sign is one docstring: move code into a module, import from where it is defined"


def words(path: Path, text: str) -> Iterator[str]:
    """No registry host and no path of one machine; the shared folder only as a default inside tests/support."""
    name = name_of(path)
    for number, line in enumerate(text.splitlines(), 1):
        for word, cure in BANNED_WORDS.items():
            if word in line:
                yield f"{name}:{number}: {word}: {cure}"
        if _MACHINE_PATH.search(line):
            yield f"{name}:{number}: a path of one machine: compute it from the repository, or take it as an argument"
        if _SHARED_FOLDER.search(line) and not name.startswith("tests/support/"):
            yield f"{name}:{number}: the folder beside the repository: only tests/support knows its default place"


_LINK: Final = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE: Final = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def links(path: Path, text: str) -> Iterator[str]:
    """Links inside the repository lead somewhere, anchors included."""
    for target in _LINK.findall(_CODE.sub("", text)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        place = (path.parent / file).resolve() if file else path
        if not place.exists():
            yield f"{name_of(path)}: the link to {target} leads nowhere: correct it or write the page"
        elif anchor and place.suffix == ".md" and anchor not in anchors(place.read_text(encoding="utf-8")):
            yield f"{name_of(path)}: {target}: no such heading in {name_of(place)}"


def orphans(start: Path) -> Iterator[str]:
    """Every page below a folder can be reached from its `README.md` by links."""
    reached, waiting = set[Path](), [start / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or not page.is_file():
            continue
        reached.add(page)
        targets = _LINK.findall(_CODE.sub("", page.read_text(encoding="utf-8")))
        waiting += [(page.parent / target.partition("#")[0]).resolve() for target in targets if ".md" in target]
    for page in sorted(start.rglob("*.md")):
        if page not in reached:
            yield f"{name_of(page)}: no page leads here: link it from the README.md of its folder"


def anchors(text: str) -> frozenset[str]:
    """The anchors of a page's headings, as renderers make them."""
    headings = re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE)
    return frozenset(re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings)


_GUARD: Final = re.compile(r"`([\w.]+/[\w/.]+\.py)(?:(: |::)(\w+))?`")


def named_code(path: Path, text: str) -> Iterator[str]:
    """Functions, classes and tests a document names as `file: name` or `file::test` exist."""
    for file, _, name in _GUARD.findall(text):
        place = ROOT / file
        if not place.exists():
            yield f"{name_of(path)}: there is no {file}: name what took its place"
            continue
        defined = re.compile(rf"^\s*(?:async )?(?:def|class) {name}\b", re.MULTILINE)
        if name and not defined.search(place.read_text(encoding="utf-8")):
            yield f"{name_of(path)}: {file} has no {name}: name what took its place"
