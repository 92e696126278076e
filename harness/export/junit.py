"""JUnit XML: a test case per trial, and per figure of a check.

The dialect is the one pytest writes with `junit_family=xunit2` and Jenkins' schema has (jenkinsci/xunit-plugin,
junit-10.xsd): testsuites → testsuite → testcase → failure, error, skipped, properties, system-out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree as Xml

from harness.export.checked import Line, lines
from harness.export.given import Files, Given, labels, usual
from harness.records.results import TrialResult

_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no letter for: colours of terminals, halves of surrogates."""


def files(given: Given) -> Files:
    """One suite of the trials; one of the check, where there is one."""
    root = Xml.Element("testsuites", name=_clean(given.suite))
    _trials(root, given)
    if given.check is not None:
        _check(root, given.suite, list(lines(given.check)), str(given.check.get("baseline") or "a baseline"))
    Xml.indent(root)
    return {"": Xml.tostring(root, encoding="utf-8", xml_declaration=True).decode() + "\n"}


def _trials(root: Xml.Element, given: Given) -> None:
    suite = Xml.SubElement(root, "testsuite", name=_clean(given.suite))
    names = labels(given.trials)
    shown = [one.name for one in usual(given)]
    for trial in given.trials:
        cell = names[trial.kind, trial.cell_id]
        case = Xml.SubElement(suite, "testcase", classname=_clean(f"{given.suite}.{cell}"), name=_clean(trial.name))
        seconds = trial.metrics.get("trial_seconds")
        if seconds is not None and math.isfinite(seconds):
            case.set("time", f"{seconds:.3f}")
        _properties(case, trial, shown)
        _end(case, trial)
        if trial.disturbed:
            Xml.SubElement(case, "system-out").text = _clean("disturbed: " + "; ".join(trial.disturbed))
    _count(suite)


def _properties(case: Xml.Element, trial: TrialResult, names: Sequence[str]) -> None:
    found: Mapping[str, float] = {name: trial.metrics[name] for name in names if name in trial.metrics}
    if found:
        properties = Xml.SubElement(case, "properties")
        for name, value in found.items():
            Xml.SubElement(properties, "property", name=_clean(name), value=repr(value))


def _end(case: Xml.Element, trial: TrialResult) -> None:
    """Bad ends are failures; one that was stopped says nothing of the trial, and is an error of the run.

    What counts is the latest attempt: that an earlier one ended well does not make tonight's a success.
    """
    outcome = trial.last_outcome or trial.outcome
    said = trial.cause or f"ended {outcome}" + (f" in phase {trial.phase}" if trial.phase else "")
    if outcome != trial.outcome:
        said = (
            f"the latest of its {trial.attempts} attempts ended {outcome}; its figures are of attempt {trial.counted}"
        )
    if outcome == trial.expect:
        return
    if outcome == "ok":
        said = f"ended ok, where {trial.expect} is expected"
    if outcome in (None, "skipped"):
        Xml.SubElement(case, "skipped", message=_clean("it has not run" if outcome is None else said))
        return
    kind = "error" if outcome == "interrupted" else "failure"
    Xml.SubElement(case, kind, type=_clean(str(outcome)), message=_clean(said)).text = _clean(said)


def _check(root: Xml.Element, name: str, checked: Sequence[Line], baseline: str) -> None:
    suite = Xml.SubElement(root, "testsuite", name=_clean(f"{name} against {baseline}"))
    for line in checked:
        case = Xml.SubElement(
            suite, "testcase", classname=_clean(f"{name}.{line.cell}"), name=_clean(f"{line.what} against {baseline}")
        )
        text = _clean(f"{line.ruling}: {line.text}" if line.text else line.ruling)
        if line.told == "fails":
            Xml.SubElement(case, "failure", type=_clean(line.ruling), message=text).text = text
        elif line.told == "undecided":
            Xml.SubElement(case, "skipped", message=text)
        else:
            Xml.SubElement(case, "system-out").text = text
    _count(suite)


def _count(suite: Xml.Element) -> None:
    suite.set("tests", str(len(suite.findall("testcase"))))
    for kind, name in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        suite.set(name, str(len(suite.findall(f"testcase/{kind}"))))


def _clean(text: str) -> str:
    return _ILLEGAL.sub("�", text)
