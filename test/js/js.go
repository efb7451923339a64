// Package js calls a palate server with the published AWS clients for JavaScript, the only ones here that know all 79 operations. It needs node and
// the modules of package-lock.json, which `npm ci` puts beside it; without them tests say so and are skipped.
package js

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/palate-dev/palate/test/sdk"
)

// Call is one operation, with its input as apitest.Plain gives it. With an Exception a sdk.Reflecting server answers that instead.
type Call struct {
	Service   string `json:"service"` // personalize, personalize-runtime, personalize-events, s3, sts
	Operation string `json:"operation"`
	Input     any    `json:"input,omitempty"`
	Exception string `json:"exception,omitempty"`
}

// Result is what the client made of the answer.
type Result struct {
	Output any    `json:"output"` // in the form of apitest.Plain
	Error  *Error `json:"error"`
}

// Error is the exception that the client threw.
type Error struct {
	Name      string `json:"name"`
	Message   string `json:"message"`
	Status    int    `json:"status"`
	Fault     string `json:"fault"` // "client" or "server"
	RequestID string `json:"requestId"`
	Typed     bool   `json:"typed"` // of the client's own class of that name
}

// Run makes the calls one after the other and returns a result for each.
func Run(t *testing.T, endpoint string, calls []Call) []Result {
	t.Helper()
	dir := directory(t)
	plan, err := json.Marshal(map[string]any{
		"endpoint": endpoint, "region": "us-east-1", "accessKey": sdk.AccessKey, "secretKey": sdk.SecretKey, "header": sdk.ErrorHeader, "calls": calls,
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", filepath.Join(dir, "conformance.mjs"))
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(plan), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("run node: %v\n%s", err, stderr.Bytes())
	}
	var results []Result
	if err := json.Unmarshal(out, &results); err != nil || len(results) != len(calls) {
		t.Fatalf("%d results of %d calls: %v", len(results), len(calls), err)
	}
	return results
}

// directory is where this file, conformance.mjs and node_modules are. The test is skipped if the clients cannot run.
func directory(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is not installed: the JavaScript clients are not tested")
	}
	_, file, _, _ := runtime.Caller(0)
	dir := filepath.Dir(file)
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "@aws-sdk")); err != nil {
		t.Skip("test/js/node_modules is missing (npm ci --prefix test/js): the JavaScript clients are not tested")
	}
	return dir
}
