package behaviour

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/palate-dev/palate/test/shop"
)

// store lists every file and directory below the part of the data directory that belongs to dataset groups.
func store(t *testing.T, h *shop.Shop) (paths []string) {
	t.Helper()
	root := filepath.Join(h.Data, "store")
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && path != root {
			name, _ := filepath.Rel(root, path)
			paths = append(paths, name)
		}
		if os.IsNotExist(err) {
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// A part is something of a dataset group that can be deleted.
type part struct {
	noun, arn string
	needs     []string // parts that cannot go while it is there
}

func (p part) in() M { return M{p.noun + "Arn": p.arn} }

func (p part) delete() string { return "Delete" + strings.ToUpper(p.noun[:1]) + p.noun[1:] }

// furnish builds one of everything that an ECOMMERCE group can have, in the order in which it can be built.
func furnish(t *testing.T, h *shop.Shop) []part {
	t.Helper()
	d := domains[0]
	made := shop.Generate(60, 40, 1200, 61)
	schemas := []string{h.Schema("interactions", d.interactions), h.Schema("items", d.items), h.Schema("users", d.users)}
	dataset := func(kind, schema string) string {
		return h.Make("CreateDataset", "dataset", M{"name": strings.ToLower(kind), "datasetType": kind, "schemaArn": schema, "datasetGroupArn": h.Group})
	}
	h.Interactions, h.Items, h.People = dataset("Interactions", schemas[0]), dataset("Items", schemas[1]), dataset("Users", schemas[2])
	h.Load(h.Interactions, kinds(made.Interactions, "View", "Purchase"))
	h.Load(h.Items, [][]string{{"ITEM_ID", "PRICE", "CATEGORY_L1"}, {"item-0001", "1", "a"}})
	h.Load(h.People, [][]string{{"USER_ID", "MEMBERSHIP_STATUS"}, {made.Users[0], "gold"}})
	filter := h.Make("CreateFilter", "filter", M{"name": "filter", "datasetGroupArn": h.Group, "filterExpression": `EXCLUDE ItemID WHERE Items.PRICE > 5`})
	out := h.Must("CreateEventTracker", M{"name": "tracker", "datasetGroupArn": h.Group})
	tracker := out["eventTrackerArn"].(string)
	h.Wait("eventTracker", tracker)
	visit(h, out["trackingId"].(string), "canary-live", "canary-s", "item-0002", 0)
	attribution := h.Make("CreateMetricAttribution", "metricAttribution", M{"name": "attribution", "datasetGroupArn": h.Group, "metricsOutputConfig": M{"roleArn": shop.Role},
		"metrics": []M{{"eventType": "View", "metricName": "worth", "expression": "SUM(Items.PRICE)"}}})
	solution := h.Make("CreateSolution", "solution", M{"name": "solution", "datasetGroupArn": h.Group, "recipeArn": recipeARN + "aws-user-personalization", "performAutoTraining": false})
	campaign := h.Make("CreateCampaign", "campaign", M{"name": "campaign", "solutionVersionArn": h.Version(solution)})
	recommender := h.Make("CreateRecommender", "recommender", M{"name": "recommender", "datasetGroupArn": h.Group, "recipeArn": recipeARN + d.excluding})
	h.Export(h.Interactions, "ALL")
	h.Forget(made.Users[1])
	return []part{
		{noun: "schema", arn: schemas[0]}, {noun: "schema", arn: schemas[1]}, {noun: "schema", arn: schemas[2]},
		{noun: "datasetGroup", arn: h.Group},
		{noun: "dataset", arn: h.Interactions, needs: []string{schemas[0], h.Group}},
		{noun: "dataset", arn: h.Items, needs: []string{schemas[1], h.Group}},
		{noun: "dataset", arn: h.People, needs: []string{schemas[2], h.Group}},
		{noun: "filter", arn: filter, needs: []string{h.Interactions, h.Items, h.People, h.Group}},
		{noun: "metricAttribution", arn: attribution, needs: []string{h.Interactions, h.Items, h.Group}},
		{noun: "eventTracker", arn: tracker, needs: []string{h.Interactions, h.Group}},
		{noun: "solution", arn: solution, needs: []string{h.Group}},
		{noun: "recommender", arn: recommender, needs: []string{h.Group}},
		{noun: "campaign", arn: campaign, needs: []string{h.Interactions, h.Items, h.People, solution, h.Group}},
	}
}

func TestAGroupIsTakenApartInOrderAndLeavesNothing(t *testing.T) {
	t.Parallel()
	h := shop.New(t, start(t), "group", "ECOMMERCE")
	if left := store(t, h); !slices.Equal(left, []string{"groups"}) {
		t.Fatalf("a group without datasets stores %v", left)
	}
	for round := range 2 { // in the second one every name is used again
		parts := furnish(t, h)
		for i, p := range slices.Backward(parts) {
			for _, needed := range p.needs { // it is refused because of p and of nothing else: what came after p is gone
				at := slices.IndexFunc(parts, func(q part) bool { return q.arn == needed })
				if m := h.Refused("ResourceInUseException", parts[at].delete(), parts[at].in()); !strings.Contains(m, parts[at].arn) {
					t.Errorf("deleting %s while there is %s: %q", parts[at].arn, p.arn, m)
				}
			}
			if p.noun == "eventTracker" {
				rows := h.Export(h.Interactions, "PUT")
				h.Must(p.delete(), p.in())
				h.WatchGone(p.noun, p.arn)
				equalRows(t, "events after their tracker is gone", rows, h.Export(h.Interactions, "PUT"))
				continue
			}
			if i > 3 {
				h.Must(p.delete(), p.in())
				h.WatchGone(p.noun, p.arn)
				h.Refused("ResourceNotFoundException", p.delete(), p.in())
			}
		}
		for _, p := range parts[:3] {
			h.Must(p.delete(), p.in())
			h.Refused("ResourceNotFoundException", "DescribeSchema", p.in())
		}
		h.AssertNoBytesOf(canary)
		h.Must("DeleteDatasetGroup", M{"datasetGroupArn": h.Group})
		h.WatchGone("datasetGroup", h.Group)
		if left := store(t, h); !slices.Equal(left, []string{"groups", "models"}) {
			t.Errorf("after the deletion of everything the store holds %v", left)
		}
		for operation, list := range map[string]string{"ListDatasetGroups": "datasetGroups", "ListDatasets": "datasets", "ListDatasetImportJobs": "datasetImportJobs",
			"ListDatasetExportJobs": "datasetExportJobs", "ListDataDeletionJobs": "dataDeletionJobs", "ListSchemas": "schemas", "ListEventTrackers": "eventTrackers",
			"ListFilters": "Filters", "ListSolutions": "solutions", "ListSolutionVersions": "solutionVersions", "ListCampaigns": "campaigns",
			"ListRecommenders": "recommenders", "ListMetricAttributions": "metricAttributions"} {
			if rows, ok := h.Must(operation, M{})[list].([]any); !ok || len(rows) != 0 {
				t.Errorf("%s still lists %v", operation, rows)
			}
		}
		if round == 0 {
			group := h.Make("CreateDatasetGroup", "datasetGroup", M{"name": "group", "domain": "ECOMMERCE"})
			if group != h.Group {
				t.Fatalf("the same name made %s", group)
			}
		}
	}
}

func TestNothingIsDeletedUnderARunningJob(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t, "--hold", "300ms"))
	d := shop.Generate(60, 40, 1200, 62)
	group := M{"datasetGroupArn": h.Group}
	inUse := func(operation, noun, arn string) {
		t.Helper()
		h.Refused("ResourceInUseException", operation, M{noun + "Arn": arn})
	}
	imported := h.StartImport(h.Interactions, d.Interactions, "FULL")
	inUse("DeleteDataset", "dataset", h.Interactions)
	h.Imported(imported)

	exported, _ := h.StartExport(h.People, "ALL")
	inUse("DeleteDataset", "dataset", h.People)
	h.Wait("datasetExportJob", exported)

	created := h.Must("CreateSolution", M{"name": "s", "datasetGroupArn": h.Group, "recipeArn": recipeARN + "aws-popularity-count", "performAutoTraining": false})["solutionArn"].(string)
	inUse("DeleteSolution", "solution", created)
	inUse("CreateSolutionVersion", "solution", created)
	h.Wait("solution", created)
	version := h.Must("CreateSolutionVersion", M{"solutionArn": created})["solutionVersionArn"].(string)
	h.Refused("ResourceInUseException", "CreateCampaign", M{"name": "c", "solutionVersionArn": version})
	inUse("DeleteSolution", "solution", created)
	inUse("DeleteDataset", "dataset", h.Interactions)
	h.Wait("solutionVersion", version)

	deletion := h.StartDeletion(d.Users[0])
	inUse("DeleteDataset", "dataset", h.Items)
	h.Refused("ResourceInUseException", "DeleteDatasetGroup", group)
	h.Wait("dataDeletionJob", deletion)

	h.Must("DeleteSolution", M{"solutionArn": created})
	inUse("DeleteSolution", "solution", created)
	h.Refused("ResourceAlreadyExistsException", "CreateSolution", M{"name": "s", "datasetGroupArn": h.Group, "recipeArn": recipeARN + "aws-popularity-count"})
	h.Refused("ResourceInUseException", "DeleteDatasetGroup", group)
	steps(t, h.WatchGone("solution", created), "DELETE PENDING", "DELETE IN_PROGRESS")
	h.Refused("ResourceNotFoundException", "DescribeSolutionVersion", M{"solutionVersionArn": version})

	h.Must("DeleteDataset", M{"datasetArn": h.Items})
	h.Refused("ResourceInUseException", "PutItems", M{"datasetArn": h.Items, "items": []M{{"itemId": "i"}}})
	h.Refused("ResourceInUseException", "CreateDatasetExportJob", M{"jobName": "e", "datasetArn": h.Items, "roleArn": shop.Role,
		"jobOutput": M{"s3DataDestination": M{"path": "s3://shop/e"}}})
	h.WatchGone("dataset", h.Items)
	h.Refused("ResourceNotFoundException", "PutItems", M{"datasetArn": h.Items, "items": []M{{"itemId": "i"}}})
	h.Make("CreateDataset", "dataset", M{"name": "again", "datasetType": "ITEMS", "schemaArn": h.Schema("again", shop.ItemsSchema), "datasetGroupArn": h.Group})
	if rows := h.Export(h.Items, "ALL"); len(rows) != 1 {
		t.Errorf("a dataset of the name of a deleted one holds %d rows", len(rows)-1)
	}
}
