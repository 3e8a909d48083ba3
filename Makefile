# Everything a contributor runs. Tools are compiled from the versions pinned in
# tools/*/go.mod; nothing has to be installed but Go, and for the tests curl and
# nginx.

GO       ?= go
BUF      := $(GO) tool -modfile=tools/buf/go.mod buf
LINT     := $(GO) tool -modfile=tools/lint/go.mod golangci-lint
GRPCURL  := $(GO) tool -modfile=tools/grpcurl/go.mod grpcurl
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null)
FUZZTIME ?= 20s

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: ## Run a server on loopback with its data in ./data
	$(GO) run ./server

.PHONY: build
build: ## Build bin/wabastreamd and bin/wabastream
	$(GO) build -trimpath -ldflags "-X main.release=$(VERSION)" -o bin/wabastreamd ./server
	$(GO) build -trimpath -ldflags "-X main.release=$(VERSION)" -o bin/wabastream ./client/cmd/wabastream

.PHONY: test
test: ## Run every test
	$(GO) test ./...

.PHONY: race
race: ## Run every test under the race detector
	$(GO) test -race ./...

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (20s)
	./.ci/fuzz $(FUZZTIME)

.PHONY: campaign
campaign: ## Run crash and restart tests at full counts
	WABASTREAM_TEST_ROUNDS=full $(GO) test -count=1 -timeout 60m -run 'Crash|Kill|Restart|Campaign|Conformance' ./server/... ./client/...

.PHONY: bench
bench: ## Measure beside other logs and servers (BENCH: flags, for instance "log --quick")
	$(GO) run -C bench . $(BENCH)

.PHONY: generate
generate: ## Generate gen/ from proto/
	$(BUF) generate

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

.PHONY: fmt
fmt: ## Format Go and proto files
	$(LINT) fmt ./...
	$(BUF) format -w

.PHONY: grpcurl
grpcurl: ## Build bin/grpcurl at the pinned version
	$(GO) build -modfile=tools/grpcurl/go.mod -o bin/grpcurl github.com/fullstorydev/grpcurl/cmd/grpcurl

.PHONY: ci
ci: ## What continuous integration runs
	./.ci/run
