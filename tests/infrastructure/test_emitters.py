"""Every type of event x every role, and every queue x every role: who may send what, by the synthesised policies."""

from __future__ import annotations

from itertools import product
from typing import Final

import pytest

from signalbox.contracts import (
    EMITTERS,
    EVENT_SOURCE,
    FORWARDED_EVENTS,
    SIGNED_REPORTS,
    SIGNED_REQUESTS,
    EventType,
    Function,
    emitted_by,
)
from tests.infrastructure.assembly import Assembly
from tests.infrastructure.policies import Context, Policies, Statement, allows
from tests.infrastructure.test_functions import LEDGER, deployed

pytestmark = pytest.mark.infra

PUT: Final = "events:PutEvents"
PUT_ITEM: Final = "dynamodb:PutItem"
EMITTING_LEDGER: Final = {function for functions in EMITTERS.values() for function in functions if function in LEDGER}
BUS_RULES: Final = "rules of the bus"
AGENT: Final = "the agent's policy"
# queue → who may send to it; one that is not here is a dead-letter queue, which SQS itself fills
SENDERS: Final[dict[tuple[str, str], set[str]]] = {
    ("alerts", "Alerts"): {BUS_RULES},
    ("alerts", "Deliveries"): {Function.SEND_ALERTS},
    ("chat", "Updates"): {Function.TELEGRAM_WEBHOOK},
    ("execution", "Mt5Checks"): {Function.EXECUTE_ORDERS},
    ("execution", "Requests"): {Function.ROUTE_EVENTS},
    ("routing", "Events"): {BUS_RULES},
    ("routing", "Reviews"): {BUS_RULES},
    ("signals", "Candles"): {BUS_RULES},
    ("trading", "KillSwitch"): {Function.EXECUTE_ORDERS},  # a halt, when an agent does not answer
    ("trading", "Trading"): {BUS_RULES, Function.ROUTE_EVENTS},
    ("training", "FinishedJobs"): {BUS_RULES},
}

SCHEDULED: Final = (
    Function.COLLECT_CANDLES,
    Function.RELAY_OUTBOX,
    Function.MONITOR_RISK,
    Function.COMPACT_CANDLES,
    Function.COLLECT_ALTERNATIVE,
    Function.PUBLISH_REPORTS,
    Function.DUMP_DATABASE,
    Function.START_TRAINING,
)
MAILBOX_SENDERS: Final[dict[str, tuple[set[str], ...]]] = {
    "commands.fifo": ({Function.EXECUTE_ORDERS},),
    "reports.fifo": ({AGENT},),
}  # by the end of the name


@pytest.fixture(scope="module")
def policies(assembly: Assembly) -> Policies:
    return Policies(assembly)


def bus_of(assembly: Assembly) -> str:
    (bus,) = assembly.resources("AWS::Events::EventBus")
    return f"{bus.stack}/{bus.logical_id}"


def statements_of(assembly: Assembly, policies: Policies) -> dict[str, list[Statement]]:
    """By function; every other role by its place."""
    names = {}
    for function in Function:
        found = deployed(assembly, function)
        names[found.stack, found.properties["Role"]["Fn::GetAtt"][0]] = function.value
    return {
        names.get((role.stack, role.logical_id), str(role)): policies.of_role(role.stack, role.logical_id)
        for role in policies.roles()
    }


def entry(kind: str, source: str = EVENT_SOURCE) -> Context:
    return {"events:source": (source,), "events:detail-type": (kind,)}


def outgoing_of(assembly: Assembly) -> str:
    (table,) = (t for t in assembly.resources("AWS::DynamoDB::Table") if t.logical_id.startswith("OutgoingEvents"))
    return str(table)


def item(*kinds: str) -> Context:
    return {"dynamodb:LeadingKeys": kinds}


def test_each_type_of_event_is_emitted_by_whom_the_table_names_and_nobody_else(assembly: Assembly, policies: Policies) -> None:
    """On the bus, or into the table whose items forward_events puts there: two ways, and the table has all who have one."""
    found, bus, table = statements_of(assembly, policies), bus_of(assembly), outgoing_of(assembly)
    pairs = list(product(EventType, found))
    on_bus = {(kind, role) for kind, role in pairs if allows(found[role], PUT, bus, entry(kind))}
    in_table = {(kind, role) for kind, role in pairs if allows(found[role], PUT_ITEM, table, item(kind))}
    by_ledger = {(kind, function.value) for kind, functions in EMITTERS.items() for function in functions if function in LEDGER}
    assert in_table == by_ledger
    of_edge = {(kind, function.value) for kind, functions in EMITTERS.items() for function in functions if function not in LEDGER}
    assert on_bus == of_edge | {(kind, Function.FORWARD_EVENTS.value) for kind in FORWARDED_EVENTS}
    assert {kind for kind, _ in in_table} == set(FORWARDED_EVENTS)  # what the ledger emits gets to the bus
    assert not {kind for kind, _ in of_edge} & set(FORWARDED_EVENTS)


def test_nobody_else_changes_what_is_on_its_way_to_the_bus(assembly: Assembly, policies: Policies) -> None:
    found, table = statements_of(assembly, policies), outgoing_of(assembly)
    for action, who in {
        "UpdateItem": {Function.RELAY_OUTBOX},  # it only gives an item to the stream once more
        "DeleteItem": {Function.FORWARD_EVENTS},
        "BatchWriteItem": set(),
        "TransactWriteItems": set(),
        "PartiQLInsert": set(),
        "PartiQLUpdate": set(),
    }.items():
        for kind in EventType:
            may = {role for role in found if allows(found[role], f"dynamodb:{action}", table, item(kind))}
            assert may == ({one.value for one in who} if kind in FORWARDED_EVENTS else set()), (action, kind)
    assert {role for role in found if allows(found[role], "dynamodb:Scan", table)} == {Function.RELAY_OUTBOX.value}


@pytest.mark.parametrize("function", sorted(EMITTING_LEDGER))
def test_no_item_passes_that_lacks_its_type_or_has_a_foreign_one(
    assembly: Assembly, policies: Policies, function: Function
) -> None:
    found, table = statements_of(assembly, policies)[function.value], outgoing_of(assembly)
    mine = emitted_by(function)
    other = next(kind for kind in EventType if kind not in mine)
    assert allows(found, PUT_ITEM, table, item(*mine))
    assert not allows(found, PUT_ITEM, table, {})
    assert not allows(found, PUT_ITEM, table, item(mine[0], other))
    assert not allows(found, PUT_ITEM, "another-table", item(mine[0]))


def test_the_table_names_every_type_and_lets_the_fewest_speak_to_venues_and_for_them() -> None:
    assert set(EMITTERS) == set(EventType)
    for kind in SIGNED_REQUESTS:
        assert set(EMITTERS[kind]) == {Function.MANAGE_ORDERS, Function.MONITOR_RISK, Function.RELAY_OUTBOX}
    for kind in SIGNED_REPORTS:
        assert EMITTERS[kind] == (Function.EXECUTE_ORDERS,)


@pytest.mark.parametrize("function", Function)
def test_no_request_passes_that_lacks_a_key_or_has_a_foreign_value_among_its_entries(
    assembly: Assembly, policies: Policies, function: Function
) -> None:
    found, bus = statements_of(assembly, policies)[function.value], bus_of(assembly)
    mine = list(FORWARDED_EVENTS if function is Function.FORWARD_EVENTS else () if function in LEDGER else emitted_by(function))
    others = [kind for kind in EventType if kind not in mine]
    assert not allows(found, PUT, bus, {})
    for kind in mine:
        whole = entry(kind)
        assert all(not allows(found, PUT, bus, {key: whole[key]}) for key in whole)
        assert not allows(found, PUT, bus, entry(kind, "somebody"))
        assert not allows(found, PUT, bus, {**whole, "events:source": (EVENT_SOURCE, "somebody")})
        assert not allows(found, PUT, bus, {**whole, "events:detail-type": (kind, others[0])})
        assert not allows(found, PUT, "another-bus", whole)
    if len(mine) > 1:  # a batch of what it may put is one request
        assert allows(found, PUT, bus, {**entry(mine[0]), "events:detail-type": tuple(mine)})


def test_each_queue_is_filled_by_whom_the_table_names_and_nobody_else(assembly: Assembly, policies: Policies) -> None:
    roles = statements_of(assembly, policies)
    by_rules: dict[str, list[Statement]] = {}
    for policy in assembly.resources("AWS::SQS::QueuePolicy"):
        for queue in policy.properties["Queues"]:
            place = f"{policy.stack}/{queue['Ref']}"
            by_rules.setdefault(place, []).extend(policies.of_document(policy.stack, policy.properties["PolicyDocument"]))
    agents = [
        s
        for policy in assembly.resources("AWS::IAM::ManagedPolicy")
        for s in policies.of_document(policy.stack, policy.properties["PolicyDocument"])
    ]
    for queue in assembly.resources("AWS::SQS::Queue"):
        found = {role for role, statements in roles.items() if allows(statements, "sqs:SendMessage", str(queue))}
        if any(s.effect == "Allow" for s in by_rules[str(queue)]):
            found.add(BUS_RULES)
        if allows(agents, "sqs:SendMessage", str(queue)):
            found.add(AGENT)
        if "DeadLetters" in queue.logical_id:
            assert found == set(), queue  # SQS itself moves what was given up
            continue
        if queue.logical_id.startswith("LostRuns"):
            assert {role for role in found if "Every" not in role} == {function.value for function in SCHEDULED}
            # Scheduler in a schedule's name, Lambda in a function's; publish_reports has two schedules
            assert len(found) == 2 * len(SCHEDULED) + 1
            continue
        if queue.logical_id.startswith("UndeliveredEvents"):
            assert found == {BUS_RULES}
            continue
        (expected,) = MAILBOX_SENDERS.get(str(queue.properties.get("QueueName", "")).rpartition("-")[2]) or (
            who for (stack, name), who in SENDERS.items() if queue.stack == stack and queue.logical_id.startswith(name)
        )
        assert found == {str(getattr(one, "value", one)) for one in expected}, queue
