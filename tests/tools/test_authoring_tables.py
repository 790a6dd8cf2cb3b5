"""The tables of docs/authoring.md say what the records say."""

from __future__ import annotations

from tools.authoring_tables import DOCUMENT, with_tables


def test_tables_are_of_today():
    text = DOCUMENT.read_text(encoding="utf-8")
    assert "`TrainedModelItem`" in text
    assert with_tables(text) == text, "run make tables"
