// Package plan is what tests of clients in other languages share: the calls that are sent to a small program in that language, the results that it
// prints, and the conformance suite in terms of the two.
package plan

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"testing"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/api/apitest"
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
	RequestID string `json:"requestId"`
	Typed     bool   `json:"typed"` // of the client's own class of that name
}

// Run gives the calls to a program and reads its results, one for each call.
func Run(t *testing.T, endpoint string, calls []Call, program string, args ...string) []Result {
	t.Helper()
	text, err := json.Marshal(map[string]any{
		"endpoint": endpoint, "region": "us-east-1", "accessKey": sdk.AccessKey, "secretKey": sdk.SecretKey, "header": sdk.ErrorHeader, "calls": calls,
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(text), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("run %s: %v\n%s", program, err, stderr.Bytes())
	}
	var results []Result
	if err := json.Unmarshal(out, &results); err != nil || len(results) != len(calls) {
		t.Fatalf("%d results of %d calls: %v", len(results), len(calls), err)
	}
	return results
}

// every is one call of each of the 79 operations with every member set, and the statuses of its exceptions.
func every() (calls []Call, statuses []map[api.Code]int) {
	f := apitest.Func(nil)
	for _, s := range []struct {
		service    string
		operations []api.Operation
	}{
		{"personalize", api.PersonalizeOperations(f)},
		{"personalize-runtime", api.PersonalizeRuntimeOperations(f)},
		{"personalize-events", api.PersonalizeEventsOperations(f)},
	} {
		for _, o := range s.operations {
			calls = append(calls, Call{Service: s.service, Operation: o.Name, Input: apitest.Plain(apitest.Request(o.Name))})
			statuses = append(statuses, o.Statuses)
		}
	}
	return calls, statuses
}
