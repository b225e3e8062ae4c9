from typing import Any

class CustomLLM:
    def __init__(self) -> None: ...

class ModelResponse:
    _hidden_params: dict[str, Any]
    def __init__(self, **fields: Any) -> None: ...
