package control_test

import (
	"cmp"
	"strings"
	"testing"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/quota"
)

func TestCreateBatchInferenceJobRules(t *testing.T) {
	s := open(t, quota.AWS())
	solution := s.solution("s", "aws-user-personalization")
	version, training := s.trained(solution), s.version(solution)
	for name, expression := range map[string]string{"items": watchedAlready, "users": `INCLUDE UserID WHERE Interactions.EVENT_TYPE IN ("watch")`, "pending": watchedAlready, "current": `INCLUDE ItemID WHERE Items.GENRES IN CurrentItem.GENRES`} {
		_, err := s.CreateFilter(s.ctx, filterRequest(name, expression))
		s.must(err)
		if name != "pending" {
			s.set(inRegion+"filter/"+name, meta.CreateInProgress, meta.Active)
		}
	}
	base := api.CreateBatchInferenceJobRequest{
		JobName: "b", SolutionVersionARN: version, RoleARN: someRole,
		JobInput:  &api.BatchInferenceJobInput{S3DataSource: &api.S3DataConfig{Path: "s3://in-bucket/users.json"}},
		JobOutput: &api.BatchInferenceJobOutput{S3DataDestination: &api.S3DataConfig{Path: "s3://in-bucket/out"}},
	}
	type request = api.CreateBatchInferenceJobRequest
	names := map[string]string{"good": "b", "the same name": "b"}
	for _, c := range []struct {
		name   string
		change func(*request)
		code   api.Code
		part   string
	}{
		{"good", func(*request) {}, "", ""},
		{"the same name", func(*request) {}, api.ResourceAlreadyExists, ""},
		{"input", func(in *request) {
			in.JobInput = &api.BatchInferenceJobInput{S3DataSource: &api.S3DataConfig{Path: "s3://in-bucket"}}
		}, api.InvalidInput, "Invalid S3 input path"},
		{"output", func(in *request) {
			in.JobOutput = &api.BatchInferenceJobOutput{S3DataDestination: &api.S3DataConfig{Path: "s3://"}}
		}, api.InvalidInput, "Invalid S3 output path"},
		{"output in the input's folder", func(in *request) {
			in.JobOutput = &api.BatchInferenceJobOutput{S3DataDestination: &api.S3DataConfig{Path: "s3://in-bucket"}}
		}, api.InvalidInput, "Invalid S3 output path"},
		{"results", func(in *request) { in.NumResults = new(501) }, api.InvalidInput, "numResults"},
		{"themes without fields", func(in *request) { in.BatchInferenceJobMode = "THEME_GENERATION" }, api.InvalidInput, "themeGenerationConfig is required"},
		{"themes of another recipe", func(in *request) {
			in.BatchInferenceJobMode = "THEME_GENERATION"
			in.ThemeGenerationConfig = &api.ThemeGenerationConfig{FieldsForThemeGeneration: &api.FieldsForThemeGeneration{ItemName: "GENRES"}}
		}, api.InvalidInput, "THEME_GENERATION is not supported by recipe"},
		{"unknown version", func(in *request) { in.SolutionVersionARN += "x" }, api.ResourceNotFound, ""},
		{"version in training", func(in *request) { in.SolutionVersionARN = training }, api.ResourceInUse, ""},
		{"unknown filter", func(in *request) { in.FilterARN = inRegion + "filter/none" }, api.ResourceNotFound, ""},
		{"filter pending", func(in *request) { in.FilterARN = inRegion + "filter/pending" }, api.ResourceInUse, ""},
		{"filter of users", func(in *request) { in.FilterARN = inRegion + "filter/users" }, api.InvalidInput, "does not select"},
		{"filter of items", func(in *request) { in.FilterARN = inRegion + "filter/items" }, "", ""},
		{"filter on the current item", func(in *request) { in.FilterARN = inRegion + "filter/current" }, api.InvalidInput, "CurrentItem"},
		{"exploration", func(in *request) {
			in.BatchInferenceJobConfig = &api.BatchInferenceJobConfig{ItemExplorationConfig: map[string]string{"explorationWeight": "7"}}
		}, api.InvalidInput, "explorationWeight"},
		{"influence", func(in *request) {
			in.BatchInferenceJobConfig = &api.BatchInferenceJobConfig{RankingInfluence: map[string]float64{"POPULARITY": 1}}
		}, api.InvalidInput, "rankingInfluence"},
	} {
		in := base
		in.JobName = cmp.Or(names[c.name], "b-"+strings.ReplaceAll(c.name, " ", "-"))
		c.change(&in)
		_, err := s.CreateBatchInferenceJob(s.ctx, &in)
		want(t, c.name, err, c.code, c.part)
	}
	_, err := s.CreateBatchSegmentJob(s.ctx, &api.CreateBatchSegmentJobRequest{
		JobName: "b", SolutionVersionARN: version, RoleARN: someRole,
		JobInput:  &api.BatchSegmentJobInput{S3DataSource: base.JobInput.S3DataSource},
		JobOutput: &api.BatchSegmentJobOutput{S3DataDestination: base.JobOutput.S3DataDestination},
	})
	want(t, "segments of items", err, api.InvalidInput, "Batch segments are not supported by recipe")
}

func TestCreateBatchSegmentJobRules(t *testing.T) {
	limits := quota.AWS()
	limits.BatchSegmentJobs = 1
	s := open(t, limits)
	byItem, byAttributes := s.trained(s.solution("i", "aws-item-affinity")), s.trained(s.solution("a", "aws-item-attribute-affinity"))
	for name, expression := range map[string]string{"items": watchedAlready, "users": `INCLUDE UserID WHERE Interactions.EVENT_TYPE IN ("watch")`} {
		_, err := s.CreateFilter(s.ctx, filterRequest(name, expression))
		s.must(err)
		s.set(inRegion+"filter/"+name, meta.CreateInProgress, meta.Active)
	}
	type request = api.CreateBatchSegmentJobRequest
	for _, c := range []struct {
		name   string
		change func(*request)
		code   api.Code
		part   string
	}{
		{"filter of items", func(in *request) { in.FilterARN = inRegion + "filter/items" }, api.InvalidInput, "does not select"},
		{"interactions and attributes", func(in *request) {
			in.FilterARN, in.SolutionVersionARN = inRegion+"filter/users", byAttributes
		}, api.InvalidInput, "Filters on interactions cannot be used"},
		{"results", func(in *request) { in.NumResults = new(5_000_001) }, api.InvalidInput, "numResults"},
		{"good", func(in *request) { in.FilterARN, in.NumResults = inRegion+"filter/users", new(5_000_000) }, "", ""},
		{"good", func(*request) {}, api.ResourceAlreadyExists, ""},
		{"one more", func(*request) {}, api.LimitExceeded, "More than 1 resources with PENDING or IN_PROGRESS status."},
	} {
		in := request{
			JobName: strings.ReplaceAll(c.name, " ", "-"), SolutionVersionARN: byItem, RoleARN: someRole,
			JobInput:  &api.BatchSegmentJobInput{S3DataSource: &api.S3DataConfig{Path: "s3://in-bucket/items.json"}},
			JobOutput: &api.BatchSegmentJobOutput{S3DataDestination: &api.S3DataConfig{Path: "s3://in-bucket/out"}},
		}
		c.change(&in)
		_, err := s.CreateBatchSegmentJob(s.ctx, &in)
		want(t, c.name, err, c.code, c.part)
	}
	d, err := s.DescribeBatchSegmentJob(s.ctx, &api.DescribeBatchSegmentJobRequest{BatchSegmentJobARN: inRegion + "batch-segment-job/good"})
	s.must(err)
	if j := d.BatchSegmentJob; j.Status != meta.CreatePending || j.FilterARN != inRegion+"filter/users" || j.SolutionVersionARN != byItem || *j.NumResults != 5_000_000 {
		t.Errorf("%+v", j)
	}
	_, err = s.DeleteFilter(s.ctx, &api.DeleteFilterRequest{FilterARN: inRegion + "filter/users"})
	want(t, "the filter of a job", err, api.ResourceInUse, "")
}

func TestThereAreNoBatchJobs(t *testing.T) {
	s := newStudio(t, quota.AWS())
	i, err := s.ListBatchInferenceJobs(s.ctx, &api.ListBatchInferenceJobsRequest{})
	s.must(err)
	g, err := s.ListBatchSegmentJobs(s.ctx, &api.ListBatchSegmentJobsRequest{})
	s.must(err)
	if len(i.BatchInferenceJobs) != 0 || len(g.BatchSegmentJobs) != 0 {
		t.Errorf("%v, %v", i, g)
	}
	_, err = s.DescribeBatchInferenceJob(s.ctx, &api.DescribeBatchInferenceJobRequest{BatchInferenceJobARN: inRegion + "batch-inference-job/b"})
	want(t, "inference", err, api.ResourceNotFound, "")
	_, err = s.DescribeBatchSegmentJob(s.ctx, &api.DescribeBatchSegmentJobRequest{BatchSegmentJobARN: inRegion + "batch-segment-job/b"})
	want(t, "segment", err, api.ResourceNotFound, "")
}
