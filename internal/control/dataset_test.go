package control_test

import (
	"encoding/json"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/quota"
	"github.com/palate-dev/palate/internal/schema"
)

const (
	offered = `{"name":"ACTION_ID","type":"string"},{"name":"VALUE","type":["null","long"]}`
	taken   = `{"name":"USER_ID","type":"string"},{"name":"ACTION_ID","type":"string"},{"name":"EVENT_TYPE","type":"string"},{"name":"TIMESTAMP","type":"long"}`
	people  = `{"name":"USER_ID","type":"string"},{"name":"AGE","type":["null","int"]}`
)

// schema creates a schema.
func (s *studio) schema(name, record, domain, fields string) {
	s.t.Helper()
	s.ok("CreateSchema", `{"name":"`+name+`"`+domain+`,"schema":`+quoted(schemaText(record, fields))+`}`)
}

func create(name, kind, group, schema string) string {
	return `{"name":"` + name + `","datasetType":"` + kind + `","datasetGroupArn":"~dataset-group/` + group + `","schemaArn":"~schema/` + schema + `"}`
}

func TestDatasetTypeInAnyCaseIsEchoedInUpperCase(t *testing.T) {
	s := newStudio(t, quota.AWS())
	s.group("g", "")
	s.schema("i", "Interactions", "", watched)
	s.schema("a", "ActionInteractions", "", taken)
	got := s.ok("CreateDataset", create("my-data", "inTERactions", "g", "i"))
	if diff := cmp.Diff(map[string]any{"datasetArn": inRegion + "dataset/g/INTERACTIONS"}, got); diff != "" {
		t.Error(diff)
	}
	s.describes("DescribeDataset", `{"datasetArn":"~dataset/g/INTERACTIONS"}`, "dataset", `{"name":"my-data","datasetArn":"~dataset/g/INTERACTIONS",
		"datasetGroupArn":"~dataset-group/g","datasetType":"INTERACTIONS","schemaArn":"~schema/i","status":"CREATE PENDING"}`)

	s.ok("CreateDataset", create("taken", "Action_Interactions", "g", "a"))
	d := s.ok("DescribeDataset", `{"datasetArn":"~dataset/g/ACTION_INTERACTIONS"}`)["dataset"].(map[string]any)
	if id, _ := d["trackingId"].(string); !regexp.MustCompile(`^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$`).MatchString(id) {
		t.Errorf("trackingId is %q", id)
	}
	want := []string{"ACTION_INTERACTIONS", "INTERACTIONS"}
	if diff := cmp.Diff(want, s.listed("ListDatasets", `{"datasetGroupArn":"~dataset-group/g"}`, "datasets", "datasetType")); diff != "" {
		t.Error(diff)
	}
}

func TestADatasetHoldsWhatTheEngineNeeds(t *testing.T) {
	s := newStudio(t, quota.AWS())
	s.group("g", "")
	s.dataset("g", "Items", "", films)
	p, err := meta.Private[meta.DatasetPrivate](s.row(inRegion + "dataset/g/ITEMS"))
	s.must(err)
	group, err := meta.Private[meta.GroupPrivate](s.row(inRegion + "dataset-group/g"))
	s.must(err)
	opaque := regexp.MustCompile(`^[a-z0-9-]{16,}$`)
	if p.Group != group.ID || !opaque.MatchString(p.Group) || !opaque.MatchString(p.Table) || p.Group == p.Table || p.Type != "ITEMS" {
		t.Errorf("private part %+v", p)
	}
	if parsed, err := schema.Parse(p.Schema, p.Domain); err != nil || parsed.Type != schema.Items {
		t.Errorf("its schema is %+v, %v", parsed, err)
	}
}

func TestCreateDatasetChecksInOrder(t *testing.T) {
	s := newStudio(t, quota.AWS())
	s.group("g", "")
	s.group("shop", "ECOMMERCE")
	s.ok("CreateDatasetGroup", `{"name":"pending"}`)
	s.schema("i", "Interactions", "", watched)
	s.schema("p", "Users", "", people)
	s.schema("o", "Actions", "", offered)
	s.schema("si", "Interactions", `,"domain":"ECOMMERCE"`, withTypes)
	s.exchanges(
		exchange{"CreateDataset", create("d", "Films", "g", "i"), api.InvalidInput, "Films"},
		exchange{"CreateDataset", create("d", "Films", "none", "none"), api.InvalidInput, "Films"},
		exchange{"CreateDataset", create("d", "Interactions", "none", "i"), api.ResourceNotFound, "~dataset-group/none"},
		exchange{"CreateDataset", create("d", "Interactions", "g", "none"), api.ResourceNotFound, "~schema/none"},
		exchange{"CreateDataset", create("d", "Interactions", "pending", "i"), api.ResourceInUse, "CREATE PENDING"},
		exchange{"CreateDataset", create("d", "Users", "g", "i"), api.InvalidInput, "INTERACTIONS"},
		exchange{"CreateDataset", create("d", "Interactions", "shop", "i"), api.InvalidInput, "domain"},
		exchange{"CreateDataset", create("d", "Interactions", "g", "si"), api.InvalidInput, "domain"},
		exchange{"CreateDataset", create("d", "Actions", "shop", "o"), api.InvalidInput, "ECOMMERCE"},
		exchange{op: "CreateDataset", body: create("d", "Interactions", "g", "i")},
		exchange{"CreateDataset", create("e", "Interactions", "g", "i"), api.ResourceAlreadyExists, "~dataset/g/INTERACTIONS"},
		exchange{op: "CreateDataset", body: create("d", "Interactions", "shop", "si")}, // the name is free: the ARN has the group's
	)
}

func TestUpdateDatasetKeepsTheOldSchemaUntilTheJobHasEnded(t *testing.T) {
	s := newStudio(t, quota.AWS())
	s.group("g", "")
	s.dataset("g", "Users", "", people)
	s.schema("wider", "Users", "", people+`,{"name":"CITY","type":["null","string"],"categorical":true}`)
	const d, update = `{"datasetArn":"~dataset/g/USERS"}`, `{"datasetArn":"~dataset/g/USERS","schemaArn":"~schema/wider"}`
	s.ok("UpdateDataset", update)
	got := s.ok("DescribeDataset", d)["dataset"].(map[string]any)
	latest := got["latestDatasetUpdate"].(map[string]any)
	if got["status"] != "UPDATE PENDING" || got["schemaArn"] != inRegion+"schema/g-Users" || latest["status"] != "UPDATE PENDING" || latest["schemaArn"] != inRegion+"schema/wider" {
		t.Errorf("during the update: %v", got)
	}
	if j := s.row(inRegion + "dataset/g/USERS").Job; j.Kind != job.Update || j.Lane != inRegion+"dataset/g/USERS" {
		t.Errorf("job %+v", j)
	}
	s.exchanges(
		exchange{"UpdateDataset", update, api.ResourceInUse, "UPDATE PENDING"},
		exchange{"DeleteDataset", d, api.ResourceInUse, "UPDATE PENDING"},
		exchange{"DeleteSchema", `{"schemaArn":"~schema/wider"}`, api.ResourceInUse, ""},
		exchange{"DeleteSchema", `{"schemaArn":"~schema/g-Users"}`, api.ResourceInUse, ""},
		exchange{"CreateDatasetImportJob", importBody("i", "USERS", ``), api.ResourceInUse, "UPDATE PENDING"},
	)
	s.must(s.db.Update(s.ctx, func(tx *meta.Tx) error { // what package work does
		r, err := tx.Get(inRegion + "dataset/g/USERS")
		if err != nil {
			return err
		}
		doc, err := meta.Doc[api.Dataset](r)
		if err != nil {
			return err
		}
		doc.SchemaARN, doc.LatestDatasetUpdate.Status = doc.LatestDatasetUpdate.SchemaARN, meta.Active
		if err := r.SetDoc(doc); err != nil {
			return err
		}
		r.Job = meta.Job{}
		return walk(tx, r, meta.UpdateInProgress, meta.Active)
	}))
	s.exchanges(
		exchange{op: "DeleteSchema", body: `{"schemaArn":"~schema/g-Users"}`}, // replaced, so free
		exchange{"DeleteSchema", `{"schemaArn":"~schema/wider"}`, api.ResourceInUse, ""},
	)
}

func TestUpdateDatasetRefusesWhatExistingRowsCouldNotHave(t *testing.T) {
	s := newStudio(t, quota.AWS())
	s.group("g", "")
	s.dataset("g", "Users", "", people)
	s.dataset("g", "Interactions", "", watched)
	s.schema("required", "Users", "", people+`,{"name":"CITY","type":"string","categorical":true}`)
	s.schema("narrower", "Users", "", `{"name":"USER_ID","type":"string"},{"name":"CITY","type":["null","string"],"categorical":true}`)
	s.schema("more", "Interactions", "", watched+`,{"name":"DEVICE","type":["null","string"]}`)
	update := func(d, schema string) string {
		return `{"datasetArn":"~dataset/g/` + d + `","schemaArn":"~schema/` + schema + `"}`
	}
	s.exchanges(
		exchange{"UpdateDataset", update("ITEMS", "required"), api.ResourceNotFound, "~dataset/g/ITEMS"},
		exchange{"UpdateDataset", update("USERS", "none"), api.ResourceNotFound, "~schema/none"},
		exchange{"UpdateDataset", update("USERS", "required"), api.InvalidInput, "CITY"},
		exchange{"UpdateDataset", update("USERS", "narrower"), api.InvalidInput, "AGE"},
		exchange{"UpdateDataset", update("USERS", "more"), api.InvalidInput, ""},
		exchange{"UpdateDataset", update("INTERACTIONS", "more"), api.InvalidInput, ""},
	)
}

func TestADatasetThatIsNeededStays(t *testing.T) {
	const interactions, items = "INTERACTIONS", "ITEMS"
	metrics, err := json.Marshal(meta.AttributionPrivate{Metrics: []meta.AttributionMetric{{EventType: "a", MetricName: "m", Expression: "Sum( items.PRICE )"}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		r      *meta.Resource
		parent string
		blocks []string
	}{
		"a filter":                 {r: &meta.Resource{Kind: meta.Filter, Status: meta.Active}, blocks: []string{interactions, items}},
		"an event tracker":         {r: &meta.Resource{Kind: meta.EventTracker, Status: meta.CreatePending}, blocks: []string{interactions}},
		"a metric attribution":     {r: &meta.Resource{Kind: meta.MetricAttribution, Status: meta.Active}, blocks: []string{interactions}},
		"one that sums items":      {r: &meta.Resource{Kind: meta.MetricAttribution, Status: meta.Active, Private: metrics}, blocks: []string{interactions, items}},
		"an import into it":        {r: &meta.Resource{Kind: meta.ImportJob, Status: meta.CreateInProgress}, parent: items, blocks: []string{items}},
		"an export of it":          {r: &meta.Resource{Kind: meta.ExportJob, Status: meta.CreatePending}, parent: items, blocks: []string{items}},
		"a training":               {r: &meta.Resource{Kind: meta.SolutionVersion, Status: meta.CreateInProgress}, blocks: []string{interactions, items}},
		"a recommender's training": {r: &meta.Resource{Kind: meta.Recommender, Status: meta.CreatePending}, blocks: []string{interactions, items}},
		"a deletion job":           {r: &meta.Resource{Kind: meta.DeletionJob, Status: meta.Pending}, blocks: []string{interactions, items}},
		"a batch job":              {r: &meta.Resource{Kind: meta.BatchInferenceJob, Status: meta.CreatePending}, blocks: []string{interactions, items}},
		"a campaign":               {r: &meta.Resource{Kind: meta.Campaign, Status: meta.Active}, blocks: []string{interactions, items}},
		"no failed campaign":       {r: &meta.Resource{Kind: meta.Campaign, Status: meta.CreateFailed}},
		"no finished import":       {r: &meta.Resource{Kind: meta.ImportJob, Status: meta.Active}, parent: items},
		"no solution":              {r: &meta.Resource{Kind: meta.Solution, Status: meta.Active}},
		"no trained version":       {r: &meta.Resource{Kind: meta.SolutionVersion, Status: meta.Active}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStudio(t, quota.AWS())
			s.group("g", "")
			s.dataset("g", "Interactions", "", watched)
			s.dataset("g", "Items", "", films)
			c.r.ARN = "arn:it"
			s.add(c.r)
			if c.parent != "" {
				s.must(s.db.Update(s.ctx, func(tx *meta.Tx) error {
					c.r.Parent = inRegion + "dataset/g/" + c.parent
					return tx.Put(c.r)
				}))
			}
			for _, d := range []string{interactions, items} {
				x := exchange{op: "DeleteDataset", body: `{"datasetArn":"~dataset/g/` + d + `"}`}
				for _, blocked := range c.blocks {
					if blocked == d {
						x.code, x.part = api.ResourceInUse, "arn:it"
					}
				}
				s.exchanges(x)
			}
		})
	}
}
