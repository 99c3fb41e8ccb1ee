# Everything a developer runs. Needs Go and nothing else; "make test" says what
# it left out where more would be needed.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
MODULE  := github.com/kvorum/kvorum
# The binaries, and the packages of all modules of the workspace.
PROGRAMS := ./tools/kvorum ./services/node/cmd/kvorum-node ./services/watch/cmd/kvorum-watch
PACKAGES := ./... ./libs/api/... ./libs/client/...
COMPOSE  ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)
# How long each fuzz target runs.
FUZZTIME ?= 3s
# Where generated code goes; "make stale" compares with another place.
OUT ?= .

.DEFAULT_GOAL := help
.PHONY: help build test run up down lint tidy stale generate fuzz sim mutants torture bench bench-quick

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## static binaries in bin/
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X $(MODULE)/libs/svc.Version=$(VERSION)" -o bin/ $(PROGRAMS)

run: build ## a cluster on this machine without Docker, data in ./data
	bin/kvorum dev --nodes 3 --data-dir ./data

up: ## the stack in containers
	$(COMPOSE) up --build

down: ## stop the containers; the data stays
	$(COMPOSE) down

test: ## everything that can be tested on this machine
	@FUZZTIME=$(FUZZTIME) sh tests/run.sh

fuzz: ## every fuzz target for FUZZTIME (make fuzz FUZZTIME=1m)
	@FUZZTIME=$(FUZZTIME) sh tests/fuzz.sh

# The programs as they ship must have no trace of the mistakes.
mutants: ## every planted mistake must be found (docs/track-record.md)
	@out=$$(mktemp) && trap 'rm -f "$$out"' EXIT && for p in ./services/node/cmd/kvorum-node ./services/watch/cmd/kvorum-watch; do \
		go build -o "$$out" $$p || exit 1; \
		if go tool nm "$$out" | grep core/mutant; then echo "$$p has mistakes in it"; exit 1; fi; done
	go vet -tags mutants ./...
	go test -tags mutants -count=1 -timeout 10m -run 'TestMutants|TestTrackRecord' ./libs/core/mutant ./libs/client/watchstate ./libs/sim

# One run takes TIME simulated seconds and a while of healing; SEED=0 draws one.
SEED ?= 0
RUNS ?= 100
TIME ?= 100

sim: ## simulations of whole clusters (make sim SEED=1 RUNS=2000 TIME=500)
	go run ./tools/sim --seed $(SEED) --runs $(RUNS) --time $(TIME)

# SEED as above; FAULTS are some kinds, separated by commas, and none are all.
torture: TIME = 5m
torture: ## real processes under faults, as root with all of them (make torture TIME=30m)
	go run ./tools/torture --time $(TIME) --seed $(SEED) --faults "$(FAULTS)"

# ROWS are patterns, for example put/* or watch-*, REPEAT is how often all of it,
# FLAGS are more of tools/bench's (go run . --help), for example
# make bench FLAGS='--markdown ../../docs/performance.md', or
# make bench-quick FLAGS='--record recorded.json' after a change that is meant to
# move the ratios.
ROWS   ?=
REPEAT ?= 3
FLAGS  ?=
# What the report shows profiles of.
PROFILED := put/256,get/256,watch-max/1000
RESULTS  := ../../bin/bench

bench: ## beside etcd and JetStream, in one run of 25 minutes (make bench ROWS='put/*,get/*' REPEAT=1)
	mkdir -p bin/bench
	cd tools/bench && GOWORK=off go run . $(if $(ROWS),--rows '$(ROWS)',--profiles $(RESULTS)/profiles --profile-rows $(PROFILED)) \
		--repeat $(REPEAT) --limit 25m --json $(RESULTS)/report.json --markdown $(RESULTS)/performance.md $(FLAGS)

bench-quick: ## a few rows beside etcd, and their ratios beside the recorded ones
	cd tools/bench && GOWORK=off go run . --rows put/64,put/256,get/64,range-100/64,watch-max/100 --systems kvorum,etcd \
		--time 3s --repeat $(REPEAT) --compare recorded.json $(FLAGS)

tidy: stale ## the repository's own rules, and generated code up to date
	go run ./tools/tidy

lint: ## golangci-lint where it is installed, else gofmt and go vet
	@if command -v golangci-lint >/dev/null; then \
		for m in . libs/api libs/client; do (cd $$m && golangci-lint run ./...) || exit 1; done; \
	else \
		echo "golangci-lint is not installed: gofmt and go vet only"; \
		test -z "$$(gofmt -l . | tee /dev/stderr)" && go vet $(PACKAGES); \
	fi

# The versions are part of the generated files. Debian 12 has this protoc
# (protobuf-compiler); the plugin comes with
# go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12
generate: ## protobuf code; needs protoc 3.21.12 and protoc-gen-go v1.36.12
	protoc -I . --go_out=$(OUT) --go_opt=module=$(MODULE) libs/api/kvpb/kv.proto libs/core/command/command.proto

# Fails if the generated code differs from what would be generated now, where
# the two generators are present in the right versions.
stale:
	@if [ "$$(protoc --version 2>/dev/null) $$(protoc-gen-go --version 2>/dev/null)" != "libprotoc 3.21.12 protoc-gen-go v1.36.12" ]; then \
		echo "protoc 3.21.12 or protoc-gen-go v1.36.12 is missing: generated code is not checked"; exit 0; fi; \
	out=$$(mktemp -d) && trap 'rm -rf "$$out"' EXIT && $(MAKE) --silent generate OUT="$$out" && \
	for f in $$(cd "$$out" && find . -name '*.pb.go'); do \
		cmp -s "$$f" "$$out/$$f" || { echo "$$f is stale: run make generate"; exit 1; }; done
