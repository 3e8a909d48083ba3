# Everything a contributor runs. Tools are compiled from the versions pinned in
# tools/*/go.mod; nothing has to be installed but Go, and for the tests curl and
# nginx.

GO       ?= go
BUF      := $(GO) tool -modfile=tools/buf/go.mod buf
LINT     := $(GO) tool -modfile=tools/lint/go.mod golangci-lint
GRPCURL  := $(GO) tool -modfile=tools/grpcurl/go.mod grpcurl
SBOM     := $(GO) tool -modfile=tools/sbom/go.mod cyclonedx-gomod bin -json -std -licenses
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null)
FUZZTIME ?= 20s
# The same bytes from the same source, wherever it lies; no state of a checkout.
BUILD    := $(GO) build -trimpath -buildvcs=false -ldflags "-X main.release=$(VERSION)"

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: ## Run a server on loopback with its data in ./data
	$(GO) run ./server

.PHONY: build
build: ## Build bin/wabastreamd and bin/wabastream
	$(BUILD) -o bin/wabastreamd ./server
	$(BUILD) -o bin/wabastream ./client/cmd/wabastream

.PHONY: sbom
sbom: build ## Build, and list what the binaries contain in bin/*.cdx.json (CycloneDX)
	$(SBOM) -version "$(VERSION)" -output bin/wabastreamd.cdx.json bin/wabastreamd
	$(SBOM) -version "$(VERSION)" -output bin/wabastream.cdx.json bin/wabastream

.PHONY: test
test: ## Run every test
	$(GO) test ./...
	$(GO) test -C cluster ./...

.PHONY: race
race: ## Run every test under the race detector
	$(GO) test -race ./...
	$(GO) test -C cluster -race ./...

.PHONY: examples
examples: ## Build the examples of all languages and run their behaviour test (Python, Node.js, Java, Maven, Chromium)
	./.ci/examples

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (20s), with FUZZFLAGS (-parallel=1 leaves the machine usable)
	./.ci/fuzz $(FUZZTIME) $(FUZZFLAGS)

.PHONY: campaign
campaign: ## Run crash, restart and abuse tests at full counts
	WABASTREAM_TEST_ROUNDS=full $(GO) test -count=1 -timeout 60m -run 'Crash|Kill|Restart|Campaign|Conformance|Abuse' ./server/... ./client/...
	WABASTREAM_TEST_ROUNDS=full $(GO) test -C cluster -count=1 -timeout 60m -run Campaign ./...

.PHONY: bench
bench: ## Measure beside other logs and servers (BENCH: flags, for instance "log --quick")
	$(GO) run -C bench . $(BENCH)

.PHONY: bench-replica
bench-replica: ## Measure a log on JetStream beside the embedded one and JetStream's own clients (BENCH: more flags)
	$(GO) run -C bench . ingest --replica $(BENCH)
	$(GO) run -C bench . fanout --replica $(BENCH)
	$(GO) run -C bench . replay --replica --events 1000000 $(BENCH)

.PHONY: generate
generate: ## Generate gen/ and the document of the API from proto/
	$(BUF) generate

.PHONY: docs
docs: ## Write the catalogue of event types, docs/events.md, anew
	$(GO) run ./server/internal/catalogue >docs/events.md.new
	mv docs/events.md.new docs/events.md

.PHONY: proto-lint
proto-lint: ## Check the contract: style, format, compatibility with the baseline
	$(BUF) lint
	$(BUF) format -d --exit-code
	$(BUF) breaking --against proto/baseline.binpb

.PHONY: baseline
baseline: ## At a release: freeze the contract that later ones must stay compatible with
	$(BUF) build -o proto/baseline.binpb

.PHONY: lint
lint: ## Vet and lint the Go code, the import direction included
	$(GO) vet ./...
	$(LINT) run ./...

.PHONY: vuln
vuln: ## Check for known vulnerabilities in what the code calls
	./.ci/supply vuln

.PHONY: vulndb
vulndb: ## Pin the newest database of vulnerabilities
	cd tools/vuln && $(GO) get -tool golang.org/x/vulndb/cmd/indexdb@latest && $(GO) mod tidy

.PHONY: licences
licences: ## Check the licences of everything that the binaries link
	./.ci/supply licences

.PHONY: fmt
fmt: ## Format Go and proto files
	$(LINT) fmt ./...
	$(BUF) format -w

.PHONY: grpcurl
grpcurl: ## Build bin/grpcurl at the pinned version
	$(GO) build -modfile=tools/grpcurl/go.mod -o bin/grpcurl github.com/fullstorydev/grpcurl/cmd/grpcurl

.PHONY: image
image: ## Build the image and try it, with docker or podman (ENGINE)
	./.ci/image

.PHONY: ci
ci: ## What continuous integration runs
	./.ci/run
