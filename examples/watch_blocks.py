"""Print every final block of a node, with the events its transactions caused, until interrupted.

python examples/watch_blocks.py [ws://127.0.0.1:9944] [how many]
"""

import asyncio
import contextlib
import sys

from aitoken.client.client import Client


async def watch(url: str, count: int | None) -> None:
    """Print `count` blocks, or all that come."""
    async with await Client.connect(url) as client:
        seen = 0
        async for head in client.subscribe_heads(final=True):
            print(f"{head.number:>8}  {head.hash}")
            for event in await client.events(head.hash):
                if event.extrinsic is not None and event.pallet != "System":
                    print(f"          {event.extrinsic}: {event}")
            seen += 1
            if seen == count:
                break


if __name__ == "__main__":
    url = sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:9944"
    count = int(sys.argv[2]) if len(sys.argv) > 2 else None
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(watch(url, count))
