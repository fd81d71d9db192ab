# consignwatch: make help

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

BIN        ?= .build/bin
TOOLS      := $(addprefix $(BIN)/,prometheus promtool alertmanager amtool node_exporter prom-label-proxy staticcheck pint gotestsum)
TEST_FLAGS ?=
DEMO_FLAGS ?=
RUN        ?=

VERSION_PACKAGE := github.com/prometheus/common/version
VERSION         := $(shell cat VERSION)
REVISION        ?= $(shell git rev-parse -q --verify HEAD 2>/dev/null || echo unknown)
STAMP           := -X $(VERSION_PACKAGE).Version=$(VERSION) -X $(VERSION_PACKAGE).Revision=$(REVISION)

.PHONY: help
help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

.PHONY: deps
deps: packages $(TOOLS) ## install and build the servers that the demo and the tests run

.PHONY: build
build: ## build our own commands into .build/bin, static and without paths of this machine
	@CGO_ENABLED=0 go build -trimpath -o $(BIN)/new/ -ldflags '$(STAMP)' ./cmd/...
	@cd tools/alertmanager && CGO_ENABLED=0 go build -trimpath -o $(abspath $(BIN))/new/ -ldflags '$(STAMP)' ./alertmanager-replay
	@install -C -t $(BIN) $(BIN)/new/* # only what has changed: Go's test cache goes by the time of a program that a test starts

.PHONY: demo
demo: deps build ## run the whole stack; DEMO_FLAGS='--fault sold-twice'
	@$(BIN)/consignwatch-demo $(DEMO_FLAGS)

.PHONY: up
up: ## run the whole stack in containers, with the real servers (docs/compose.md)
	@docker compose up --build --detach

.PHONY: down
down: ## end it, with everything that it has stored
	@docker compose down --volumes

.PHONY: test
test: deps build ## run all tests that every change has to pass, against real servers
	@tools/test $(TEST_FLAGS)
	@tools/fuzztargets | while read -r package target inputs; do \
	  go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $$((inputs / 200))x -fuzzminimizetime 10x "$$package" || exit; \
	done

.PHONY: test-mysql
test-mysql: deps build ## run the tests that speak to a database against MySQL, which it brings
	@tools/test --mysql $(TEST_FLAGS)

.PHONY: test-valkey
test-valkey: deps build ## run the tests that speak to Redis against Valkey, which it brings
	@tools/test --valkey $(TEST_FLAGS)

.PHONY: acceptance
acceptance: deps build ## run what judges whole stacks in real time, alone on the machine; RUN=REGEXP for some of it
	@tools/acceptance '$(RUN)'

.PHONY: record
record: deps build ## record an incident of the demo for test/incidents: FAULT=NAME, or FAULT=all for those that are missing
	@go run ./test/incidents/record --fault '$(or $(FAULT),all)'

.PHONY: check
check: build $(BIN)/promtool $(BIN)/amtool $(BIN)/pint ## check rules, routing and catalog against each other, and with promtool, amtool and pint
	@$(BIN)/consignwatch check
	@$(BIN)/promtool check rules --lint=all --lint-fatal rules/recording/*.yml rules/alerts/*.yml
	@$(BIN)/pint --offline --config=tools/pint/pint.hcl --log-level=error lint --min-severity=info --fail-on=info rules/recording rules/alerts
	@$(BIN)/amtool --enable-feature=utf8-strict-mode check-config alertmanager/alertmanager.yml

.PHONY: lint
lint: $(BIN)/staticcheck ## gofmt, go vet, staticcheck
	@unformatted="$$(gofmt -l .)"; \
	if [ -n "$$unformatted" ]; then printf 'not formatted (run gofmt -w):\n%s\n' "$$unformatted"; exit 1; fi
	@go vet -tags acceptance ./...
	@cd tools/alertmanager && go vet ./...
	@cd tools/compose && go vet ./...
	@cd tools/dashboards && go vet ./...
	@$(BIN)/staticcheck -tags acceptance ./...

.PHONY: bench
bench: build ## run all benchmarks
	@go test -run '^$$' -bench . -benchmem \
	  $$(grep -rl --include='*_test.go' --exclude-dir=tools '^func Benchmark' . | xargs -n 1 dirname | sort -u)
	@cd tools/prometheus && go test -run '^$$' -bench . -benchmem .
	@go run ./exporters/events/throughput

.PHONY: clean
clean: ## remove everything that was built
	@rm -rf .build

# What deps is made of: Debian's packages, and servers from their Go modules,
# each in a module of its own below tools/ and built again when that changes.

.PHONY: packages
packages:
	@tools/packages

# $(call tool,MODULE,SED,PACKAGES,FLAGS): builds the packages of the tools
# module that the first prerequisite is the go.mod of. The servers show the
# version of their module, as SED spells it.
define tool
	@cd $(dir $<) && version="$$(go list -m -f '{{.Version}}' $(1) | sed -E '$(2)')" && \
	echo "building $(notdir $@) $$version" && \
	go build $(4) -o ../../$(BIN)/ -ldflags "-s -w -X $(VERSION_PACKAGE).Version=$$version" $(addprefix $(1)/,$(3))
	@touch $@
endef

PROMETHEUS_VERSION := s/^v0\.([0-9])([0-9]{2})/\1.\2/; s/\.0([0-9])/.\1/

$(BIN)/prometheus: tools/prometheus/go.mod tools/prometheus/go.sum
	$(call tool,github.com/prometheus/prometheus,$(PROMETHEUS_VERSION),cmd/prometheus,-tags remove_all_sd)

$(BIN)/promtool: tools/prometheus/go.mod tools/prometheus/go.sum
	$(call tool,github.com/prometheus/prometheus,$(PROMETHEUS_VERSION),cmd/promtool,-tags remove_all_sd)

$(BIN)/alertmanager $(BIN)/amtool: $(BIN)/%: tools/alertmanager/go.mod tools/alertmanager/go.sum
	$(call tool,github.com/prometheus/alertmanager,s/^v//,cmd/$*)

$(BIN)/node_exporter: tools/node_exporter/go.mod tools/node_exporter/go.sum
	$(call tool,github.com/prometheus/node_exporter,s/^v//,.)

$(BIN)/prom-label-proxy: tools/prom-label-proxy/go.mod tools/prom-label-proxy/go.sum
	$(call tool,github.com/prometheus-community/prom-label-proxy,s/^v//,.)

$(BIN)/staticcheck: tools/staticcheck/go.mod tools/staticcheck/go.sum
	$(call tool,honnef.co/go/tools,s/^v//,cmd/staticcheck)

$(BIN)/pint: tools/pint/go.mod tools/pint/go.sum
	$(call tool,github.com/cloudflare/pint,s/^v//,cmd/pint)

$(BIN)/gotestsum: tools/gotestsum/go.mod tools/gotestsum/go.sum
	$(call tool,gotest.tools/gotestsum,s/^v//,.)
