package behaviour

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/test/server"
	"github.com/palate-dev/palate/test/shop"
)

type M = server.M

// start serves an empty directory and logs all it can. When the test ends no canary may have escaped.
func start(t *testing.T, args ...string) *server.Server {
	t.Helper()
	s := server.Start(t, append(args, "--verbose")...)
	t.Cleanup(func() { noCanaryEscaped(t, s) })
	return s
}

// canary is how the ids of all users of these tests begin.
const canary = "canary"

func noCanaryEscaped(t *testing.T, s *server.Server) {
	t.Helper()
	for place, text := range map[string]string{"the log": s.Log(), "the answers": s.Words()} {
		for line := range strings.Lines(text) {
			if strings.Contains(line, canary) {
				t.Errorf("the id of a user stands in %s: %s", place, line)
			}
		}
	}
	err := filepath.WalkDir(s.Data, func(path string, e fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil // gone since the directory was read: the server may still be at work
		}
		if err != nil {
			return err
		}
		if strings.Contains(e.Name(), canary) {
			t.Errorf("the id of a user stands in the name of a file: %s", e.Name())
		}
		if !strings.HasPrefix(e.Name(), "meta.db") {
			return nil
		}
		text, err := os.ReadFile(path)
		if at := bytes.Index(text, []byte(canary)); at >= 0 {
			t.Errorf("the id of a user stands in %s: %q", e.Name(), text[max(0, at-200):min(len(text), at+50)])
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// equalRows asserts that two tables hold the same rows, whatever their order, under the same header.
func equalRows(t *testing.T, what string, want, got [][]string) {
	t.Helper()
	if diff := cmp.Diff(shop.Lines(want), shop.Lines(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// steps asserts the statuses that a resource showed. A server that holds each for a while shows all of them.
func steps(t *testing.T, seen []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
}

// schema is an Avro record. A field is "NAME type" with the attributes of its kind: "TITLE string? textual" admits null and is textual.
func schema(name string, fields ...string) string {
	var b strings.Builder
	b.WriteString(`{"type":"record","name":"` + name + `","namespace":"com.amazonaws.personalize.schema","version":"1.0","fields":[`)
	for i, f := range fields {
		if i > 0 {
			b.WriteByte(',')
		}
		words := strings.Fields(f)
		kind, nullable := strings.CutSuffix(words[1], "?")
		kind = `"` + kind + `"`
		if nullable {
			kind = "[" + kind + `,"null"]`
		}
		b.WriteString(`{"name":"` + words[0] + `","type":` + kind)
		for _, attribute := range words[2:] {
			b.WriteString(`,"` + attribute + `":true`)
		}
		b.WriteByte('}')
	}
	b.WriteString("]}")
	return b.String()
}

// column returns the values of one column of a table.
func column(rows [][]string, name string) (values []string) {
	at := slices.Index(rows[0], name)
	for _, row := range rows[1:] {
		values = append(values, row[at])
	}
	return values
}

// solutionOf makes a solution of a recipe with a configuration.
func solutionOf(h *shop.Shop, recipe string, more M) (arn string) {
	h.T.Helper()
	in := M{"name": h.Name("solution"), "datasetGroupArn": h.Group, "recipeArn": "arn:aws:personalize:::recipe/" + recipe, "performAutoTraining": false}
	for k, v := range more {
		in[k] = v
	}
	return h.Make("CreateSolution", "solution", in)
}

// failure waits for a resource that has to fail and returns why it did.
func failure(h *shop.Shop, noun, arn string) string {
	h.T.Helper()
	d := h.Wait(noun, arn)
	reason, _ := d["failureReason"].(string)
	if status := d["status"].(string); !strings.HasSuffix(status, "FAILED") || reason == "" {
		h.T.Errorf("%s ended %s (%q), not in failure", noun, status, reason)
	}
	return reason
}

// settled waits until the last update of a resource is done and returns the resource.
func settled(h *shop.Shop, noun, arn, summary string) M {
	h.T.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-time.After(5 * time.Millisecond) {
		d, err := h.Describe(noun, arn)
		if err != nil {
			h.T.Fatal(err)
		}
		switch update, _ := d[summary].(M); update["status"] {
		case "ACTIVE":
			return d
		case "CREATE FAILED":
			h.T.Fatalf("%s failed: %v", summary, update["failureReason"])
		}
	}
	h.T.Fatalf("%s of %s was not done within a minute", summary, arn)
	return nil
}
