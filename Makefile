# Everything CI does is a target here; .ci/run calls them.
GO ?= go
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: torture fuzz corpus build test race generate lint check bench demo

build: ## the binary, without cgo
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/palate ./cmd/palate

# Tests write many small files durably. Where memory has room for them they do not wait for the disk, and prove the same: what they kill are processes and
# simulated disks, never the machine.
test: ## every test on real parts
	@if [ -z "$$TMPDIR" ] && [ "$$(df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 { print $$4 }')" -gt 4000000 ] 2>/dev/null; then \
		TMPDIR=$$(mktemp -d /dev/shm/palate-XXXXXX) && trap 'rm -rf "$$TMPDIR"' EXIT && export TMPDIR GOTMPDIR=/tmp; fi; \
		$(GO) test -timeout 40m ./...

race: ## every test under the race detector (needs a C compiler)
	$(GO) test -race -timeout 60m ./...

generate: ## the API tables from the service models
	$(GO) generate ./...

lint: ## format, vet, staticcheck
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$unformatted" ] || { echo "gofmt would change:"; echo "$$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

check: lint generate ## what a change must pass
	@git diff --exit-code -- '*_gen.go' || { echo "generated code is not up to date"; exit 1; }
	$(MAKE) race

bench: ## the figures of docs/benchmarks.md
	$(GO) run ./bench/engine -rows 5000000

demo: ## the whole main job on real films
	$(GO) run ./cmd/palate demo

N ?= 1
TORTURE_LOG ?= $(CURDIR)/torture.log
TORTURE ?= RandomHistories|PowerCut|IOError|Acknowledged|FullDisk|CrashPoint|BreaksItsAnswers|Kill
torture: ## the release gate of docs/reliability.md; N=0.1 runs a tenth of it, MORE=1 adds to what ran before, TORTURE=REGEXP takes some tests. Ends with a table of tests, runs and the seeds that failed
	@[ -n "$(MORE)" ] || rm -f $(TORTURE_LOG)
	@PALATE_TORTURE=$(N) PALATE_TORTURE_LOG=$(TORTURE_LOG) $(GO) test -count=1 -p 1 -timeout 48h ./test/faults ./test/mainjob ./test/history ./internal/dataset \
		-run '$(TORTURE)' >$(TORTURE_LOG).out 2>&1; status=$$?; \
		awk '{ runs[$$1] += $$2; if ($$3 != "passed") failed[$$1] = failed[$$1] substr($$0, index($$0, $$3) + 6) } \
			END { for (t in runs) printf "%-72s %6d  %s\n", t, runs[t], t in failed ? "FAILED" failed[t] : "passed" }' $(TORTURE_LOG) | sort; \
		[ $$status = 0 ] || { grep -a -e '--- FAIL' $(TORTURE_LOG).out; echo "the whole output: $(TORTURE_LOG).out"; }; exit $$status

FUZZTIME ?= 20s
FUZZ ?= .
fuzz: ## every fuzz target for FUZZTIME; FUZZ=REGEXP takes some
	@git grep -o '^func Fuzz[A-Za-z0-9]*' -- '*_test.go' | grep '$(FUZZ)' | while IFS=: read -r file target; do \
		echo "== $$target of $$(dirname $$file)"; $(GO) test ./$$(dirname $$file) -run '^$$' -fuzz "^$${target#func }$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 50x || exit 1; done

corpus: ## what the fuzzer has found on this machine goes into the corpora of testdata/fuzz, as far as it reaches code that nothing else there does
	@git grep -o '^func Fuzz[A-Za-z0-9]*' -- '*_test.go' | grep '$(FUZZ)' | while IFS=: read -r file target; do \
		$(GO) run ./internal/hostile/keep $$(dirname $$file) $${target#func } || exit 1; done
