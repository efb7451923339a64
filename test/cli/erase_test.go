package cli

import (
	"crypto/sha256"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/test/server"
	"github.com/palate-dev/palate/test/shop"
)

// hashes reads every file below a directory. The files that SQLite keeps beside a database that is in use are left out: any reader joins in them.
func hashes(t *testing.T, dir string) map[string][32]byte {
	t.Helper()
	all := map[string][32]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, "-shm") {
			return err
		}
		text, err := os.ReadFile(path)
		all[path] = sha256.Sum256(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestADryRunTellsWhatADeletionThenDoesAndWritesNothing(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, server.Start(t))
	d := shop.Generate(60, 30, 1500, 94)
	h.LoadAll(d)
	version := h.Version(h.Solution("aws-user-personalization"))
	h.Must("PutEvents", shop.M{"trackingId": h.Tracker(), "userId": d.Users[3], "sessionId": "s",
		"eventList": []shop.M{{"eventType": "view", "itemId": "item-0001", "sentAt": 1_790_000_000}}})
	gone := d.Users[3:6]
	list := "USER_ID\n" + strings.Join(gone, "\n") + "\nnobody\n"
	file := filepath.Join(t.TempDir(), "list.csv")
	if err := os.WriteFile(file, []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	h.Upload(h.Objects, "dry/list.csv", list)
	var plan struct {
		DistinctUsers, RowsToRemove int
		Datasets                    []struct {
			DatasetType                        string
			Rows, RowsToRemove, FilesToRewrite int
			BytesToRewrite                     int64
		}
		EventLog struct{ Rows, RowsToRemove int }
		Models   []struct {
			ResourceArn   string
			Rebuild       bool
			UsersToRemove int
		}
		EstimatedSeconds float64
	}
	look := func(args ...string) string {
		t.Helper()
		before := hashes(t, h.Data)
		out := must(t, append([]string{"erase", "--dry-run", "--json", "--data", h.Data, "--group", h.Group}, args...)...)
		if diff := cmp.Diff(before, hashes(t, h.Data)); diff != "" {
			t.Errorf("a dry run has written:\n%s", diff)
		}
		return out
	}
	beside := look("--s3", "s3://shop/dry/list.csv", "--s3-endpoint", h.URL)
	if file := look("--list", file); file != beside {
		t.Errorf("the same list in a file:\n%s\nin S3:\n%s", file, beside)
	}
	h.Stop()
	if stopped := look("--list", file); stopped != beside {
		t.Errorf("without the server:\n%s\nbeside it:\n%s", stopped, beside)
	}
	h.Restart()
	if strings.Contains(beside, gone[0]) {
		t.Error("the plan holds an id")
	}
	if err := json.Unmarshal([]byte(beside), &plan); err != nil {
		t.Fatal(err)
	}
	removed := h.Forget(append(gone, "nobody")...)
	if plan.RowsToRemove != removed || plan.DistinctUsers != 4 || plan.EventLog.RowsToRemove != 1 {
		t.Errorf("the plan was %s; %d rows went", beside, removed)
	}
	if len(plan.Models) != 1 || plan.Models[0].ResourceArn != version || !plan.Models[0].Rebuild || plan.Models[0].UsersToRemove != 3 {
		t.Errorf("models: %+v", plan.Models)
	}
	for _, p := range plan.Datasets {
		if p.RowsToRemove > p.Rows || (p.RowsToRemove > 0) != (p.FilesToRewrite > 0 && p.BytesToRewrite > 0) {
			t.Errorf("%+v", p)
		}
	}
	again := must(t, "erase", "--dry-run", "--data", h.Data, "--group", h.Group, "--list", file)
	if !strings.Contains(again, "4 users listed; 0 rows would be removed") || !strings.Contains(again, "receipt 1: ") {
		t.Errorf("after the deletion:\n%s", again)
	}
	fails(t, "no dataset group arn:none", "erase", "--dry-run", "--data", h.Data, "--group", "arn:none", "--list", file)
	if _, _, status := palate(t, "erase", "--group", h.Group, "--list", file); status != 2 {
		t.Error("without --dry-run something happened")
	}
}
