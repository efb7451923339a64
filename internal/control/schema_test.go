package control_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/quota"
)

// schemaText returns a schema, oddly spaced, to see that it is kept as it is.
func schemaText(name, fields string) string {
	return "{ \"type\":\"record\",\n\t\"name\" : \"" + name + `","note":"<&>é \u00e9","fields":[` + fields + `], "version":"1.0"}`
}

// quoted returns a text as JSON.
func quoted(text string) string {
	b, _ := json.Marshal(text) // strings always marshal
	return string(b)
}

func TestSchemaComesBackByteForByteAndIsUsableAtOnce(t *testing.T) {
	s := newStudio(t, quota.AWS())
	text := schemaText("Interactions", watched)
	s.ok("CreateSchema", `{"name":"s","schema":`+quoted(text)+`}`)
	s.describes("DescribeSchema", `{"schemaArn":"~schema/s"}`, "schema", `{"name":"s","schemaArn":"~schema/s","schema":`+quoted(text)+`}`)
	got := s.ok("ListSchemas", `{}`)["schemas"].([]any)[0].(map[string]any)
	if _, ok := got["schema"]; ok || got["name"] != "s" {
		t.Errorf("listed %v", got)
	}
	s.exchanges(
		exchange{"CreateSchema", `{"name":"s","schema":` + quoted(text) + `}`, api.ResourceAlreadyExists, "~schema/s"},
		exchange{"CreateSchema", `{"name":"t","schema":"{}"}`, api.InvalidInput, ""},
		exchange{"CreateSchema", `{"name":"t","schema":` + quoted(schemaText("Films", watched)) + `}`, api.InvalidInput, ""},
		exchange{"CreateSchema", `{"name":"t","domain":"ECOMMERCE","schema":` + quoted(text) + `}`, api.InvalidInput, "EVENT_TYPE"},
		exchange{"CreateSchema", `{"name":"s","schema":"{}"}`, api.InvalidInput, ""}, // the text before the name
		exchange{op: "DeleteSchema", body: `{"schemaArn":"~schema/s"}`},
		exchange{"DeleteSchema", `{"schemaArn":"~schema/s"}`, api.ResourceNotFound, "Resource Arn ~schema/s does not exist."},
		exchange{"DescribeSchema", `{"schemaArn":"~schema/s"}`, api.ResourceNotFound, ""},
	)
}

func TestASchemaInUseStaysUntilItsDatasetsAreGone(t *testing.T) {
	s := newStudio(t, quota.AWS())
	s.group("g", "")
	s.dataset("g", "Interactions", "", watched)
	s.exchanges(exchange{"DeleteSchema", `{"schemaArn":"~schema/g-Interactions"}`, api.ResourceInUse, "~dataset/g/INTERACTIONS"})
	s.ok("DeleteDataset", `{"datasetArn":"~dataset/g/INTERACTIONS"}`)
	s.exchanges(exchange{"DeleteSchema", `{"schemaArn":"~schema/g-Interactions"}`, api.ResourceInUse, "DELETE PENDING"})
	s.settle()
	s.exchanges(exchange{op: "DeleteSchema", body: `{"schemaArn":"~schema/g-Interactions"}`})
}

func TestQuotaOfSchemas(t *testing.T) {
	s := newStudio(t, quota.Limits{Schemas: 1})
	body := func(name string) string {
		return `{"name":"` + name + `","schema":` + quoted(schemaText("Interactions", watched)) + `}`
	}
	s.exchanges(
		exchange{op: "CreateSchema", body: body("a")},
		exchange{"CreateSchema", body("b"), api.LimitExceeded, "More than 1 resources"},
		exchange{op: "DeleteSchema", body: `{"schemaArn":"~schema/a"}`},
		exchange{op: "CreateSchema", body: body("b")},
	)
}

func TestListsGoThroughAllPagesNewestFirst(t *testing.T) {
	s := newStudio(t, quota.AWS())
	var want []string
	for i := range 7 {
		name := fmt.Sprint("s", i)
		s.ok("CreateSchema", `{"name":"`+name+`","schema":`+quoted(schemaText("Interactions", watched))+`}`)
		want = append([]string{name}, want...)
	}
	if diff := cmp.Diff(want, s.listed("ListSchemas", `{}`, "schemas", "name")); diff != "" {
		t.Error(diff)
	}
	for size := 1; size <= 8; size++ {
		var got []string
		body := fmt.Sprintf(`{"maxResults":%d}`, size)
		for page := 1; ; page++ {
			answer := s.ok("ListSchemas", body)
			list := answer["schemas"].([]any)
			if len(list) == 0 || len(list) > size {
				t.Fatalf("page %d of size %d has %d elements", page, size, len(list))
			}
			for _, e := range list {
				got = append(got, e.(map[string]any)["name"].(string))
			}
			next, more := answer["nextToken"].(string)
			if !more {
				break
			}
			body = fmt.Sprintf(`{"maxResults":%d,"nextToken":"%s"}`, size, next)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("pages of %d: %s", size, diff)
		}
	}
}

func TestAPageTokenIsGoodForItsListFilterAndCallerOnly(t *testing.T) {
	s := newStudio(t, quota.AWS())
	for _, g := range []string{"g", "h"} {
		s.group(g, "")
		s.dataset(g, "Interactions", "", watched)
		s.dataset(g, "Items", "", films)
	}
	token := s.ok("ListDatasets", `{"datasetGroupArn":"~dataset-group/g","maxResults":1}`)["nextToken"].(string)
	if got := s.listed("ListDatasets", `{"datasetGroupArn":"~dataset-group/g","nextToken":"`+token+`"}`, "datasets", "datasetType"); len(got) != 1 || got[0] != "INTERACTIONS" {
		t.Error("second page:", got)
	}
	changed := []byte(token)
	changed[3] ^= 1
	for name, x := range map[string]exchange{
		"another filter": {op: "ListDatasets", body: `{"datasetGroupArn":"~dataset-group/h","nextToken":"` + token + `"}`},
		"no filter":      {op: "ListDatasets", body: `{"nextToken":"` + token + `"}`},
		"another list":   {op: "ListSchemas", body: `{"nextToken":"` + token + `"}`},
		"changed":        {op: "ListDatasets", body: `{"datasetGroupArn":"~dataset-group/g","nextToken":"` + string(changed) + `"}`},
		"made up":        {op: "ListDatasets", body: `{"nextToken":"abc"}`},
		"cut":            {op: "ListDatasets", body: `{"datasetGroupArn":"~dataset-group/g","nextToken":"` + token[:len(token)-4] + `"}`},
	} {
		t.Run(name, func(t *testing.T) {
			s.exchanges(exchange{x.op, x.body, api.InvalidNextToken, ""})
		})
	}
	if _, fault := s.call(as(t, "us-east-1", "123456789012"), "ListDatasets", `{"nextToken":"`+token+`"}`); fault == nil || fault.Code != api.InvalidNextToken {
		t.Error("another caller:", fault)
	}
	s.exchanges(
		exchange{"ListDatasets", `{"maxResults":0}`, api.InvalidInput, "maxResults"},
		exchange{"ListDatasets", `{"maxResults":101}`, api.InvalidInput, "maxResults"},
		exchange{"ListDatasets", `{"datasetGroupArn":"~dataset-group/none"}`, api.InvalidInput, "does not exist"},
		exchange{"ListDatasets", `{"datasetGroupArn":"~schema/g-Items"}`, api.InvalidInput, "does not exist"},
	)
}

func FuzzPageTokens(f *testing.F) {
	f.Add("")
	f.Add("AAAAAAAAAAEAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, token string) {
		if token == "" {
			return
		}
		s := newStudio(t, quota.AWS())
		_, err := s.ListSchemas(s.ctx, &api.ListSchemasRequest{NextToken: token})
		want(t, token, err, api.InvalidNextToken, "")
	})
}

func TestWritesWakeTheQueueAndRefusedOnesLeaveNothing(t *testing.T) {
	s := newStudio(t, quota.AWS())
	version := s.db.Version()
	s.exchanges(
		exchange{"CreateEventTracker", `{"name":"t","datasetGroupArn":"~dataset-group/g"}`, api.ResourceNotFound, ""},
		exchange{"CreateDatasetGroup", `{"name":"g","tags":[{"tagKey":"aws:a","tagValue":""}]}`, api.InvalidInput, "aws:"},
	)
	if s.db.Version() != version {
		t.Error("a refused call wrote something")
	}
	if n := s.count(meta.Query{}); n != 0 {
		t.Errorf("refused calls left %d rows", n)
	}
}

func (s *studio) count(q meta.Query) (n int) {
	s.t.Helper()
	s.must(s.db.View(s.ctx, func(tx *meta.Tx) (err error) { n, err = tx.Count(q); return err }))
	return n
}
