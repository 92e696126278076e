"""A baseline: trials of one suite, kept under a name, that later ones are compared with."""

from __future__ import annotations

from dataclasses import dataclass

from harness.records.document_scores import DocumentProvider
from harness.records.results import SuiteResults
from harness.records.verdict import Selected


@dataclass(frozen=True, kw_only=True, slots=True)
class Baseline:
    """What a saved file holds: `results` as the store gives them, with loss curves and without timelines and overlaps.

    `devices` are those its trials ran on, in words. `documents` are the values of single documents; answers in full
    are not kept.
    """

    name: str
    results: SuiteResults
    documents: DocumentProvider
    devices: tuple[str, ...] = ()

    @property
    def selected(self) -> Selected:
        """The whole of it as one side of a comparison."""
        return Selected(
            label=f"baseline {self.name}",
            results=self.results,
            trials=self.results.trials,
            documents=self.documents,
        )
