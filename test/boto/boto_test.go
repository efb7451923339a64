// Package boto_test drives a server with boto3. Without python3 or boto3 the tests say so and are skipped.
package boto_test

import (
	"os/exec"
	"testing"

	"github.com/palate-dev/palate/test/plan"
)

func TestBoto3(t *testing.T) {
	if err := exec.CommandContext(t.Context(), "python3", "-c", "import boto3").Run(); err != nil {
		t.Skip("python3 with boto3 is not installed: boto3 is not tested")
	}
	run := func(t *testing.T, endpoint string, calls []plan.Call) []plan.Result {
		return plan.Run(t, endpoint, calls, "python3", "conformance.py")
	}
	plan.Conformance(t, plan.Client{Run: run, WholeSeconds: true})
}
