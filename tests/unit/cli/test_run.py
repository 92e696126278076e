"""How failures of a run are told, and that `--pretend` means something."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cli import run, score
from harness.errors import SelectionError, TrialsFailed
from harness.pipeline import Finished
from harness.records.outcome import Outcome
from harness.records.plan import Plan, Trial
from harness.records.results import Answer
from harness.records.suite import Setup, Suite
from harness.score import Failure, ScoreReport

MakeTrial = Callable[..., Trial]
MakeOutcome = Callable[..., Outcome]


def _plan(*trials: Trial) -> Plan:
    suite = Suite(name="tiny", question="?", file=Path("tiny.yaml"), base=Setup())
    return Plan(suite=suite, cells=tuple(trial.cell for trial in trials), trials=trials)


def _finished(ended: list[tuple[Trial, Outcome]], earlier: list[tuple[Trial, Outcome]] | None = None) -> Finished:
    """A run that ended so; `earlier` are outcomes of attempts before, which count."""
    outcomes = {trial.id: outcome for trial, outcome in ended}
    return Finished(
        plan=_plan(*(trial for trial, _ in ended)),
        outcomes=outcomes,
        counting={**outcomes, **{trial.id: outcome for trial, outcome in earlier or []}},
        scores=None,
        answer=object.__new__(Answer),  # nothing in it matters here
        report=Path("report.md"),
    )


def _told(finished: Finished, where: str = "") -> tuple[str, str, str]:
    with pytest.raises(TrialsFailed) as caught:
        run.tell_failures(finished, f"harness run tiny.yaml{where}", where)
    (problem,) = caught.value.problems
    return problem.what, str(problem.why), str(problem.hint)


def test_equal_causes_are_told_once(trial_of: MakeTrial, outcome_of: MakeOutcome) -> None:
    same = [(trial_of("dpo", seed=seed), outcome_of("oom", cause="1 GiB asked for")) for seed in range(4)]
    other = (trial_of("sft"), outcome_of("timeout"))
    fine = (trial_of("orpo"), outcome_of("ok"))
    what, why, hint = _told(_finished([other, *same, fine]))
    assert what == "5 of 6 trials did not end well"
    assert why == "4 × oom (1 GiB asked for): dpo-s0, dpo-s1, dpo-s2, dpo-s3; timeout: sft-s0"
    assert "harness run tiny.yaml --retry failed tries them again" in hint
    assert "--force" not in hint


def test_many_causes_and_names_are_cut_short(trial_of: MakeTrial, outcome_of: MakeOutcome) -> None:
    many = [(trial_of(f"c{n}"), outcome_of("crashed", cause=f"cause {n}")) for n in range(7)]
    many += [(trial_of("same", seed=seed), outcome_of("oom")) for seed in range(10)]
    _, why, _ = _told(_finished(many))
    assert why.startswith("10 × oom: same-s0, ")
    assert "same-s7 and 2 more; " in why
    assert why.endswith("and 3 other causes")


def test_where_an_earlier_attempt_counts_retrying_would_do_nothing(
    trial_of: MakeTrial, outcome_of: MakeOutcome
) -> None:
    again, first = trial_of("dpo"), trial_of("sft")
    _, _, hint = _told(_finished([(again, outcome_of("oom"))], [(again, outcome_of("ok"))]))
    assert "--retry failed" not in hint
    assert "harness run tiny.yaml --force --only 'dpo-s0' makes another" in hint
    both = _finished([(again, outcome_of("oom")), (first, outcome_of("oom"))], [(again, outcome_of("ok"))])
    _, _, hint = _told(both)
    assert "--retry failed tries them again" in hint
    assert "--force --only 'dpo-s0'" in hint
    _, _, hint = _told(both, " --results there")
    assert hint.count("--results there") == 3


def test_pretending_about_no_trial_is_refused_with_the_nearest_names(trial_of: MakeTrial) -> None:
    plan = _plan(trial_of("dpo"), trial_of("sft"))
    run.check_globs(["dpo-*", "*"], plan)
    with pytest.raises(SelectionError) as caught:
        run.check_globs(["dpo-*", "dpo-s", "zzz"], plan)
    assert [problem.what for problem in caught.value.problems] == [
        "--pretend 'dpo-s' matches no trial",
        "--pretend 'zzz' matches no trial",
    ]
    assert "did you mean 'dpo-s0'" in str(caught.value.problems[0].hint)


def test_what_was_not_scored_is_told_by_name_and_cause() -> None:
    def lost(name: str, task: str, cause: str) -> Failure:
        return Failure(name=name, folder=Path("results/tiny/0123"), task=task, cause=cause)

    failed = (lost("dpo-s0", "mc", "killed"), lost("dpo-s1", "mc", "killed"), lost("sft-s0", "gen", "no weights"))
    problems = score.unscored(ScoreReport(scored=0, reused=0, failed=failed, backend="hf"))
    assert [(problem.what, problem.why) for problem in problems] == [
        ("not scored: dpo-s0 on mc, dpo-s1 on mc", "killed"),
        ("not scored: sft-s0 on gen", "no weights"),
    ]
