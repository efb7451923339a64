package palate_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/palate-dev/palate"

// policy is which of our packages a package may import, not counting tests. The arrows point down: a request goes from wire to control or serve,
// from there to job, work, dataset, recipe, and ends at meta and blob; nothing imports what is above it.
const policy = `
	internal/quota      ->
	internal/signed     ->
	internal/pace       ->
	internal/crash      ->
	internal/api        ->
	internal/api/apigen ->
	internal/api/apitest -> internal/api
	internal/blob       ->
	internal/metrics    ->
	internal/meta       ->
	internal/recipe/vec -> internal/pace
	internal/gateway    -> internal/blob
	internal/shown      -> internal/blob
	internal/verify     ->
	internal/ledger     -> internal/blob
	internal/receipt    -> internal/blob
	internal/wire       -> internal/api internal/pace
	internal/job        -> internal/crash internal/meta internal/pace
	internal/notify     -> internal/meta internal/metrics
	internal/schema     ->
	internal/schema/schematest -> internal/schema
	internal/hostile    ->
	internal/hostile/keep ->
	internal/spill      -> internal/blob
	internal/userset    ->
	internal/rowtext    -> internal/pace internal/schema
	internal/dataset    -> internal/blob internal/crash internal/metrics internal/pace internal/rowtext internal/schema internal/spill internal/userset
	internal/attribution -> internal/dataset internal/meta internal/rowtext internal/schema
	internal/filter     -> internal/schema
	internal/recipe     -> internal/blob internal/dataset internal/pace internal/quota internal/recipe/vec internal/schema internal/userset
	internal/control    -> internal/api internal/attribution internal/dataset internal/filter internal/job internal/meta internal/quota internal/recipe internal/schema
	internal/serve      -> internal/api internal/attribution internal/dataset internal/filter internal/meta internal/quota internal/recipe internal/rowtext internal/schema internal/shown
	internal/work       -> internal/api internal/attribution internal/blob internal/crash internal/dataset internal/filter internal/job internal/ledger internal/meta internal/metrics internal/pace internal/quota internal/receipt internal/recipe internal/rowtext internal/schema internal/userset internal/verify
	internal/demo       -> internal/api internal/blob
	cmd/palate          -> *
	bench/*             -> *
	test/*              -> *
	internal/blob/blobtest -> internal/blob
`

// modules are the direct dependencies. Each has its line in docs/dependencies.md.
const modules = `
	github.com/apache/iceberg-go
	github.com/aws/aws-sdk-go
	github.com/aws/aws-sdk-go-v2
	github.com/aws/aws-sdk-go-v2/credentials
	github.com/aws/aws-sdk-go-v2/service/s3
	github.com/aws/smithy-go
	github.com/google/go-cmp
	github.com/google/uuid
	github.com/hanwen/go-fuse/v2
	github.com/klauspost/compress
	github.com/parquet-go/parquet-go
	github.com/pkg/xattr
	github.com/prometheus/client_golang
	github.com/twmb/murmur3
	github.com/versity/versitygw
	golang.org/x/sync
	golang.org/x/sys
	modernc.org/sqlite
	pgregory.net/rapid
`

type goPackage struct {
	ImportPath, Doc string
	Imports         []string
	Standard        bool
	GoFiles         []string
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Doc,Imports,GoFiles", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var packages []goPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

// allowed parses policy.
func allowed(t *testing.T) map[string][]string {
	rules := map[string][]string{}
	for line := range strings.Lines(strings.TrimSpace(policy)) {
		name, imports, ok := strings.Cut(line, "->")
		if !ok {
			t.Fatalf("policy line without an arrow: %q", line)
		}
		rules[strings.TrimSpace(name)] = strings.Fields(imports)
	}
	return rules
}

// ruleFor finds the rule of a package: its own line, or that of "parent/*".
func ruleFor(rules map[string][]string, name string) ([]string, bool) {
	if r, ok := rules[name]; ok {
		return r, true
	}
	parent, _, _ := strings.Cut(name, "/")
	r, ok := rules[parent+"/*"]
	return r, ok
}

func TestImportsFollowThePolicy(t *testing.T) {
	rules := allowed(t)
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		if len(p.GoFiles) == 0 {
			continue
		}
		rule, ok := ruleFor(rules, name)
		if !ok {
			t.Errorf("%s has no line in the policy", name)
			continue
		}
		for _, imported := range p.Imports {
			to, ours := strings.CutPrefix(imported, module+"/")
			if ours && !slices.Contains(rule, to) && !slices.Contains(rule, "*") {
				t.Errorf("%s imports %s, which the policy does not allow", name, to)
			}
		}
	}
}

// TestOnlyPaceKnowsHowManyThreadsThereAre: a server has more than cores, and a job that took those for cores would have more workers than it has memory planned for.
func TestOnlyPaceKnowsHowManyThreadsThereAre(t *testing.T) {
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		if name == "internal/pace" || !strings.HasPrefix(name, "internal/") && !strings.HasPrefix(name, "cmd/") {
			continue
		}
		for _, f := range p.GoFiles {
			text, err := os.ReadFile(filepath.Join(filepath.FromSlash(name), f))
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(text), "runtime.GOMAXPROCS(") || strings.Contains(string(text), "runtime.NumCPU(") {
				t.Errorf("%s/%s asks the runtime for threads or cores instead of pace.Cores", name, f)
			}
		}
	}
}

func TestEveryPackageSaysWhatItPromises(t *testing.T) {
	for _, p := range listPackages(t) {
		if len(p.GoFiles) > 0 && p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

// goMod is what `go mod edit -json` says.
type goMod struct {
	Require []struct {
		Path     string
		Indirect bool
	}
}

func TestEveryDirectDependencyIsListedAndExplained(t *testing.T) {
	out, err := exec.Command("go", "mod", "edit", "-json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod goMod
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	explained, err := os.ReadFile("docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := strings.Fields(modules)
	for _, m := range mod.Require {
		if m.Indirect {
			continue
		}
		if !slices.Contains(listed, m.Path) {
			t.Errorf("%s is a direct dependency that the list in this file does not have", m.Path)
		}
		if !strings.Contains(string(explained), m.Path) {
			t.Errorf("%s has no line in docs/dependencies.md", m.Path)
		}
	}
}

// named finds the packages that ARCHITECTURE.md tells about.
var named = regexp.MustCompile(`(?m)^\| ([a-z]+) \|`)

func TestTheArchitecturePageNamesEveryPackage(t *testing.T) {
	page, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for _, m := range named.FindAllStringSubmatch(string(page), -1) {
		told[m[1]] = true
	}
	entries, err := os.ReadDir("internal")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !told[e.Name()] {
			t.Errorf("ARCHITECTURE.md does not tell about internal/%s", e.Name())
		}
		delete(told, e.Name())
	}
	for name := range told {
		if name != "package" {
			t.Errorf("ARCHITECTURE.md tells about internal/%s, which is not there", name)
		}
	}
}
