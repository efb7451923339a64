package control_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/quota"
)

const watchedAlready = `EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("watch")`

func filterRequest(name, expression string) *api.CreateFilterRequest {
	return &api.CreateFilterRequest{Name: name, DatasetGroupARN: inRegion + "dataset-group/g", FilterExpression: expression}
}

func TestCreateFilterRules(t *testing.T) {
	s := open(t, quota.AWS())
	_, err := s.CreateDatasetGroup(s.ctx, &api.CreateDatasetGroupRequest{Name: "new"})
	s.must(err)
	elsewhere := filterRequest("f", watchedAlready)
	elsewhere.DatasetGroupARN += "x"
	early := filterRequest("f", watchedAlready)
	early.DatasetGroupARN = inRegion + "dataset-group/new"
	for _, c := range []struct {
		name string
		in   *api.CreateFilterRequest
		code api.Code
		part string
	}{
		{"syntax", filterRequest("f", "EXCLUDE everything"), api.InvalidInput, ""},
		{"placeholder with NOT IN", filterRequest("f", "INCLUDE ItemID WHERE Items.GENRES NOT IN ($G)"), api.InvalidInput, "NOT_IN"},
		{"unknown group", elsewhere, api.ResourceNotFound, "gx does not exist"},
		{"group pending", early, api.InvalidInput, "CREATE PENDING"},
		{"missing dataset", filterRequest("f", `INCLUDE ItemID WHERE Items.PRICE < 3 IF CurrentUser.AGE > 18`), api.InvalidInput, ""},
		{"unknown field", filterRequest("f", `INCLUDE ItemID WHERE Items.COLOR IN ("red")`), api.InvalidInput, "COLOR"},
		{"textual field", filterRequest("f", `INCLUDE ItemID WHERE Items.PLOT IN ("war")`), api.InvalidInput, "PLOT"},
		{"order of strings", filterRequest("f", `INCLUDE ItemID WHERE Items.GENRES < "b"`), api.InvalidInput, ""},
		{"good", filterRequest("f", watchedAlready), "", ""},
		{"same name", filterRequest("f", watchedAlready), api.ResourceAlreadyExists, ""},
	} {
		_, err := s.CreateFilter(s.ctx, c.in)
		want(t, c.name, err, c.code, c.part)
	}
}

func TestDescribeFilterEchoesTheExpression(t *testing.T) {
	s := open(t, quota.AWS())
	expression := "exclude itemid  where\n items.price >= $LOW | INCLUDE ItemID WHERE Items.GENRES IN ($G)"
	out, err := s.CreateFilter(s.ctx, filterRequest("f", expression))
	s.must(err)
	described, err := s.DescribeFilter(s.ctx, &api.DescribeFilterRequest{FilterARN: out.FilterARN})
	s.must(err)
	got := described.Filter
	want := &api.Filter{
		Name: "f", FilterARN: inRegion + "filter/f", DatasetGroupARN: inRegion + "dataset-group/g", FilterExpression: expression,
		Status: meta.CreatePending, CreationDateTime: got.CreationDateTime, LastUpdatedDateTime: got.LastUpdatedDateTime,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if kind := s.row(out.FilterARN).Job.Kind; kind != job.Activate {
		t.Errorf("job %q", kind)
	}
	list, err := s.ListFilters(s.ctx, &api.ListFiltersRequest{DatasetGroupARN: inRegion + "dataset-group/g"})
	s.must(err)
	if len(list.Filters) != 1 || list.Filters[0].Name != "f" || list.Filters[0].DatasetGroupARN != inRegion+"dataset-group/g" {
		t.Errorf("list %+v", list.Filters)
	}
}

func TestFiltersAreBoundedByNumberAndFields(t *testing.T) {
	limits := quota.AWS()
	if limits.Filters != 30 || limits.FilterFields != 10 || limits.GroupFilterFields != 20 || limits.FilterInteractions != 100 || limits.FilterActions != 300 {
		t.Errorf("%+v are not the service's limits of filters", limits)
	}
	limits.Filters, limits.FilterFields, limits.GroupFilterFields = 3, 2, 3
	s := open(t, limits)
	create := func(name, expression string) error {
		_, err := s.CreateFilter(s.ctx, filterRequest(name, expression))
		return err
	}
	want(t, "three fields", create("a", `INCLUDE ItemID WHERE Items.PRICE < 3 AND Items.AGE < 3 AND Items.GENRES IN ("x")`), api.LimitExceeded, "More than 2 distinct fields in a filter")
	want(t, "two fields", create("a", `INCLUDE ItemID WHERE Items.PRICE < 3 AND items.AGE < 3 AND Items.price > 1`), "", "")
	want(t, "the same fields", create("b", `INCLUDE ItemID WHERE Items.AGE < 4 AND Items.PRICE < 4`), "", "")
	want(t, "two more fields", create("c", `INCLUDE ItemID WHERE Items.ITEM_ID IN ("x") AND Items.GENRES IN ("x")`), api.LimitExceeded, "More than 3 distinct fields in the filters")
	want(t, "one more field", create("c", `INCLUDE ItemID WHERE Items.GENRES IN ("x")`), "", "")
	want(t, "fourth filter", create("d", `INCLUDE ItemID WHERE Items.GENRES IN ("x")`), api.LimitExceeded, "More than 3 resources")
	s.settle()
	for _, name := range []string{"a", "b"} {
		_, err := s.DeleteFilter(s.ctx, &api.DeleteFilterRequest{FilterARN: inRegion + "filter/" + name})
		s.must(err)
	}
	want(t, "after deletions", create("d", `INCLUDE ItemID WHERE Items.ITEM_ID IN ("x") AND Items.GENRES IN ("x")`), "", "")
}

func TestDeleteFilterWaitsForBatchJobs(t *testing.T) {
	for _, kind := range []string{meta.BatchInferenceJob, meta.BatchSegmentJob} {
		s := open(t, quota.AWS())
		out, err := s.CreateFilter(s.ctx, filterRequest("f", watchedAlready))
		s.must(err)
		remove := func(what string, code api.Code) {
			_, err := s.DeleteFilter(s.ctx, &api.DeleteFilterRequest{FilterARN: out.FilterARN})
			want(t, kind+": "+what, err, code, "")
		}
		remove("pending filter", api.ResourceInUse)
		s.settle()
		batch := &meta.Resource{ARN: inRegion + kind + "/b", Kind: kind, Scope: "eu-west-1:123456789012", Group: s.row(out.FilterARN).Group, Status: meta.CreatePending}
		s.must(batch.SetDoc(api.BatchInferenceJob{FilterARN: out.FilterARN}))
		s.must(s.db.Update(s.ctx, func(tx *meta.Tx) error { return tx.Insert(batch) }))
		remove("running job", api.ResourceInUse)
		s.set(batch.ARN, meta.CreateFailed)
		remove("failed job", "")
		s.settle()
		remove("gone", api.ResourceNotFound)
	}
}

func TestListFiltersPages(t *testing.T) {
	s := open(t, quota.Local())
	for i := range 5 {
		_, err := s.CreateFilter(s.ctx, filterRequest(fmt.Sprint("f", i), watchedAlready))
		s.must(err)
	}
	var names string
	in := &api.ListFiltersRequest{MaxResults: new(2)}
	for pages := 1; ; pages++ {
		out, err := s.ListFilters(s.ctx, in)
		s.must(err)
		for _, f := range out.Filters {
			names += f.Name
		}
		if in.NextToken = out.NextToken; in.NextToken == "" {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
	}
	if names != "f4f3f2f1f0" {
		t.Errorf("order %s", names)
	}
}
