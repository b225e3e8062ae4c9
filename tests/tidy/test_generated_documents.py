"""Generated documents say what the code says."""

import importlib.util

from tests.tidy.rules import ROOT


def test_generated_documents_are_current() -> None:
    spec = importlib.util.spec_from_file_location("make_docs", ROOT / "scripts" / "make_docs.py")
    assert spec is not None
    assert spec.loader is not None
    make_docs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_docs)

    assert make_docs.stale() == [], "run: make docs"
