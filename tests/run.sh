#!/bin/sh
# What "make test" runs: every check and test that this machine can run, in
# phases, the quick ones first. It installs nothing. What is left out for want
# of a program is said in one line at the end.
set -eu
cd "$(dirname "$0")/.."
packages="./... ./libs/api/... ./libs/client/..."
skipped=""
started=$(date +%s)

phase() { echo; echo "== $1 ($(($(date +%s) - started)) s)"; }
skip() { skipped="$skipped
  - $1"; }

phase "format"
unformatted=$(gofmt -l libs services tools tests)
[ -z "$unformatted" ] || { echo "run gofmt -w on: $unformatted"; exit 1; }

phase "vet, each module without the workspace"
for module in . libs/api libs/client tools/bench; do
	(cd $module && GOWORK=off go vet ./...)
done

phase "rules of the repository"
make --no-print-directory tidy
command -v protoc >/dev/null && command -v protoc-gen-go >/dev/null ||
	skip "generated code was not compared: needs protoc 3.21.12 and protoc-gen-go v1.36.12"

phase "build"
make --no-print-directory build

phase "tests"
go test -timeout 10m $(go list $packages | grep -v /tests/)

phase "simulation"
# Other seeds every time: what fails prints the command that replays it.
go run ./tools/sim --runs 120 --time 60

phase "planted mistakes"
make --no-print-directory mutants

phase "tests of the comparison with other stores"
(cd tools/bench && GOWORK=off go test -timeout 10m .)

phase "tests with real processes"
# Not from the cache: they depend on programs that they build themselves.
go test -count=1 -timeout 10m $(go list ./tests/... | grep -v -e /cclient -e /containers)

phase "torture"
# A slice of tools/torture, with a seed that it prints.
go run ./tools/torture --time 60s --phase 60s --rate 300 --faults kill-leader,kill-all,pause-leader,isolate-leader,deaf-leader,power-all,power-one,flip-state,failing-disk,lost-disk,kill-fanout,combined
[ "$(id -u)" = 0 ] && command -v ip >/dev/null && command -v iptables >/dev/null && [ -e /dev/fuse ] ||
	skip "torture without partitions or without broken disks: needs root, ip and iptables (Debian: apt install iproute2 iptables) and /dev/fuse"

phase "fuzzing"
sh tests/fuzz.sh

phase "a client in C"
if echo '#include <nats/nats.h>' | gcc -E -x c - >/dev/null 2>&1; then
	go test -count=1 -timeout 5m ./tests/cclient
else
	skip "the client in C: needs gcc and the NATS client for C (Debian: apt install gcc libnats-dev)"
fi

phase "containers"
if docker info >/dev/null 2>&1 && { docker compose version >/dev/null 2>&1 || docker-compose version >/dev/null 2>&1; }; then
	KVORUM_TEST_CONTAINERS=1 go test -count=1 -timeout 12m ./tests/containers
else
	skip "the container test: needs a Docker engine that answers, and compose"
fi

echo
if [ -n "$skipped" ]; then
	echo "PASSED, BUT NOT ALL OF IT RAN HERE. SKIPPED:$skipped"
else
	echo "PASSED: everything ran, in $(($(date +%s) - started)) s"
fi
