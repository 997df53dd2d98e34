# gifford-hub. "make help" lists the targets; continuous integration calls these and nothing else.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

# Of the last commit, so that the same source gives the same package.
VERSION ?= $(shell packaging/version)
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
export CGO_ENABLED := 0
# Podman's bindings, without what only a Podman that is no client needs. "go test -tags" on a
# command line replaces these, so it must name them again.
TAGS := remote containers_image_openpgp exclude_graphdriver_btrfs exclude_graphdriver_devicemapper
empty :=
comma := ,
export GOFLAGS := -tags=$(subst $(empty) $(empty),$(comma),$(TAGS))

# Tools that are no part of go.mod, each at a version that is known to work.
NFPM := github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.43.4
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

COMMANDS := gifford-hub gifford-launcher gifford-container gifford-view gifford-shell gifford-images gifford-gpus
ARCHES := amd64 arm64
LDFLAGS := -s -w -X main.version=$(VERSION)

.PHONY: help build docs deb rpm apt-repo check quick static dbus-daemon lines mutants fuzz conformance test e2e bench demo demo-stop \
    clean programs package-docs
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## the programs for this machine, in bin/
	mkdir -p bin
	for c in $(COMMANDS); do go build -trimpath -ldflags '$(LDFLAGS)' -o bin/$$c ./cmd/$$c; done

docs: ## docs/settings.md, hub.toml, launcher.toml and its man page, from the tables of keys
	go test -count=1 -run TestGenerated ./cmd/gifford-hub -update

deb: programs package-docs ## the .deb packages, amd64 and arm64, in dist/
	rm -f dist/gifford-hub_*.deb
	for a in $(ARCHES); do ARCH=$$a VERSION='$(VERSION)' .cache/tools/nfpm package --packager deb --target dist/; done

rpm: programs package-docs ## the .rpm packages, amd64 and arm64, in dist/
	rm -f dist/gifford-hub-*.rpm
	for a in $(ARCHES); do ARCH=$$a VERSION='$(VERSION)' .cache/tools/nfpm package --packager rpm --target dist/; done

apt-repo: deb ## a signed apt repository with them, in dist/apt
	packaging/apt-repo

check: static lines ## format, vet, staticcheck, tidy, guard tests and unit tests with the race detector
	go mod tidy -diff
	CGO_ENABLED=1 go test -race ./...

quick: static ## format, vet, staticcheck, and the tests of what changed: under a minute when warm
	go test ./agent/... ./cmd/... ./test/bench ./test/mutants
	go test -count=1 ./test/guard

# Go's own cache of test results knows what a change touches, so "quick" names all packages.
static: .cache/tools/staticcheck dbus-daemon
	@unformatted=$$(gofmt -l agent cmd test); \
	    [ -z "$$unformatted" ] || { echo "not formatted: $$unformatted (hint: gofmt -w)"; exit 1; }
	go vet ./...
	go vet -tags '$(TAGS) e2e demo conformance' ./test/...
	.cache/tools/staticcheck ./...

# The launcher's tests speak D-Bus with a daemon of their own.
dbus-daemon:
	@command -v dbus-daemon >/dev/null || \
	    { apt-get update -qq && apt-get install -y -qq --no-install-recommends dbus-daemon; }

lines: ## the lines of our own that each privileged program links
	@test/lines

PKG ?= ./agent/ident
MUTANTS ?= -n 40
mutants: ## small changes to PKG=./agent/…, each of which its own tests must notice
	go run ./test/mutants $(MUTANTS) $(PKG)

# A number of inputs, not a time: a fuzz test whose time runs out may fail for that alone.
FUZZTIME ?= 5000x

# Linking takes most of the time and one processor, so several run at a time.
fuzz: ## each fuzz test, for 5000 inputs
	@grep -rn --include='*_test.go' -o '^func Fuzz[A-Za-z]*' agent cmd | sed 's|/[^/]*_test.go:[0-9]*:func | |' | \
	  xargs -P "$$(nproc)" -L 1 bash -c \
	    'out=$$(go test -run="^$$" -fuzz="^$$1\$$" -parallel=2 -fuzztime=$(FUZZTIME) "./$$0" </dev/null 2>&1) || \
	    { echo "$$out"; echo "failed: $$1 in $$0"; exit 255; }; echo "$$out" | tail -1'

# The throwaway hosts are of this machine's kind.
e2e conformance bench demo: ARCHES := $(shell go env GOARCH)

e2e: apt-repo ## end-to-end tests on throwaway hosts, Debian 13 and 12 (root)
	test/e2e/run

conformance: apt-repo ## JupyterHub's API, asked of the hub and of the real JupyterHub (root)
	test/conformance/run

bench: apt-repo ## figures on a throwaway host beside plain rootless Podman, in dist/bench.json (root)
	test/bench/run

test: check fuzz e2e conformance ## all tests: check, fuzz, e2e, conformance

demo: apt-repo ## the main job on a throwaway host that stays up (root)
	test/demo

demo-stop: ## end that host
	test/demo stop

clean: ## remove what was built; .cache stays
	rm -rf bin dist

# What the packages are made of.
programs: .cache/tools/nfpm
	for a in $(ARCHES); do for c in $(COMMANDS); do \
	    GOARCH=$$a go build -trimpath -ldflags '$(LDFLAGS)' -o dist/bin/$$a/$$c ./cmd/$$c; \
	done; done

package-docs:
	rm -rf dist/docs
	go run ./cmd/gifford-hub docs dist/docs
	cp packaging/man/* dist/docs/man/
	packaging/changelog '$(VERSION)' >dist/docs/changelog
	packaging/licenses >dist/docs/third-party-licenses
	gzip -9n dist/docs/man/* dist/docs/changelog dist/docs/third-party-licenses

.cache/tools/nfpm:
	mkdir -p .cache/tools
	GOBIN=$(CURDIR)/.cache/tools GOFLAGS=-buildvcs=false go install $(NFPM)

.cache/tools/staticcheck: Makefile
	mkdir -p .cache/tools
	GOBIN=$(CURDIR)/.cache/tools GOFLAGS=-buildvcs=false go install $(STATICCHECK)
	touch $@
