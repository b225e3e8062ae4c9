"""Networks on real sockets: they find each other, carry messages, and turn away whom they should."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from aitoken.proto.votes import FINALIZE, NOTARIZE, Certificate, Vote
from aitoken.types import Hash32
from consensus import messages as consensus
from node.net.address_record import AddressRecord
from node.net.messages import Reason, ValidatorAddresses
from tests.support.attacker import Attacker, hang_up
from tests.support.network import FakeChain, certify, make_block, make_node, mesh, propose, running, session_of, until
from tests.support.ports import free_ports

H = Hash32(bytes(range(32)))
VOTE = Vote(NOTARIZE, 0, 1, H, 0, bytes(64))
CERTIFICATE = Certificate(FINALIZE, 0, 1, H, b"\x07", (bytes(64),) * 3)


async def test_four_validators_form_a_mesh_and_broadcast_reaches_each_other_one_once() -> None:
    async with mesh(4) as nodes:
        nodes[0].network.broadcast(VOTE)
        nodes[0].network.broadcast(CERTIFICATE)
        block = make_block(nodes[0].chain.finalized, [b"x" * 300_000])
        nodes[0].network.broadcast(propose(block))

        await until(lambda: all(len(node.inbox.messages) == 3 for node in nodes[1:]))

        sender = bytes.fromhex(nodes[0].network.peer_id)
        assert nodes[0].inbox.messages == []
        for node in nodes[1:]:
            assert {peer for peer, _ in node.inbox.messages} == {sender}
            assert [type(message) for _, message in node.inbox.messages] == [Vote, Certificate, consensus.Proposal]
            assert sender in node.inbox.connections
            assert node.network.validator(nodes[0].session.public) == sender


async def test_an_answer_reaches_the_peer_that_asked() -> None:
    async with mesh(3) as nodes:
        asker = nodes[0].network

        def answer(peer: bytes, message: object) -> None:
            nodes[1].network.send(peer, consensus.NotHave(H))

        nodes[1].inbox.on_arrival = answer
        asker.send(asker.validator(nodes[1].session.public), consensus.GetBlock(H))

        await until(lambda: bool(nodes[0].inbox.messages))
        assert nodes[0].inbox.messages[0][1] == consensus.NotHave(H)
        assert nodes[2].inbox.messages == []


async def test_a_full_node_is_told_announcements_and_not_votes() -> None:
    async with mesh(2) as nodes:
        full = make_node(9, [node.address for node in nodes], validators=2)
        async with running(full):
            await until(lambda: len(full.network.peers()) == 2)
            await until(lambda: all(len(node.network.peers()) == 2 for node in nodes))
            block = make_block(nodes[0].chain.finalized)
            nodes[0].network.broadcast(VOTE)
            nodes[0].network.announce(consensus.FinalityNote(block.header, certify(block)))

            await until(lambda: bool(full.inbox.messages))
            await until(lambda: bool(nodes[1].inbox.messages))
            assert [type(message) for _, message in full.inbox.messages] == [consensus.FinalityNote]
            assert [type(message) for _, message in nodes[1].inbox.messages] == [Vote]


async def test_a_validator_that_comes_back_is_connected_again() -> None:
    async with mesh(3) as nodes:
        await nodes[0].network.stop()
        await until(lambda: nodes[1].validators == 1)
        again = make_node(0, [node.address for node in nodes[1:]], validator=True, validators=3)
        async with running(again):
            await until(lambda: all(node.validators == 2 for node in [again, *nodes[1:]]))


async def test_two_processes_with_one_session_key_hear_the_same_and_neither_pushes_the_other_out() -> None:
    async with mesh(3) as nodes:
        addresses = [node.address for node in nodes[1:]]
        copy = make_node(9, addresses, validator=True, validators=3, key=0, reserved_only=True)
        async with running(copy):
            await until(lambda: copy.validators == 2 and nodes[1].validators == 3)
            nodes[1].network.broadcast(VOTE)
            await until(lambda: all(node.inbox.messages for node in (nodes[0], copy)))
            assert nodes[1].network.validator(copy.session.public) == bytes.fromhex(copy.network.peer_id)

            nodes[0].network.broadcast(VOTE)
            await until(lambda: len(copy.inbox.messages) == 3)
            assert {message for _, message in copy.inbox.messages[1:]} == {VOTE}
            assert len(nodes[0].inbox.messages) == 1

        await until(lambda: nodes[1].validators == 2)
        assert nodes[1].network.validator(nodes[0].session.public) == bytes.fromhex(nodes[0].network.peer_id)
        assert Reason.DUPLICATE not in nodes[1].network.refusals()


async def test_of_a_key_proven_three_times_the_oldest_connection_ends() -> None:
    async with mesh(2) as nodes:
        copies = [
            make_node(index, [nodes[1].address], validator=True, validators=2, key=0, reserved_only=True)
            for index in (8, 9)
        ]
        async with running(copies[0]):
            await until(lambda: nodes[1].validators == 2)
            async with running(copies[1]):
                await until(lambda: nodes[1].network.refusals().get(Reason.DUPLICATE, 0) > 0)
                assert nodes[1].validators == 2


async def test_both_dialling_each_other_at_once_end_with_one_connection() -> None:
    first = make_node(0, validator=True, validators=2)
    second = make_node(1, validator=True, validators=2)
    async with running(first, second):
        first.network.add_reserved(second.address)
        second.network.add_reserved(first.address)
        await until(lambda: first.validators == second.validators == 1)
        for _ in range(20):
            await asyncio.sleep(0.01)

        assert len(first.network.peers()) == len(second.network.peers()) == 1


async def test_a_peer_that_was_never_dialled_is_told_to_newcomers() -> None:
    first, second, newcomer = make_node(0), make_node(1), make_node(2)
    async with running(first, second):
        second.network.add_reserved(first.address)
        await until(lambda: bool(first.network.peers()))
        async with running(newcomer):
            newcomer.network.add_reserved(first.address)
            await until(lambda: len(newcomer.network.peers()) == 2)


async def test_a_peer_that_wants_only_reserved_ones_is_told_to_nobody() -> None:
    first, hidden, newcomer = make_node(0), make_node(1, reserved_only=True), make_node(2)
    async with running(first, hidden):
        hidden.network.add_reserved(first.address)
        await until(lambda: bool(first.network.peers()))
        async with running(newcomer):
            newcomer.network.add_reserved(first.address)
            await until(lambda: bool(newcomer.network.peers()))
            for _ in range(50):
                await asyncio.sleep(0.01)
            assert len(newcomer.network.peers()) == 1


async def test_a_node_of_another_chain_is_told_so() -> None:
    honest = make_node(0)
    async with running(honest):
        stranger = make_node(1, [honest.address], chain=FakeChain(bytes(32)))
        async with running(stranger):
            await until(lambda: bool(stranger.network.refusals()))

            assert stranger.network.refusals() == {Reason.OTHER_GENESIS: 1}
            assert honest.network.peers() == []


async def test_a_node_that_dials_itself_notices() -> None:
    node = make_node(0)
    async with running(node):
        node.network.add_reserved(node.address)
        await until(lambda: Reason.SELF in node.network.refusals())

        assert node.network.peers() == []


async def test_the_mesh_follows_the_validators_of_the_running_epoch() -> None:
    async with mesh(3) as nodes:
        for node in nodes:
            node.inbox.keys = tuple(nodes[index].session.public for index in (0, 1))
        nodes[0].network.broadcast(VOTE)
        nodes[0].network.announce(CERTIFICATE)

        await until(lambda: all(node.inbox.messages for node in nodes[1:]))
        assert [type(message) for _, message in nodes[1].inbox.messages] == [Vote]
        assert [type(message) for _, message in nodes[2].inbox.messages] == [Certificate]


async def test_validators_find_each_other_by_their_signed_addresses() -> None:
    port = free_ports(3)
    nodes = [
        make_node(
            index,
            [f"127.0.0.1:{port}"] if index else [],
            validator=True,
            validators=3,
            port=port + index,
            public_addresses=(f"127.0.0.1:{port + index}",),
            reserved_only=True,
        )
        for index in range(3)
    ]
    async with running(*nodes):
        await until(lambda: all(node.validators == 2 for node in nodes))


async def test_address_records_of_others_and_forged_ones_are_not_followed() -> None:
    node = make_node(0, validator=True, validators=2, reserved_only=True)
    async with running(node):
        attacker = await Attacker.connect(node.network.port)
        stranger, validator = session_of(5), session_of(1)
        for session, signer in ((stranger, stranger), (validator, stranger)):
            record = AddressRecord(session.public, bytes(32), 1, (("127.0.0.1", 9),))
            signature = signer.sign(record.sign_bytes(node.chain.genesis_hash))
            attacker.say(ValidatorAddresses((replace(record, signature=signature).encode(),)))

        words = await attacker.last_words()
        assert words is not None
        assert words.detail.startswith("net.bad_auth")
        assert node.network.mesh._targets == {}
        await hang_up()
