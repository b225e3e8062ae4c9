"""System, and what every block and transaction costs."""

from aitoken.proto.digest import Digest
from aitoken.proto.extrinsic import Extrinsic, additional_signed, sign_extrinsic
from bench.weights.world import Run, World, scenario
from chain.frame.executive import ExecutedBlock
from chain.frame.system import RAW_MAX

BODY = (0, 50, 200)
BYTES = (0, 10_000, 100_000)
ITEMS = (1, 100, RAW_MAX)


@scenario("block", units=BODY)
def block(world: World, extrinsics: int) -> Run:
    """A block of transactions that do nothing: read, checked with their signature, paid for, listed."""
    version = world.schema.version
    known = additional_signed(version.spec_version, version.transaction_version, world.genesis_hash, world.genesis_hash)
    call = world.make("System.remark", b"").encode()
    body = [sign_extrinsic(call, world.pair(index), known, nonce=0).raw for index in range(extrinsics)]
    executive, items = world.instance.executive, world.items(2, 1)

    def run() -> ExecutedBlock:
        executive.open_block(world.machine.store.state, world.header, Digest(items))
        for raw in body:
            executive.apply(Extrinsic(raw))
        return executive.seal()

    return run


@scenario("System.remark", units=BYTES)
def remark(world: World, size: int) -> Run:
    return world.call(world.person(0), "System.remark", bytes(size))


@scenario("System.remark_with_event", units=BYTES)
def remark_with_event(world: World, size: int) -> Run:
    return world.call(world.person(0), "System.remark_with_event", bytes(size))


@scenario("System.set_heap_pages")
def set_heap_pages(world: World) -> Run:
    return world.call("ROOT", "System.set_heap_pages", 64)


@scenario("System.set_storage", units=ITEMS)
def set_storage(world: World, items: int) -> Run:
    return world.call("ROOT", "System.set_storage", [(key, bytes(80)) for key in _keys(items)])


@scenario("System.kill_storage", units=ITEMS)
def kill_storage(world: World, items: int) -> Run:
    world.do("ROOT", "System.set_storage", [(key, bytes(80)) for key in _keys(items)])
    return world.call("ROOT", "System.kill_storage", _keys(items))


@scenario("System.kill_prefix", units=ITEMS)
def kill_prefix(world: World, items: int) -> Run:
    world.do("ROOT", "System.set_storage", [(key, bytes(80)) for key in _keys(items)])
    return world.call("ROOT", "System.kill_prefix", b"weights", items)


def _keys(count: int) -> list[bytes]:
    return [b"weights" + index.to_bytes(25, "big") for index in range(count)]
