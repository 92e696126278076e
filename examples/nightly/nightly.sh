#!/usr/bin/env bash
# One night: trains a suite anew, judges it beside its baseline, and ends with what `harness check` says
# (docs/baselines.md): 0 fine, 1 something got worse, 4 no baseline yet, 5 trials failed.
#
#   nightly.sh [SUITE] [BASELINE]          suites/nightly.yaml and nightly, unless given
#
# Leaves in $HARNESS_NIGHT (default: night/) check.json, junit.xml and summary.md, also where the check fails.
set -euo pipefail
suite=${1:-suites/nightly.yaml}
baseline=${2:-nightly}
night=${HARNESS_NIGHT:-night}
harness=${HARNESS:-harness}
mkdir -p "$night"
rm -f "$night/check.json" "$night/junit.xml" "$night/summary.md"  # a night that ends early must not show the last one's

# Trials that fail (5) are judged too; wrong input or an interrupt ends the night here.
code=0
"$harness" run "$suite" --force || code=$?
if [ "$code" -ne 0 ] && [ "$code" -ne 5 ]; then exit "$code"; fi

code=0
"$harness" check "$suite" --baseline "$baseline" --confirm "${HARNESS_CONFIRM:-3}" --json >"$night/check.json" || code=$?

checked=()
if [ -s "$night/check.json" ]; then checked=(--check "$night/check.json"); else rm -f "$night/check.json"; fi
"$harness" export "$suite" --format junit "${checked[@]}" --out "$night/junit.xml"
"$harness" export "$suite" --format github-summary "${checked[@]}" --out "$night/summary.md"
exit "$code"
