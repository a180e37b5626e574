"""`freshet evaluate` from file to figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service.cli.app import app

ARMS = "popularity,recent-popularity,markov"


@pytest.fixture
def events(tmp_path: Path) -> Path:
    """Six users walk round ten items; every fifth line is a rating that nobody should count."""
    path = tmp_path / "events.csv"
    lines = ["user_id,item_id,timestamp,type,value"]
    for n in range(300):
        user, step = n % 6, n // 6
        lines.append(f"u{user},i{(user + step) % 10},{n},click,")
        if n % 5 == 0:
            lines.append(f"u{user},never,{n},rating,1.0")
    path.write_text("\n".join(lines) + "\n")
    return path


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def test_figures_go_to_stdout_and_to_the_file(events: Path, tmp_path: Path) -> None:
    items = tmp_path / "items.csv"
    items.write_text("item_id,title\ni1,One\ni2,Two\n")
    written = tmp_path / "figures.json"
    result = _run(
        "--events", events, "--items", items, "--arms", ARMS, "--periods", 4, "--probes", 0,
        "--json", written,
    )  # fmt: skip
    figures = json.loads(written.read_text())

    assert result.exit_code == 0, result.output
    assert "Recall@20 per period" in result.stdout
    assert all(name in result.stdout for name in ARMS.split(","))
    assert figures["data"] == {
        "file": "events.csv",
        "events": 360,
        "positive": 300,
        "users": 6,
        "items": 10,
        "base": 180,
        "probe_users": 0,
        "items_described": 2,
    }
    assert figures["protocol"] == "strict"
    assert [period["events"] for period in figures["periods"]] == [30] * 4
    assert set(figures["arms"]) == set(ARMS.split(","))
    markov = figures["arms"]["markov"]
    assert markov["mrr@20"] == 1.0, "the next item is certain"
    assert markov["per_period"]["recall@20"] == [1.0] * 4
    assert {"recall@10", "ndcg@20", "fit_s", "update_s", "answer_s"} <= set(markov)
    assert figures["arms"]["popularity"]["mrr@20"] < 0.5


def test_slices_are_shown_when_asked_for_and_written_always(events: Path, tmp_path: Path) -> None:
    written = tmp_path / "figures.json"
    plain = _run("--events", events, "--arms", "popularity,markov", "--json", written)
    asked = _run("--events", events, "--arms", "popularity,markov", "--slices")
    titles = " ".join(asked.stdout.split())  # a title is broken to the width of its table
    slices = json.loads(written.read_text())["arms"]["markov"]["slices"]

    assert "by events" not in plain.stdout
    assert "Recall@20 / MRR@20 by events learned from before the period" in titles
    assert "Recall@20 / MRR@20 by events of the user before the question" in titles
    assert "1.0000 / 1.0000" in asked.stdout
    for part in ("item_events", "user_events"):
        assert list(slices[part]) == ["0", "1", "2", "3-5", "6-10", "more"]
        assert slices[part]["0"]["n"] == 0
        assert sum(bucket["n"] for bucket in slices[part].values()) > 0


def test_the_service_s_own_update_learns(events: Path, tmp_path: Path) -> None:
    written = tmp_path / "figures.json"
    result = _run("--events", events, "--arms", "freshet,popularity", "--json", written,
                  "--periods", 2, "--threads", 1, "--seed", 3)  # fmt: skip
    arms = json.loads(written.read_text())["arms"]

    assert result.exit_code == 0, result.output
    assert arms["freshet"]["mrr@20"] > arms["popularity"]["mrr@20"] + 0.2
    assert arms["freshet"]["costs"]["positions_trained"] > 0


@pytest.fixture
def walked(tmp_path: Path) -> Path:
    """Thirty users walk round ten items: enough for some of them to be probes."""
    path = tmp_path / "walked.csv"
    lines = ["user_id,item_id,timestamp"]
    lines += [f"u{n % 30},i{(n % 30 + n // 30) % 10},{n}" for n in range(900)]
    path.write_text("\n".join(lines) + "\n")
    return path


def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"EMBEDDING_DIM": 8, "FULL_EPOCHS": 1, "EPOCHS": 1, "MIN_STEPS": 5}.items():
        monkeypatch.setenv(f"FRESHET_LEARNING__{name}", str(value))


def test_the_whole_protocol_from_file_to_figures(
    walked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _small(monkeypatch)
    written, plots = tmp_path / "figures.json", tmp_path / "plots"
    result = _run("--events", walked, "--arms", "frozen,finetune,replay,full-retrain",
                  "--probes", 0.3, "--periods", 3, "--seeds", 2, "--seed", 5, "--json", written,
                  "--resume", tmp_path / "runs", "--plots", plots)  # fmt: skip
    figures = json.loads(written.read_text())

    assert result.exit_code == 0, result.output
    assert figures["data"]["probe_users"] > 0
    assert figures["run"]["seeds"] == 2
    for name, arm in figures["arms"].items():
        assert [seed["seed"] for seed in arm["seeds"]] == [5, 6]
        mean = sum(seed["recall@20"] for seed in arm["seeds"]) / 2
        assert arm["recall@20"] == pytest.approx(mean)
        assert len(arm["continual"]["matrix"]) == 4
        assert {len(line) for line in arm["continual"]["matrix"]} == {3}
        assert {"value", "low", "high"} == set(arm["continual"]["bwt"])
        assert (plots / f"forgetting-{name}.svg").stat().st_size > 0
        assert len(list((tmp_path / "runs").glob(f"{name}-[56]-*.npz"))) == 2
    arms = figures["arms"]
    assert arms["frozen"]["continual"]["bwt"]["value"] == 0.0
    assert arms["full-retrain"]["update_ratio"] == 1.0
    assert arms["full-retrain"]["continual"]["intransigence"]["value"] == 0.0
    assert arms["full-retrain"]["costs"]["events_replayed"] > 0
    assert arms["replay"]["costs"]["events_replayed"] > 0 == arms["finetune"]["costs"]["bytes_kept"]
    assert arms["replay"]["update_total_s"] == pytest.approx(3 * arms["replay"]["update_s"])
    assert "what was forgotten" in result.stdout


def test_a_second_run_takes_what_the_first_has_finished(walked: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    for written in (first, second):
        result = _run("--events", walked, "--arms", "popularity,markov", "--periods", 3,
                      "--resume", tmp_path / "runs", "--json", written)  # fmt: skip
        assert result.exit_code == 0, result.output
    one, other = (json.loads(path.read_text())["arms"] for path in (first, second))

    assert one == other, "seconds, too: nothing was measured again"


def test_arms_are_set_against_one_of_them(events: Path, tmp_path: Path) -> None:
    written = tmp_path / "figures.json"
    arguments = "--events", events, "--arms", "popularity,markov", "--periods", 3, "--probes", 0
    result = _run(*arguments, "--against", "markov", "--json", written)
    figures = json.loads(written.read_text())
    arms, found = figures["arms"], figures["differences"]

    assert "less those of markov" in result.stdout
    assert (found["against"], list(found["arms"])) == ("markov", ["popularity"])
    less = arms["popularity"]["mrr@20"] - arms["markov"]["mrr@20"]
    assert found["arms"]["popularity"]["mrr@20"]["value"] == pytest.approx(less)
    assert "less those of" not in _run(*arguments).stdout, "where freshet did not run"


def test_noise_is_learned_and_not_asked(walked: Path, tmp_path: Path) -> None:
    figures = {}
    for noise in (None, "labels:1", "bots:0.2"):
        written, spoilt = tmp_path / "figures.json", () if noise is None else ("--noise", noise)
        result = _run("--events", walked, "--arms", "markov", "--periods", 3, "--json", written,
                      "--resume", tmp_path / "runs", *spoilt)  # fmt: skip
        assert result.exit_code == 0, result.output
        figures[noise] = json.loads(written.read_text())
        assert figures[noise]["run"]["noise"] == noise

    plain = figures[None]
    assert {json.dumps(one["periods"]) for one in figures.values()} == {
        json.dumps(plain["periods"])
    }
    assert figures["labels:1"]["arms"]["markov"]["mrr@20"] < plain["arms"]["markov"]["mrr@20"] - 0.3
    assert len(list((tmp_path / "runs").glob("markov-*.npz"))) == 3, "no run stands for another"


def test_drawings_are_refused_at_the_start_without_their_library(
    walked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.cli.outputs.find_spec", lambda name: None)
    result = _run("--events", walked, "--arms", "popularity", "--plots", tmp_path / "plots")

    assert "--plots needs matplotlib" in str(result.exception)
    assert not (tmp_path / "plots").exists()


def test_arms_are_listed_with_a_line_each() -> None:
    result = _run("--list-arms")

    assert result.exit_code == 0
    assert result.stdout.splitlines()[0].startswith("frozen ")
    listed = {line.split()[0] for line in result.stdout.splitlines()}
    assert {
        "full-retrain", "warm-retrain", "last-period", "l2", "ewc", "online-ewc", "replay",
        "ewc-replay",
    } <= listed  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--arms", "magic"], "magic not known"),
        (["--protocol", "kind"], "must be one of strict, ader"),
        (["--baskets", "bags"], "must be set or lines"),
        (["--arms", "markov", "--against", "ease"], "ease is not among the arms that run"),
        (["--periods", "500"], "too few"),
        (["--noise", "labels"], "must be KIND:SHARE"),
        (["--noise", "labels:2"], "must lie in"),
    ],
)
def test_what_cannot_be_is_said(events: Path, arguments: list[str], message: str) -> None:
    result = _run("--events", events, *arguments)

    assert result.exit_code != 0
    assert message in str(result.exception)


def test_an_event_type_that_nobody_knows_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("user_id,item_id,timestamp,type\nu,i,1,click\nu,i,2,sneeze\n")
    result = _run("--events", path)

    assert "line 3: type 'sneeze' is not one of click" in str(result.exception)


def test_a_file_must_be_named() -> None:
    assert _run().exit_code == 2


def test_a_period_is_asked_and_learned_in_micro_windows(events: Path, tmp_path: Path) -> None:
    written = tmp_path / "figures.json"
    result = _run(
        "--events", events, "--arms", ARMS, "--periods", 4, "--probes", 0,
        "--micro-windows", 6, "--weights-windows", 3, "--slices", "--json", written,
    )  # fmt: skip
    figures = json.loads(written.read_text())

    assert result.exit_code == 0, result.output
    assert "learned from before the stretch" in " ".join(result.stdout.split())
    assert figures["run"]["micro_windows"] == 6
    assert figures["run"]["weights_windows"] == 3
    assert [period["targets"] for period in figures["periods"]] == [30] * 4


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--micro-windows", 6, "--weights-windows", 4), "must divide the micro-windows"),
        (("--weights-windows", 2), "2 does not divide 1"),
        (("--micro-windows", 1000), "too few events at different times"),
        (("--micro-windows", 0), "must be at least 1, or `every`"),
        (("--micro-windows", "often"), "must be at least 1, or `every`"),
    ],
)
def test_micro_windows_that_cannot_be_are_refused(
    events: Path, options: tuple[object, ...], said: str
) -> None:
    result = _run("--events", events, "--arms", ARMS, *options)

    assert result.exit_code != 0
    assert said in str(result.exception) + result.output


def test_arms_that_read_texts_need_a_file_of_them(events: Path, tmp_path: Path) -> None:
    items, written = tmp_path / "items.csv", tmp_path / "figures.json"
    lines = (f"i{n},{'odd' if n % 2 else 'even'} thing,a|b,{n}.5" for n in range(10))
    items.write_text("\n".join(("item_id,title,categories,price", *lines)))
    refused = _run("--events", events, "--arms", "content")
    result = _run(
        "--events", events, "--items", items, "--arms", "content", "--periods", 2,
        "--json", written,
    )  # fmt: skip
    assert refused.exit_code != 0
    assert "content reads what items say of themselves: --items FILE" in str(refused.exception)
    assert result.exit_code == 0, result.output
    assert json.loads(written.read_text())["arms"]["content"]["recall@20"] == 1.0
