"""Every endpoint that is metered."""

from typing import Final

from gateway.apis.base import Api
from gateway.apis.media import Embeddings, Images, Moderations, Speech
from gateway.apis.text import Chat, Completions, Messages, Responses

APIS: Final[tuple[Api, ...]] = (
    Chat(), Completions(), Responses(), Messages(), Embeddings(), Images(), Speech(), Moderations(),
)  # fmt: skip
