# Needs Go, make and git, nothing else.

DATA     ?= ../shared/data
FUZZTIME ?= 30s
OUT      ?= bin
GO       ?= go

# Where the gateway has to run: OS/architecture, for arm with its version.
TARGETS = linux/amd64 linux/arm64 linux/arm/7 linux/arm/6 linux/386

PROGRAMS = ./cmd/bellwether ./cmd/bellwether-follower

.PHONY: demo build pkcs11 test lint cross fuzz bench acceptance-main acceptance-evaluation acceptance-fabric acceptance-members clean

# A simulated home, told as it happens, in under a minute.
demo:
	$(GO) run ./cmd/bellwether demo

# Static binaries for this machine: the gateway, and the follower.
build:
	CGO_ENABLED=0 $(GO) build -trimpath -o $(OUT)/ $(PROGRAMS)

# The program that signs with a key in a PKCS #11 token, for this machine: it takes
# a C compiler, since it loads a shared library.
pkcs11:
	CGO_ENABLED=1 $(GO) build -C tools/pkcs11 -trimpath -o $(abspath $(OUT))/bellwether-pkcs11 .

# Tests that need captures which are not part of this tree skip themselves when
# they do not find them, and fail when CI=true. So do those on real networks of
# Hyperledger Fabric where its programs cannot be built; that is done first, once.
test:
	-$(GO) run ./cmd/bellwether fabric build
	$(GO) test -timeout 30m ./...

lint:
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "not formatted: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

# Static binaries for every target, in $(OUT).
cross:
	@set -e; for target in $(TARGETS); do \
		os=$${target%%/*}; arch=$${target#*/}; arm=; \
		case $$arch in arm/*) arm=$${arch#arm/}; arch=arm;; esac; \
		for program in $(PROGRAMS); do \
			name=$(OUT)/$$(basename $$program)-$$os-$$arch$${arm:+v$$arm}; \
			CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch GOARM=$$arm $(GO) build -trimpath -o $$name $$program; \
			echo $$name; \
		done; \
	done

# Every fuzz target of the tree, each for $(FUZZTIME).
fuzz:
	@set -e; targets=0; for package in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			echo "$$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package; \
			targets=$$((targets + 1)); \
		done; \
	done; \
	echo "$$targets fuzz targets"; test $$targets -gt 0

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

# The acceptance list, measured for real on captures in $(DATA).
acceptance-main:
	$(GO) run ./test/acceptance -data $(DATA)

# What the detection is worth: docs/evaluation.md is written from this.
acceptance-evaluation:
	$(GO) run ./test/acceptance -list evaluation -data $(DATA)

# The ledger on Hyperledger Fabric: networks of this machine, made and killed.
acceptance-fabric:
	$(GO) run ./test/acceptance -list fabric -data $(DATA)

# Members: attacked, loaded and killed, with the real programs. Its first number
# needs network namespaces.
acceptance-members:
	$(GO) run ./test/acceptance -list members -data $(DATA)

clean:
	rm -rf $(OUT)
