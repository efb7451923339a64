package boto_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/palate-dev/palate/test/server"
	"github.com/palate-dev/palate/test/shop"
)

// A notebook written for the real service runs unchanged, in the region where it was configured and in any other.
func TestANotebookDoesTheMainJob(t *testing.T) {
	if err := exec.CommandContext(t.Context(), "python3", "-c", "import boto3").Run(); err != nil {
		t.Skip("python3 with boto3 is not installed: the notebook is not run")
	}
	d := shop.Generate(60, 40, 1500, 1)
	dir := t.TempDir()
	for name, rows := range map[string][][]string{"interactions.csv": d.Interactions, "items.csv": d.Items} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(shop.ToCSV(rows)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := server.Start(t)
	for _, region := range []string{"us-east-1", "eu-west-1"} {
		t.Run(region, func(t *testing.T) {
			notebook := exec.CommandContext(t.Context(), "python3", "mainjob.py", dir)
			notebook.Env = environment(s.URL, region)
			out, err := notebook.CombinedOutput()
			if err != nil || !strings.HasSuffix(string(out), "done\n") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
