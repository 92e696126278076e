"""The documents of the shipped tasks, and how generated text is judged. lm-eval loads this file by its path."""

from collections import Counter

import datasets

from harness.data import heldout


def arithmetic(**_):
    """Held-out arithmetic, as lm-eval wants documents: a split by name."""
    return {"test": datasets.Dataset.from_list(list(heldout("arithmetic")))}


def pydoc(**_):
    """Held-out objects of the standard library."""
    return {"test": datasets.Dataset.from_list(list(heldout("pydoc")))}


def same_text(doc, results):
    """1 when the generation is the target, spaces around it aside."""
    return {"exact_match": float(results[0].strip() == doc["target"].strip())}


def first_sentence(doc, results):
    """Whether the generation begins with the target (a docstring goes on after its first sentence), line breaks aside;
    and the F1 of its words, as many as the target has, against the target's (Rajpurkar et al., arXiv 1606.05250)."""
    said, target = results[0].split(), doc["target"].split()
    begins = " ".join(said).startswith(" ".join(target))
    return {"exact_match": float(begins), "word_f1": _f1(said[: len(target)], target)}


def _f1(said, target):
    common = sum((Counter(said) & Counter(target)).values())
    return 2 * common / (len(said) + len(target)) if common else 0.0
