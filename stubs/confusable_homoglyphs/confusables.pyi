from typing import Any

def is_confusable(
    string: str, greedy: bool = False, preferred_aliases: list[str] | None = None
) -> list[dict[str, Any]] | bool: ...
