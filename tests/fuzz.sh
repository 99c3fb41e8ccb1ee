#!/bin/sh
# Runs every fuzz target of the repository for FUZZTIME (3s), one after another:
# each uses all processors. A failing input is left in the package's testdata.
set -eu
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
n=0
for file in $(grep -rl --include='*_test.go' '^func Fuzz' libs services tools tests | sort); do
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file"); do
		go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-3s}" -fuzzminimizetime 5s "./$(dirname "$file")" >"$log" 2>&1 || {
			cat "$log"
			echo "fuzz: $target in $file failed"
			exit 1
		}
		n=$((n + 1))
		echo "ok  $target  $(dirname "$file")"
	done
done
echo "$n fuzz targets, ${FUZZTIME:-3s} each"
