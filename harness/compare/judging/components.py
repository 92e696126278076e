"""How far a score's difference is known: what is due to the documents asked, and what to the seeds trained.

The values are a table of seeds and documents, in which both are draws from many: a difference has one part from its
seed, one from its document, and a rest. Means of squares tell them apart (the two-way layout of random effects: H. H.
Clark, J. Verbal Learn. Verbal Behav. 12, 1973, on why documents are drawn too; E. Miller, "Adding error bars to evals",
arXiv 2411.00640, for documents of language models).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.compare.judging.effects import CONFIDENCE, quantile
from harness.compare.judging.pairing import Paired

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class Components:
    """The difference of two sides, candidate − reference, and the parts of its variance.

    `units`: the difference of each cluster of documents, mean over seeds, so scaled that their mean is `value`.
    `over_documents`: the squared standard error over clusters, with `document_degrees`. `over_seeds`: that of the means
    of seeds, with `degrees`; None for one seed a side. `rest`: the part of `over_seeds` that documents would bring in
    all the same, since each seed answers each of them a little otherwise; it is in `over_documents` too.
    """

    value: float
    units: np.ndarray
    over_documents: float
    document_degrees: float
    over_seeds: float | None
    degrees: float
    rest: float
    seed_variance: float  # from seed to seed of the difference, the rest taken off
    apart: float  # the squared standard error over documents, had the sides been asked different ones

    @property
    def seed_part(self) -> float:
        """What seeds add to the squared standard error."""
        return max((self.over_seeds or 0.0) - self.rest, 0.0)

    @property
    def error(self) -> float:
        """The standard error of `value`."""
        return math.sqrt(self.over_documents + self.seed_part)

    @property
    def half_width(self) -> float:
        """Half of the 95% interval: t of each part times its error, squared and added, the rest counted once, with the
        seeds (G. Y. Zou & A. Donner, Stat. Med. 27, 2008, on intervals of sums from the intervals of their parts).

        Never less than over documents alone, nor than over seeds alone, so few seeds cannot make it narrow by chance.
        """
        of_documents = quantile((1 + CONFIDENCE) / 2, self.document_degrees) ** 2
        if self.over_seeds is None:
            return math.sqrt(of_documents * self.over_documents)
        of_seeds = quantile((1 + CONFIDENCE) / 2, self.degrees) ** 2
        both = of_seeds * self.over_seeds + of_documents * max(self.over_documents - self.rest, 0.0)
        return math.sqrt(max(both, of_documents * self.over_documents))

    @property
    def effective_degrees(self) -> float:
        """The degrees of freedom at which Student's t gives this half-width for this error."""
        from scipy.special import stdtridf

        if not self.error or self.over_seeds is None:
            return self.document_degrees
        ratio = self.half_width / self.error
        if ratio <= quantile((1 + CONFIDENCE) / 2, 1e9):
            return self.document_degrees
        return float(stdtridf((1 + CONFIDENCE) / 2, ratio))


def components(pair: Paired) -> Components:
    """Those of at least two clusters of documents."""
    before, after = (_units(values, pair) for values in (pair.reference, pair.candidate))
    units = after.mean(axis=0) - before.mean(axis=0)
    extra = _extra(pair, len(units)) if pair.binary else 0.0
    if pair.by_seed:
        over, degrees, rest, between = _of_pairs(after - before)
    else:
        over, degrees, rest, between = _of_sides(before, after)
    return Components(
        value=float(pair.candidate.mean() - pair.reference.mean()),
        units=units,
        over_documents=_squared_error(units, extra),
        document_degrees=_degrees(pair),
        over_seeds=over,
        degrees=degrees,
        rest=rest,
        seed_variance=between,
        apart=sum(_squared_error(side.mean(axis=0), 0.0) for side in (before, after)),
    )


def _units(values: np.ndarray, pair: Paired) -> np.ndarray:
    """One number for each seed and cluster, shape (seeds, clusters), whose mean over clusters is the seed's mean.

    They are the jackknife's: what each cluster adds to the mean, by leaving it out. Of clusters of one size their error
    is Miller's clustered one and that of statsmodels, cov_type="cluster", of which theirs is a little too small for few
    clusters of several sizes (MacKinnon, Nielsen & Webb, J. Econometrics 232, 2023).
    """
    import numpy as np

    if pair.clusters is None:
        return values
    means = values.mean(axis=1)
    size = pair.n_clusters
    rest = pair.documents - np.bincount(pair.clusters, minlength=size)
    left = [
        np.bincount(pair.clusters, weights=row - mean, minlength=size) / rest
        for row, mean in zip(values, means, strict=True)
    ]
    beyond = (size - 1) * np.stack(left)
    found: np.ndarray = means[:, None] + beyond - beyond.mean(axis=1, keepdims=True)
    return found


def _extra(pair: Paired, clusters: int) -> float:
    """A document fixed in one seed and one broken in one, as a unit: see `_squared_error`."""
    return clusters / pair.documents / min(len(pair.reference), len(pair.candidate))


def _squared_error(units: np.ndarray, extra: float) -> float:
    """s²/n over clusters. With an `extra`, of 0 and 1, two more units of ±extra are counted: differences of which few
    are not 0 would look too sure, and none at all quite sure (D. G. Bonett & R. M. Price, J. Educ. Behav. Stat. 37,
    2012, for one seed; and as much for several as one seed's answer moves a mean).
    """
    n = len(units)
    plain = float(units.var(ddof=1) / n)
    if not extra:
        return plain
    total, squares = float(units.sum()), float((units**2).sum()) + 2 * extra**2
    return max(plain, (squares / (n + 2) - (total / (n + 2)) ** 2) / (n + 2))


def _degrees(pair: Paired) -> float:
    """Documents − 1; or clusters − 1, of which big ones count for more: as many as n² ÷ Σ of squared sizes, clusters of
    one size (A. V. Carter, K. T. Schnepel & D. G. Steigerwald, Rev. Econ. Stat. 99, 2017).
    """
    import numpy as np

    if pair.clusters is None:
        return pair.documents - 1.0
    sizes = np.bincount(pair.clusters)
    return max(pair.documents**2 / float(np.square(sizes).sum()) - 1, 1.0)


def _of_pairs(units: np.ndarray) -> tuple[float | None, float, float, float]:
    """Squared error over seeds with its degrees of freedom, the rest in it, and the variance from seed to seed."""
    seeds = len(units)
    if seeds == 1:
        return None, 0.0, 0.0, 0.0
    variance, rest = _between(units)
    return variance / seeds, seeds - 1.0, rest / seeds, max(variance - rest, 0.0)


def _between(units: np.ndarray) -> tuple[float, float]:
    """The variance of the means of seeds, and the part of it that the rest makes up."""
    import numpy as np

    seeds, clusters = units.shape
    means = units.mean(axis=1)
    rest = units - means[:, None] - units.mean(axis=0)[None, :] + units.mean()
    squares = float(np.square(rest).sum())
    return float(means.var(ddof=1)), squares / ((seeds - 1) * (clusters - 1)) / clusters


def _of_sides(before: np.ndarray, after: np.ndarray) -> tuple[float | None, float, float, float]:
    """The same of two sides with seeds of their own, with Welch's degrees of freedom. Where one side has a single seed,
    seeds are taken to vary there as on the other.
    """
    counts = (len(before), len(after))
    if max(counts) == 1:
        return None, 0.0, 0.0, 0.0
    known = {place: _between(side) for place, side in enumerate((before, after)) if len(side) > 1}
    parts = [known.get(place, known.get(1 - place, (0.0, 0.0))) for place in (0, 1)]
    errors = [variance / count for (variance, _), count in zip(parts, counts, strict=True)]
    over = sum(errors)
    rest = sum(part / count for (_, part), count in zip(parts, counts, strict=True))
    between = sum(max(variance - part, 0.0) for variance, part in parts)
    if len(known) == 1 or not over:
        degrees = float(sum(counts[place] - 1 for place in known))
    else:
        degrees = over**2 / sum(error**2 / (count - 1) for error, count in zip(errors, counts, strict=True))
    return over, degrees, rest, between
