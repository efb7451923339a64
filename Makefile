# Everything CI does is a target here; .ci/run calls them.
GO ?= go
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: build test race generate lint check bench demo

build: ## the binary, without cgo
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/palate ./cmd/palate

test: ## every test on real parts
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
