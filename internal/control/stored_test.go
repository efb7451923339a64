package control_test

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/quota"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Newer builds read the rows of older ones. A difference here is a change of the stored form: members may be added, none renamed or dropped
// without a migration.
func TestStoredFormOfEachKindIsPinned(t *testing.T) {
	s := open(t, quota.AWS())
	s.dataset("g", "Action_Interactions", "", taken)
	s.group("shop", "ECOMMERCE")
	s.ok("CreateDatasetGroup", `{"name":"sealed",`+keyARN+`,`+role+`}`)
	s.ok("CreateDatasetImportJob", importBody("import", "ITEMS", ``))
	s.ok("CreateDatasetExportJob", `{"jobName":"export","datasetArn":"~dataset/g/ITEMS",`+role+`,"jobOutput":{"s3DataDestination":{"path":"s3://bucket/out/",`+keyARN+`}}}`)
	s.settle()
	s.ok("CreateDataDeletionJob", deletionBody("deletion", "s3://bucket/users.csv"))
	s.ok("CreateEventTracker", `{"name":"tracker","datasetGroupArn":"~dataset-group/g"}`)
	var text strings.Builder
	s.must(s.db.View(s.ctx, func(tx *meta.Tx) error {
		rows, err := tx.Find(meta.Query{})
		for _, r := range rows {
			for _, line := range []string{r.ARN, "kind " + r.Kind, "scope " + r.Scope, "group " + r.Group, "parent " + r.Parent, "name " + r.Name,
				"doc " + string(r.Doc), "private " + string(r.Private), ""} {
				text.WriteString(line + "\n")
			}
		}
		return err
	}))
	random := regexp.MustCompile(`[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|event-tracker/[0-9a-f]{8}`)
	got := random.ReplaceAllString(text.String(), "RANDOM")
	golden := filepath.Join("testdata", "stored.txt")
	if *update {
		s.must(os.MkdirAll("testdata", 0o755))
		s.must(os.WriteFile(golden, []byte(got), 0o644))
	}
	want, err := os.ReadFile(golden)
	s.must(err)
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("rows are stored in another form (-want +got):\n%s", diff)
	}
}
