#!/bin/sh
# Runs every fuzz target of the repository for FUZZTIME (3s), one on each
# processor at a time. A failing input is left in the package's testdata.
#
# Go's fuzzing engine sometimes reports its own deadline as a failure, with
# these words and without an input: that is a target whose time was over.
set -eu
cd "$(dirname "$0")/.."
export FUZZTIME="${FUZZTIME:-3s}"

grep -ro --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' libs services tools tests |
	sed 's|^\(.*\)/[^/]*:func \(.*\)|\2 ./\1|' | sort -k 2 |
	xargs -n 2 -P "$(getconf _NPROCESSORS_ONLN)" sh -c '
		out=$(go test -run "^$" -fuzz "^$0\$" -fuzztime "$FUZZTIME" -fuzzminimizetime 5s -parallel 1 "$1" 2>&1) ||
			case "$out" in
			*"Failing input"* | *panic* | *.go:*) failed=1 ;;
			*"context deadline exceeded"*) failed= ;;
			*) failed=1 ;;
			esac
		if [ -n "${failed:-}" ]; then echo "$out"; echo "FAIL  $0  $1"; exit 1; fi
		echo "ok  $0  $1"'
