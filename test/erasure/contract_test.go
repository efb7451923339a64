package erasure

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// clause is a line of the table in doc.go.
var clause = regexp.MustCompile(`(?m)^//\t(E\d+) +.*?((?: (?:internal|test|bench|cmd)/[\w/.]+)+)$`)

func TestEveryClauseHasATestThatExists(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for _, m := range clause.FindAllStringSubmatch(string(text), -1) {
		told[m[1]] = true
		for _, name := range strings.Fields(m[2]) {
			dir, test, isTest := strings.Cut(name, ".")
			dir = filepath.Join("../..", filepath.FromSlash(dir))
			if info, err := os.Stat(dir); err != nil || !info.IsDir() {
				t.Errorf("%s names %s, which is not there", m[1], name)
			} else if isTest && !testsIn(t, dir)[test] {
				t.Errorf("%s names %s, which is not there", m[1], name)
			}
		}
	}
	for n := 1; n <= 22; n++ {
		if !told[fmt.Sprint("E", n)] {
			t.Errorf("no test is named for E%d", n)
		}
	}
}

// testsIn lists the test functions of a directory.
func testsIn(t *testing.T, dir string) map[string]bool {
	t.Helper()
	tests := map[string]bool{}
	names, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Test") {
				tests[fn.Name.Name] = true
			}
		}
	}
	return tests
}
