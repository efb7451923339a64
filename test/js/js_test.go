// Package js_test drives a server with the published AWS clients for JavaScript. It needs node and the modules of package-lock.json, which `npm ci` puts
// beside it; without them the tests say so and are skipped.
package js_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/palate-dev/palate/test/plan"
)

func TestJavaScriptClients(t *testing.T) { plan.Conformance(t, plan.Client{Run: run}) }

func TestJavaScriptClientsDoTheMainJob(t *testing.T) { plan.MainJob(t, plan.Client{Run: run}) }

func run(t *testing.T, endpoint string, calls []plan.Call) []plan.Result {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is not installed: the JavaScript clients are not tested")
	}
	if _, err := os.Stat(filepath.Join("node_modules", "@aws-sdk")); err != nil {
		t.Skip("test/js/node_modules is missing (npm ci --prefix test/js): the JavaScript clients are not tested")
	}
	return plan.Run(t, endpoint, calls, "node", "conformance.mjs")
}
