# `make` alone lists the targets.

GOLANGCI_LINT = go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULNCHECK   = go run golang.org/x/vuln/cmd/govulncheck@v1.9.0
ACTIONLINT    = go run github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
COMPOSE       = go run github.com/compose-spec/compose-go/v2/cmd@v2.16.2
TOOL          = go tool -modfile=tools/go.mod
GORELEASER    = v2.15.1
FREEZE        = v0.2.2

# Licenses that an MIT-licensed program may link.
LICENSES = Apache-2.0,BSD-2-Clause,BSD-3-Clause,ISC,MIT

TEST_TOOLS = bash-completion bats fish gcc groff-base libc6-dev mandoc procps python3-pika tmux zsh
LINT_TOOLS = gcc libc6-dev mandoc shellcheck shfmt
DOCS_TOOLS = bats cron make systemd
MODEL_TOOLS = gcc libc6-dev spin

# These packages run outside Linux too; the tests of whole programs do not. The tests run on linux/amd64 and
# linux/arm64 (see .github/workflows); these are the others.
PORTABLE = . ./amqplock/... ./internal/... ./runner/... ./signals/...
SYSTEMS = linux/arm darwin/arm64 freebsd/amd64
SHELL_FILES = .ci/run scripts/lib.bash test/lab/machines/machine test/model/check $(shell grep -lsE '^\#!.*\bbash' scripts/*) scripts/completions/amqprun.bash ci/install ci/buildkite/amqprun/hooks/command test/packaging/release $(wildcard share/bats/*.bash test/bats/*.bats test/bats/*.bash test/packaging/*.bats)

.PHONY: help build demo test soak test-unit test-bats test-docs test-wrapper test-brokers test-faults test-cluster test-nemesis model model-full sim sim-controls bench lint vuln diagrams picture licenses sbom package image test-packaging release fmt clean

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s%s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

build: ## build bin/amqprun, one static file
	CGO_ENABLED=0 go build -trimpath -tags urfave_cli_no_docs -ldflags '-s -w' -o bin/amqprun .

demo: build ## show two builds share one slot, and a lost slot stop its command
	@scripts/demo

test: build test-tools ## run every test, with a private broker unless AMQPRUN_URL answers; 5 minutes
	@scripts/test all

test-unit: ## run the packages' own tests that need no broker
	@scripts/test unit

N ?= 20
soak: ## run make test N=20 times in a row, half of them beside busy loops; writes test/SOAK.md
	@scripts/test soak $(N)

test-bats: build test-tools ## run the command-line tests only
	@scripts/test bats

test-docs: build ## run what README.md and docs show to type
	@scripts/install-tools $(DOCS_TOOLS)
	@scripts/test docs

test-wrapper: ## run the process wrapper's tests 20 times beside busy loops
	@scripts/test wrapper

test-brokers: test-tools ## run every test with RabbitMQ 3.10, 4.0 and 4.3; these four need root and 400 MB each
	@scripts/lab brokers
	@scripts/lab conversations

test-faults: ## break the network, a broker and amqprun, on each of the three
	@scripts/lab faults
	@scripts/lab clock
	@scripts/lab machines

test-cluster: ## cut, kill and pause nodes of clusters, on each of the three; more than an hour
	@scripts/lab cluster

test-nemesis: ## draw faults at random for half an hour, ten minutes for each kind of lock
	@AMQPRUN_LAB_LENGTH=$${AMQPRUN_LAB_LENGTH:-10m} scripts/lab nemesis $${VERSION:-4.0}

model: ## check the model of the lock protocol, and that it finds each missing precaution
	@scripts/install-tools $(MODEL_TOOLS)
	@test/model/check small

model-full: ## check the largest sizes; an hour and 16 GB
	@scripts/install-tools $(MODEL_TOOLS)
	@test/model/check full

SIM ?= -length 30s
sim: ## simulate amqplock for 30 s; SIM='-length 1h', SIM='-seed 17 -seeds 1'
	@go run ./test/sim $(SIM)

sim-controls: ## find each mutant of test/sim/mutants in the simulation
	@go run ./test/sim -controls '*'

bench: build ## measure, and write the figures of docs/internals/benchmarks.md; a quarter of an hour
	@scripts/bench -docs docs/internals

lint: lint-tools ## check all that needs no run: formats, types, linters, shell, workflow, diagrams
	@test -z "$$(gofmt -l .)" || { gofmt -d .; exit 1; }
	go mod tidy -diff
	go -C test/docs vet ./...
	go vet ./...
	@go build -o bin/typecheck ./test/typecheck
	for system in $(SYSTEMS); do \
		GOOS=$${system%/*} GOARCH=$${system#*/} bin/typecheck $$(go list -f '{{.Dir}}' $(PORTABLE)) || exit; \
	done
	$(GOLANGCI_LINT) run
	shellcheck -x $(SHELL_FILES)
	shfmt -i 2 -ci -d $(SHELL_FILES)
	$(ACTIONLINT)
	$(COMPOSE) compose.yaml >/dev/null
	@scripts/diagrams check
	@scripts/lint-prose

.PHONY: lint-prose
lint-prose: lint-tools ## check English and width of lines; scripts/lint-prose PATH... for a part
	@scripts/lint-prose

vuln: $(VULNDB) ## check the dependencies for known vulnerabilities; VULNDB=dist/vulndb uses only the module proxy
	$(GOVULNCHECK) $(if $(VULNDB),-db file://$(abspath $(VULNDB))) ./...

# Made anew each time, because advisories are added every day.
.PHONY: dist/vulndb
dist/vulndb:
	go run golang.org/x/vulndb/cmd/indexdb@latest -out $@ \
		-vulns "$$(go mod download -json golang.org/x/vulndb@latest | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')/data/osv"

diagrams: ## draw docs/diagrams
	@scripts/install-tools graphviz mscgen
	@scripts/diagrams

picture: build ## record make demo, and draw docs/demo.svg
	@FREEZE=$(FREEZE) scripts/picture

licenses: ## check the licenses of all that is linked into amqprun
	$(TOOL) go-licenses check --allowed_licenses=$(LICENSES) .

sbom: build ## write the parts of bin/amqprun to dist/amqprun.cdx.json
	@mkdir -p dist
	$(TOOL) cyclonedx-gomod bin -json -noserial -output dist/amqprun.cdx.json bin/amqprun

package: ## build deb, rpm, apk and archives, and try them in a fresh Debian; needs root
	@GORELEASER=$(GORELEASER) scripts/package

image: ## build the container image for two processors, dist/image.tar
	@scripts/image

test-packaging: build image ## run the image without root, and the CI components, with a broker
	@scripts/test-packaging

release: ## publish the tag that is checked out, as a draft; the release workflow calls it
	@scripts/install-tools nix-bin
	go run github.com/goreleaser/goreleaser/v2@$(GORELEASER) release --clean

fmt: lint-tools ## format Go and shell
	gofmt -w .
	shfmt -i 2 -ci -w $(SHELL_FILES)

clean: ## delete what was built
	rm -rf bin dist

.PHONY: test-tools lint-tools
test-tools:
	@scripts/install-tools $(TEST_TOOLS)
lint-tools:
	@scripts/install-tools $(LINT_TOOLS)
