"""py-substrate-interface: V14 metadata, legacy methods, the Python way of most indexers and bots.

Run with the interpreter of its own virtual environment and the address of a node; ends with 1 where a step fails.
"""

import os
import sys
import traceback

from substrateinterface import Keypair, SubstrateInterface
from substrateinterface.exceptions import SubstrateRequestException

AMOUNT = 3_000_000_000_000


def expect(got, wanted, what):
    if got != wanted:
        raise ValueError(f"{what}: {got!r} instead of {wanted!r}")


def metadata(node, _):
    constants = node.get_metadata_constants()
    broken = [constant for constant in constants if constant["constant_value"] == "[decoding error]"]
    expect(broken, [], "constants that do not decode")
    expect(node.ss58_format, node.get_constant("System", "SS58Prefix").value, "address prefix")
    return f"{len(constants)} constants"


def blocks(node, _):
    block = node.get_block(block_hash=node.get_chain_finalised_head(), include_author=True)
    first = block["extrinsics"][0].value["call"] if block["extrinsics"] else None
    if block["header"]["number"]:
        expect((first["call_module"], first["call_function"]), ("Timestamp", "set"), "first extrinsic")
        validators = node.query("Session", "Validators", block_hash=block["header"]["parentHash"]).value
        expect(block["author"] in validators, True, "author among the validators")
    return f"block {block['header']['number']}"


def transfer(node, alice):
    target = Keypair.create_from_seed("0x" + os.urandom(32).hex(), ss58_format=node.ss58_format)
    call = node.compose_call("Balances", "transfer_keep_alive", {"dest": target.ss58_address, "value": AMOUNT})
    foretold = node.get_payment_info(call, alice)
    receipt = node.submit_extrinsic(node.create_signed_extrinsic(call, alice), wait_for_finalization=True)
    expect(receipt.is_success, True, f"success ({receipt.error_message})")
    account = node.query("System", "Account", [target.ss58_address], block_hash=receipt.block_hash).value
    expect(account["data"]["free"], AMOUNT, "received")
    fee = foretold.get("partialFee", foretold.get("partial_fee"))
    if abs(receipt.total_fee_amount - fee) * 100 > fee:
        raise ValueError(f"paid {receipt.total_fee_amount}, foretold {fee}")
    return f"fee {receipt.total_fee_amount}, {len(receipt.triggered_events)} events"


def stale(node, alice):
    call = node.compose_call("System", "remark", {"remark": "0x01"})
    try:
        node.submit_extrinsic(node.create_signed_extrinsic(call, alice, nonce=0))
    except SubstrateRequestException as error:
        expect((error.args[0]["code"], error.args[0]["data"]), (1010, "Transaction is outdated"), "refusal")
    else:
        raise ValueError("an outdated nonce was accepted")


def heads(node, _):
    numbers = []

    def on_head(head, _update, _subscription):
        numbers.append(head["header"]["number"])
        return True if len(numbers) == 4 else None

    node.subscribe_block_headers(on_head, finalized_only=True)
    expect(numbers, list(range(numbers[0], numbers[0] + 4)), "final heads")


def storage(node, alice):
    accounts = list(node.query_map("System", "Account", page_size=2, max_results=5))
    if len(accounts) < 3:
        raise ValueError(f"{len(accounts)} accounts")
    past = node.query("System", "Account", [alice.ss58_address], block_hash=node.get_block_hash(0)).value
    expect(past["nonce"], 0, "nonce at genesis")


def main():
    node = SubstrateInterface(url=sys.argv[1], auto_reconnect=False)
    node.init_runtime()
    alice = Keypair.create_from_uri("//Alice", ss58_format=node.ss58_format)
    for step in (metadata, blocks, transfer, stale, heads, storage):
        try:
            detail = step(node, alice)
        except Exception:  # noqa: BLE001 - whatever a client raises is the finding
            print(f"FAILED  {step.__name__}")
            traceback.print_exc(file=sys.stdout)
            return 1
        print(f"ok  {step.__name__}" + (f": {detail}" if detail else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
