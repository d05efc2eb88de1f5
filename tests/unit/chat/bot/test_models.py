"""Models in the bot: asked and changed in the person's own name, shown before, once, and by two where owners require it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.access import Role
from signalbox.adapters.aws.chat_table import _pending_item, _pending_of
from signalbox.chat.bot.confirmation import MODELS, two_people_of
from signalbox.chat.bot.models import DECIDES, ON_ITS_WAY, decides_beside, facts_of
from signalbox.chat.bot.ports import DeployModel, PendingCommand, RollBackModel, change_of, role_for
from signalbox.library.commands import DeployVersion, RollBackDeployment, needed_role, parse_library_request
from signalbox.library.deployments import INCOMING, DeploymentState, is_challenger
from signalbox.signals.signal import DeploymentStage
from signalbox.trading.commands import HaltTrading
from tests.fakes.bot_library import deployment
from tests.unit.chat.bot.test_bot import ANNA, BEN, CHAT, World, text_of, yes
from tests.unit.trading.market import START


@pytest.fixture
def world() -> World:
    world = World()
    world.roles[ANNA] = Role.OWNER
    return world


def test_a_deployment_is_shown_before_it_is_asked_for_and_asked_for_once(world: World) -> None:
    asked = world.type("/deploy dir60 better on the holdout")
    shown = text_of(asked)
    assert "Deploy dir60@3 as shadow: better on the holdout" in shown  # the newest version, by its number
    assert "dir60-v2 (dir60@2, active) goes on deciding\nthe new one decides beside it and is not traded" in shown
    assert "its gates did not pass: G3 fail: 0.08" in shown
    assert world.models.changes == {}
    done = text_of(world.press(yes(asked)))
    assert done == "✅ Asked for: dir60-v3 (dir60@3, shadow) is pending. It decides beside what serves after the next cycle."
    assert "used up or expired" in text_of(world.press(yes(asked)))
    ((who, change),) = world.models.changes.values()
    assert (who, change.why) == (f"telegram:{ANNA}", "better on the holdout")
    assert isinstance(change, DeployVersion)
    assert (change.version, change.stage) == ("dir60@3", DeploymentStage.SHADOW)


@pytest.mark.parametrize(
    ("typed", "stage"), [("/deploy dir60@3 shadow better", "shadow"), ("/deploy dir60@3 active better", "active")]
)
def test_what_takes_over_is_shown_to_take_over(world: World, typed: str, stage: str) -> None:
    world.models.current = deployment("dir60@2", 2, stage)
    asked = world.type(typed)
    assert f"dir60-v2 (dir60@2, {stage}) decides until the new one has decided a cycle" in text_of(asked)
    done = text_of(world.press(yes(asked)))
    assert done == f"✅ Asked for: dir60-v3 (dir60@3, {stage}) is pending. It decides after the next cycle."


@pytest.mark.parametrize("stage", list(DeploymentStage))
@pytest.mark.parametrize("current", [None, "shadow", "active"])
def test_who_decides_beside_is_judged_as_the_library_does(world: World, stage: DeploymentStage, current: str | None) -> None:
    world.models.current = None if current is None else deployment("dir60@2", 2, current)
    assert decides_beside(stage, {"current": world.models.current}) is is_challenger(world.models.slot, stage, beside=False)


@pytest.mark.parametrize(("typed", "to"), [("/rollback too many signals", None), ("/rollback 2 too many signals", 2)])
def test_a_rollback_names_where_it_goes_and_reads_no_version(world: World, typed: str, to: int | None) -> None:
    world.press(yes(world.type(typed)))
    ((_, change),) = world.models.changes.values()
    assert isinstance(change, RollBackDeployment)
    assert (change.to, change.why) == (to, "too many signals")


def test_a_rollback_of_what_is_on_its_way_says_that_nothing_else_changes(world: World) -> None:
    world.models.incoming = deployment("dir60@3", 3, "shadow", "warming")
    asked = world.type("/rollback not yet")
    assert text_of(asked).splitlines()[:2] == [
        "Take back dir60-v3 (dir60@3, shadow), which is on its way: not yet",
        "dir60-v2 (dir60@2, active) goes on deciding",
    ]
    assert text_of(world.press(yes(asked))) == "✅ Done. dir60-v2 (dir60@2, active) decides."


def test_two_people_who_roll_back_at_once_do_not_undo_each_other(world: World) -> None:
    """The library takes back what is on its way: the second rollback would withdraw the first."""
    asked = world.type("/rollback too many signals")
    world.models.incoming = deployment("dir60@1", 3, "active", "pending")  # what somebody else's rollback brings back
    assert "not what was shown any more" in text_of(world.press(yes(asked)))
    assert world.models.changes == {}


def test_an_unanswered_rollback_is_sent_again_whatever_serves_meanwhile(world: World) -> None:
    asked = world.type("/rollback too many signals")
    world.ledgers[ANNA].is_silent = True
    unknown = world.press(yes(asked))
    world.ledgers[ANNA].is_silent = False
    world.models.incoming = deployment("dir60@1", 3, "active", "pending")  # its own, so the same request answers what it made
    assert "✅" in text_of(world.press(yes(unknown)))
    assert len(world.models.changes) == 1


def test_a_withdrawal_where_nothing_decides_promises_no_cycle(world: World) -> None:
    world.models.current, world.models.incoming = None, deployment("dir60@3", 3, "shadow", "pending")
    asked = world.type("/rollback not yet")
    assert "no model decides now" in text_of(asked)
    assert text_of(world.press(yes(asked))) == "✅ Done. dir60-v3 (dir60@3, shadow) is failed. It does not decide."


@pytest.mark.parametrize(
    ("stage", "incoming", "typed", "two"),
    [
        ("shadow", None, "/rollback 1 it was better", True),
        ("shadow", None, "/rollback it was better", True),
        ("shadow", "warming", "/rollback it was better", False),  # only takes back what is on its way
        ("active", None, "/rollback it was better", False),  # a model is traded already
    ],
)
def test_going_back_from_a_shadow_may_start_trading_so_it_takes_two(
    world: World, stage: str, incoming: str | None, typed: str, two: bool
) -> None:
    world.two_people.add(MODELS)
    world.models.current = deployment("dir60@2", 2, stage)
    world.models.incoming = None if incoming is None else deployment("dir60@3", 3, "shadow", incoming)
    pressed = text_of(world.press(yes(world.type(typed))))
    assert ("Nothing has happened yet" in pressed) is two
    assert (world.models.changes == {}) is two


def test_the_states_are_the_librarys() -> None:
    assert {one.value for one in INCOMING} == ON_ITS_WAY
    assert DeploymentState.HEALTHY.value == DECIDES


def test_who_may_not_deploy_is_told_and_nothing_is_asked_for(world: World) -> None:
    assert "There is no command /deploy" in text_of(world.type("/deploy dir60@3 better", user=BEN))
    world.roles[ANNA] = Role.OPERATOR
    assert text_of(world.type("/deploy dir60@3 active better")) == "An owner deploys as active. Nothing was changed."
    world.models.roles[f"telegram:{ANNA}"] = Role.VIEWER  # operator of the bot, viewer of the library
    assert "needs the role operator" in text_of(world.press(yes(world.type("/deploy dir60@3 better"))))
    assert world.models.changes == {}


def test_a_lost_answer_leaves_the_button_and_the_same_request(world: World) -> None:
    asked = world.type("/rollback too many signals")
    world.ledgers[ANNA].is_silent = True
    unknown = world.press(yes(asked))
    assert "Whether it was done is unknown" in text_of(unknown)
    world.ledgers[ANNA].is_silent = False
    assert "✅" in text_of(world.press(yes(unknown)))
    assert len(world.models.changes) == 1


@pytest.mark.parametrize(("language", "part"), [("de", "Das Hauptbuch antwortet nicht"), ("cs", "Účetní kniha neodpovídá")])
def test_silence_after_a_button_is_said_in_the_persons_language(world: World, language: str, part: str) -> None:
    world.bot.language = language
    asked = world.type("/rollback too many signals")
    assert asked is not None
    world.ledgers[ANNA].is_silent = True
    assert text_of(world.press(asked.buttons[0].data)).startswith(f"⚠️ {part}")


def test_an_active_model_takes_two_owners_if_any_account_does(world: World) -> None:
    world.two_people.add(MODELS)
    world.roles[BEN] = Role.OWNER
    asked = world.type("/deploy dir60@3 active better")
    assert "Then another owner has 3 minutes to approve it: the library needs two people." in text_of(asked)
    waiting = world.press(yes(asked))
    assert "Nothing has happened yet" in text_of(waiting)
    assert waiting is not None
    approve = waiting.buttons[0].data
    assert "You asked for it" in text_of(world.press(approve))
    assert "needs the role owner" in text_of(world.press(approve, user=BEN))  # of the bot alone
    assert world.models.changes == {}
    world.models.roles[f"telegram:{BEN}"] = Role.OWNER
    done = world.press(approve, user=BEN)
    assert f"Asked for by telegram:{ANNA}, approved by telegram:{BEN}." in text_of(done)
    ((request_id, (who, change)),) = world.models.changes.items()
    assert (who, request_id.endswith(f"-by-{BEN}"), isinstance(change, DeployVersion)) == (f"telegram:{ANNA}", True, True)
    shadow = world.press(yes(world.type("/deploy dir60@3 shadow better")))
    assert "✅" in text_of(shadow)  # decides nothing that is traded


@pytest.mark.parametrize(
    ("setting", "two"), [(None, False), ([], False), (["paper-25k"], True), (["*"], True), ("paper-25k", True)]
)
def test_the_setting_of_accounts_says_whether_a_model_takes_two(setting: object, two: bool) -> None:
    assert two_people_of(setting)(MODELS) is two


def test_questions_are_answered(world: World) -> None:
    model = text_of(world.type("/model dir60@3"))
    assert model.splitlines()[0] == "dir60@3 (1.3.0), approved"
    assert "training 2026-11-01 12:00 UTC: G0 pass, G3 fail" in model
    assert "evaluation.figures.hit_rate: 0.51 → 0.53" in text_of(world.type("/compare dir60@2 dir60@3"))
    assert "decides now: dir60-v2 (dir60@2, active) since 2026-11-01 12:00 UTC" in text_of(world.type("/version"))


@pytest.mark.parametrize("typed", ["/model ../x", "/model DIR60", "/compare dir60@2", "/deploy dir60@x y zzz", "/rollback 2"])
def test_what_names_no_version_is_said_in_words(world: World, typed: str) -> None:
    assert "for example" in text_of(world.type(typed))
    assert world.models.changes == {}


_IDS = st.from_regex(r"[a-z0-9][a-z0-9-]{3,30}", fullmatch=True)
_PROSE = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=200)


_MODEL_CHANGES = st.one_of(
    st.builds(DeployModel, request_id=_IDS, why=_PROSE, version=st.just("dir60@3"), stage=st.sampled_from(list(DeploymentStage))),
    st.builds(
        RollBackModel,
        request_id=_IDS,
        why=_PROSE,
        to=st.none() | st.integers(1, 10**9),
        may_start=st.booleans(),
        shown=st.none() | st.tuples(_IDS, _IDS),
    ),
)
_HALTS = st.builds(
    HaltTrading, account=st.just("paper-25k"), request_id=_IDS, requested_at=st.just(START), why=st.just("news"),
    level=st.just("HALT"),
)  # fmt: skip


@given(change=_MODEL_CHANGES | _HALTS)
def test_a_waiting_change_is_kept_as_it_is(change: DeployModel | RollBackModel | HaltTrading) -> None:
    waiting = PendingCommand("t", ANNA, CHAT, change, START + timedelta(seconds=60))
    assert _pending_of("t", _pending_item(waiting)) == waiting
    assert change_of(change.model_dump_json()) == change


@given(change=_MODEL_CHANGES)
def test_a_change_is_the_request_that_the_library_reads_and_judges(change: DeployModel | RollBackModel) -> None:
    asked = parse_library_request(change.verb, facts_of(change))
    assert needed_role(asked) is role_for(change)
    read, sent = asked.model_dump(mode="json", exclude_none=True), {"verb": change.verb, **facts_of(change)}
    assert {key: read[key] for key in sent} == sent
    left_out = {key: type(asked).model_fields[key].default for key in read.keys() - sent.keys()}
    assert left_out == {key: read[key] for key in left_out}  # the library's defaults
