"""`duplex-tts plan`: from a result and a number of listeners to replicas."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bench.plan import __main__ as command
from bench.plan.calibration import (
    Calibration,
    PlanError,
    calibrate,
    find_newest,
    find_result,
)
from bench.plan.planning import Demand, make_plan
from bench.plan.report import to_json
from bench.plan.workload import Workload
from bench.simulation.simulated_card import CardCosts
from bench.simulation.simulated_engine import Costs, Machine

SMALL = Calibration("small", "small.json", Machine(Costs(0.03, 0.01), threads=1), 15.0)
FAST_CARD = CardCosts(((1, 0.0012), (64, 0.0025)), 0.01, 0.001)


def ignore(_label: str, _share: float) -> None:
    pass


def run(*arguments: str) -> Any:
    return CliRunner().invoke(command.app, [*arguments])


@pytest.fixture
def small_replicas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replicas that some 15 listeners fill, without calibrating."""
    monkeypatch.setattr(command, "calibrate", lambda _: SMALL)


# --- results --------------------------------------------------------------------------------------


def test_a_result_is_found_by_part_of_its_name() -> None:
    assert find_result("h100").name.startswith("nvidia-h100")


def test_an_unknown_or_ambiguous_name_lists_the_results(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"no result is named like 'tpu'; choose from: .*nvidia"):
        find_result("tpu")
    with pytest.raises(PlanError, match="several"):
        find_result("a")
    with pytest.raises(PlanError, match="make bench"):
        find_result("h100", tmp_path)
    with pytest.raises(PlanError, match="make bench"):
        find_newest(tmp_path)


def test_the_newest_result_of_a_cpu_is_the_default() -> None:
    path = find_newest()
    assert "tokens" not in json.loads(path.read_text(encoding="utf-8"))["details"]


def test_a_result_without_the_rows_says_how_to_measure_them(tmp_path: Path) -> None:
    path = tmp_path / "crowds.json"
    path.write_text('{"details": {"crowds": {}}}', encoding="utf-8")
    with pytest.raises(PlanError, match=r"lacks the rows latency, streams; measure them: .*--only"):
        calibrate(path)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"details": {"tokens": 1}}', '{"details": 3}']
)
def test_a_foreign_file_is_refused_in_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(PlanError, match="is not a result"):
        calibrate(path)


@pytest.mark.slow
def test_a_cpu_has_the_costs_that_were_measured() -> None:
    path = find_newest()
    found = calibrate(path)
    costs, streams = found.machine.costs, json.loads(path.read_text())["details"]["streams"]
    assert isinstance(costs, Costs)
    assert found.machine.threads == round(streams["engine_limit"] / streams["one_thread"])
    assert 0.001 < costs.word_s < costs.utterance_s < 0.1


@pytest.mark.slow
def test_a_card_has_the_measured_token_times_and_its_measured_limit() -> None:
    path = find_result("h100")
    found = calibrate(path)
    details = json.loads(path.read_text())["details"]
    costs = found.machine.costs
    assert isinstance(costs, CardCosts)
    tokens = {each["batch"]: each["token_ms"] / 1000 for each in details["tokens"]["batches"]}
    assert dict(costs.token_s) == tokens
    clean = [each["streams"] for each in details["live"]["live"] if not each["underruns"]]
    assert found.most_listeners == max(clean)


# --- plans ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_more_listeners_need_more_replicas_and_all_hear() -> None:
    plans = [make_plan(SMALL, Demand(Workload(n, 0.0), 1.0), ignore) for n in (5, 40)]
    few, many = plans
    assert few.replicas == 1
    assert many.replicas > 1
    assert many.with_spare == many.replicas + 1
    for each in plans:
        assert each.at_goal.refused == each.at_goal.gaps == 0
        assert each.at_goal.first_p95_s <= 1.0
        assert each.full_at >= each.demand.workload.listeners
        assert each.at_safe_load.refused == 0
        assert each.after_loss is not None
        assert each.after_loss.moved > 0


@pytest.mark.slow
def test_a_crowd_needs_more_replicas_than_a_steady_load() -> None:
    steady = make_plan(SMALL, Demand(Workload(25, 0.0), 1.0), ignore)
    crowd = make_plan(SMALL, Demand(Workload(25, 0.1), 0.6), ignore)
    assert crowd.replicas > steady.replicas
    assert crowd.after_loss is None


@pytest.mark.slow
def test_sessions_that_are_mostly_silent_need_fewer_replicas() -> None:
    half = make_plan(SMALL, Demand(Workload(40, 0.0, speaking=0.3), 1.0), ignore)
    assert half.replicas < make_plan(SMALL, Demand(Workload(40, 0.0), 1.0), ignore).replicas


def test_a_goal_that_one_alone_misses_is_refused() -> None:
    with pytest.raises(PlanError, match="raise --first-sound"):
        make_plan(SMALL, Demand(Workload(5, 0.0), 0.02), ignore)


@pytest.mark.slow
def test_a_card_is_never_given_more_than_was_measured() -> None:
    machine = Machine(FAST_CARD, threads=1, max_batch=64)
    card = Calibration("card", "card.json", machine, 60.0, memory_bytes=1e9, most_listeners=8)
    plan = make_plan(card, Demand(Workload(20, 0.0), 2.0), ignore)
    assert plan.replicas >= 3
    assert plan.memory_bytes == plan.with_spare * 1e9


@pytest.mark.slow
def test_progress_is_reported_for_every_step() -> None:
    told: list[tuple[str, float]] = []
    make_plan(SMALL, Demand(Workload(5, 0.0), 1.0), lambda *each: told.append(each))
    assert {label for label, share in told if share == 1.0} >= {
        "until the first refusal",
        "1 replicas",
        "80 % of the first refusal",
        "a replica dies",
    }


@pytest.mark.slow
def test_json_has_no_nan() -> None:
    plan = make_plan(SMALL, Demand(Workload(5, 0.0), 1.0), ignore)
    json.loads(json.dumps(to_json(plan), allow_nan=False))


# --- the command ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("small_replicas")
def test_the_command_prints_a_table_and_json() -> None:
    table = run("--listeners", "5")
    assert table.exit_code == 0, table.output
    assert "run 2, so that one may be gone" in table.stdout
    as_json = run("--listeners", "5", "--json")
    assert json.loads(as_json.stdout)["replicas"] == {"needed": 1, "with_spare": 2, "simulated": 1}


@pytest.mark.slow
@pytest.mark.usefixtures("small_replicas")
def test_a_rate_is_turned_into_listeners() -> None:
    result = run("--per-second", "0.5", "--json")
    found = json.loads(result.stdout)["demand"]["listeners"]
    assert found == round(0.5 * Workload(1, 0.0).cycle_s)


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        ((), "give one of --listeners, --writers and --per-second"),
        (("--listeners", "5", "--writers", "5"), "give one of"),
        (("--per-second", "2", "--within", "3"), "leave out --within"),
        (("--writers", "2", "--speaking", "0.5"), "--speaking is for --listeners"),
        (("--listeners", "5", "--rule", "best"), "choose from: random, round robin"),
        (("--listeners", "5", "--on", "tpu"), "choose from"),
    ],
)
def test_a_mistake_is_answered_with_the_remedy(arguments: tuple[str, ...], remedy: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 1
    assert remedy in result.stderr
    assert result.stderr.count("\n") == 1


def test_help_teaches_with_examples() -> None:
    shown = run("--help").stdout
    for example in ("--per-second 20", "--within 3", "--on h100", "--check", "--json"):
        assert example in shown


def test_an_interrupted_plan_exits_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[int] = []
    monkeypatch.setattr("os._exit", codes.append)
    before = signal.getsignal(signal.SIGTERM)
    with command._progress() as report:
        report("the measured machine", 0.0)
        signal.raise_signal(signal.SIGTERM)
    assert codes == [128 + signal.SIGTERM]
    assert signal.getsignal(signal.SIGTERM) is before
