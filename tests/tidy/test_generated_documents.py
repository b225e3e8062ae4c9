"""Generated documents say what the code says."""

import importlib.util
from types import ModuleType

from tests.tidy.rules import ROOT


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_documents_are_current() -> None:
    assert script("make_docs").stale() == [], "run: make docs"


def test_published_payment_vectors_are_current() -> None:
    vectors = script("make_pay_vectors")

    assert vectors.FILE.read_bytes() == vectors.build(), "WIRE: run python scripts/make_pay_vectors.py"
