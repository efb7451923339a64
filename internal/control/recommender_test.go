package control_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/quota"
)

const typed = watched + `,{"name":"EVENT_TYPE","type":"string"}`

// shop returns a studio with an ACTIVE group "g" of domain ECOMMERCE with Interactions and Items.
func shop(t *testing.T, limits quota.Limits) *studio {
	s := newStudio(t, limits)
	s.group("g", "ECOMMERCE")
	s.dataset("g", "Interactions", "ECOMMERCE", typed)
	s.dataset("g", "Items", "ECOMMERCE", `{"name":"ITEM_ID","type":"string"},{"name":"PRICE","type":"float"},{"name":"CATEGORY_L1","type":"string","categorical":true}`)
	return s
}

func recommenderRequest(name, recipe string, config *api.RecommenderConfig) *api.CreateRecommenderRequest {
	return &api.CreateRecommenderRequest{Name: name, DatasetGroupARN: inRegion + "dataset-group/g", RecipeARN: ofRecipe + recipe, RecommenderConfig: config}
}

func (s *studio) recommender(name, recipe string) string {
	s.t.Helper()
	out, err := s.CreateRecommender(s.ctx, recommenderRequest(name, recipe, nil))
	s.must(err)
	s.settle()
	return out.RecommenderARN
}

func TestCreateRecommenderRules(t *testing.T) {
	s := shop(t, quota.AWS())
	s.group("custom", "")
	s.group("films", "VIDEO_ON_DEMAND")
	s.dataset("films", "Interactions", "VIDEO_ON_DEMAND", typed)
	const forYou, views = "aws-ecomm-recommended-for-you", "aws-ecomm-popular-items-by-views"
	columns := func(m map[string][]string) *api.RecommenderConfig {
		return &api.RecommenderConfig{TrainingDataConfig: &api.TrainingDataConfig{ExcludedDatasetColumns: m}}
	}
	in := func(change func(*api.CreateRecommenderRequest)) *api.CreateRecommenderRequest {
		r := recommenderRequest("r", forYou, nil)
		change(r)
		return r
	}
	for _, c := range []struct {
		name string
		in   *api.CreateRecommenderRequest
		code api.Code
		part string
	}{
		{"unknown group", in(func(r *api.CreateRecommenderRequest) { r.DatasetGroupARN += "x" }), api.ResourceNotFound, ""},
		{"custom group", in(func(r *api.CreateRecommenderRequest) { r.DatasetGroupARN = inRegion + "dataset-group/custom" }), api.InvalidInput, "has no domain"},
		{"unknown recipe", recommenderRequest("r", "no-such", nil), api.ResourceNotFound, ""},
		{"custom recipe", recommenderRequest("r", "aws-popularity-count", nil), api.InvalidInput, "not a use case"},
		{"foreign domain", recommenderRequest("r", "aws-vod-top-picks", nil), api.InvalidInput, "VIDEO_ON_DEMAND"},
		{"exploration of popularity", recommenderRequest("r", views, &api.RecommenderConfig{ItemExplorationConfig: map[string]string{"explorationWeight": "0"}}), api.InvalidInput, "itemExplorationConfig is not supported"},
		{"exploration", recommenderRequest("r", forYou, &api.RecommenderConfig{ItemExplorationConfig: map[string]string{"explorationWeight": "-1"}}), api.InvalidInput, "explorationWeight"},
		{"column", recommenderRequest("r", forYou, columns(map[string][]string{"ITEMS": {"COLOR"}})), api.InvalidInput, "no column COLOR"},
		{"columns in both maps", recommenderRequest("r", forYou, &api.RecommenderConfig{TrainingDataConfig: &api.TrainingDataConfig{
			ExcludedDatasetColumns: map[string][]string{"ITEMS": {"PRICE"}}, IncludedDatasetColumns: map[string][]string{"ITEMS": {"PRICE"}},
		}}), api.InvalidInput, "Only one of"},
		{"good", recommenderRequest("r", forYou, columns(map[string][]string{"ITEMS": {"PRICE"}})), "", ""},
		{"same name", recommenderRequest("r", views, nil), api.ResourceAlreadyExists, ""},
	} {
		_, err := s.CreateRecommender(s.ctx, c.in)
		want(t, c.name, err, c.code, c.part)
	}
}

func TestRecommendersAreBoundedPerGroup(t *testing.T) {
	limits := quota.AWS()
	limits.Recommenders = 1
	s := shop(t, limits)
	s.recommender("one", "aws-ecomm-popular-items-by-views")
	_, err := s.CreateRecommender(s.ctx, recommenderRequest("two", "aws-ecomm-popular-items-by-views", nil))
	want(t, "second", err, api.LimitExceeded, "More than 1 resources")
}

func TestDescribeRecommenderShowsMetricsOnlyOfAModelInUse(t *testing.T) {
	s := shop(t, quota.AWS())
	out, err := s.CreateRecommender(s.ctx, recommenderRequest("r", "aws-ecomm-popular-items-by-purchases", nil))
	s.must(err)
	describe := func() *api.Recommender {
		d, err := s.DescribeRecommender(s.ctx, &api.DescribeRecommenderRequest{RecommenderARN: out.RecommenderARN})
		s.must(err)
		return d.Recommender
	}
	got := describe()
	want := &api.Recommender{
		Name: "r", RecommenderARN: inRegion + "recommender/r", DatasetGroupARN: inRegion + "dataset-group/g",
		RecipeARN: ofRecipe + "aws-ecomm-popular-items-by-purchases", RecommenderConfig: &api.RecommenderConfig{},
		Status: meta.CreatePending, CreationDateTime: got.CreationDateTime, LastUpdatedDateTime: got.LastUpdatedDateTime,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if kind := s.row(out.RecommenderARN).Job.Kind; kind != job.Recommend {
		t.Errorf("job %q", kind)
	}
	s.must(s.db.Update(s.ctx, func(tx *meta.Tx) error { // as a training does
		r, err := tx.Get(out.RecommenderARN)
		if err != nil {
			return err
		}
		want.ModelMetrics = map[string]float64{"coverage": 0.5}
		if err := r.SetDoc(want); err != nil {
			return err
		}
		return tx.Put(r)
	}))
	if got := describe(); got.ModelMetrics != nil {
		t.Errorf("metrics while %s", got.Status)
	}
	s.settle()
	if got := describe(); got.ModelMetrics == nil {
		t.Errorf("no metrics while %s", got.Status)
	}
	_, err = s.DeleteRecommender(s.ctx, &api.DeleteRecommenderRequest{RecommenderARN: out.RecommenderARN})
	s.must(err)
	if got := describe(); got.ModelMetrics != nil || got.Status != meta.DeletePending {
		t.Errorf("metrics while %s", got.Status)
	}
}

func TestRecommendersStopAndStart(t *testing.T) {
	s := shop(t, quota.AWS())
	arn := s.recommender("r", "aws-ecomm-recommended-for-you")
	start := func() error {
		_, err := s.StartRecommender(s.ctx, &api.StartRecommenderRequest{RecommenderARN: arn})
		return err
	}
	stop := func() error {
		_, err := s.StopRecommender(s.ctx, &api.StopRecommenderRequest{RecommenderARN: arn})
		return err
	}
	want(t, "start when ACTIVE", start(), api.ResourceInUse, "ACTIVE")
	s.must(stop())
	if r := s.row(arn); r.Status != meta.StopPending || r.Job.Kind != job.Toggle {
		t.Errorf("status %s, job %q", r.Status, r.Job.Kind)
	}
	want(t, "stop twice", stop(), api.ResourceInUse, "STOP PENDING")
	_, err := s.DeleteRecommender(s.ctx, &api.DeleteRecommenderRequest{RecommenderARN: arn})
	want(t, "delete while stopping", err, api.ResourceInUse, "STOP PENDING")
	s.settle()
	want(t, "stop when INACTIVE", stop(), api.ResourceInUse, "INACTIVE")
	s.must(start())
	s.settle()
	if r := s.row(arn); r.Status != meta.Active {
		t.Errorf("status %s", r.Status)
	}
	s.must(stop())
	s.settle()
	_, err = s.DeleteRecommender(s.ctx, &api.DeleteRecommenderRequest{RecommenderARN: arn})
	want(t, "delete when INACTIVE", err, "", "")
}

func TestUpdateRecommender(t *testing.T) {
	s := shop(t, quota.AWS())
	arn := s.recommender("r", "aws-ecomm-recommended-for-you")
	config := &api.RecommenderConfig{MinRecommendationRequestsPerSecond: new(3), EnableMetadataWithRecommendations: new(true)}
	update := func(arn string, config *api.RecommenderConfig) error {
		_, err := s.UpdateRecommender(s.ctx, &api.UpdateRecommenderRequest{RecommenderARN: arn, RecommenderConfig: config})
		return err
	}
	want(t, "unknown", update(arn+"x", config), api.ResourceNotFound, "")
	want(t, "exploration", update(arn, &api.RecommenderConfig{ItemExplorationConfig: map[string]string{"explorationWeight": "x"}}), api.InvalidInput, "must be a number")
	s.must(update(arn, config))
	want(t, "update during update", update(arn, config), api.ResourceInUse, "being updated")
	want(t, "stop during update", func() error {
		_, err := s.StopRecommender(s.ctx, &api.StopRecommenderRequest{RecommenderARN: arn})
		return err
	}(), api.ResourceInUse, "being updated")
	describe := func() *api.Recommender {
		d, err := s.DescribeRecommender(s.ctx, &api.DescribeRecommenderRequest{RecommenderARN: arn})
		s.must(err)
		return d.Recommender
	}
	if got := describe(); got.Status != meta.Active || got.LatestRecommenderUpdate.Status != meta.CreatePending || got.RecommenderConfig.MinRecommendationRequestsPerSecond != nil {
		t.Errorf("during the update: %+v", got)
	}
	s.settle()
	if diff := cmp.Diff(config, describe().RecommenderConfig); diff != "" {
		t.Error(diff)
	}
}

func TestListRecommenders(t *testing.T) {
	s := shop(t, quota.AWS())
	s.recommender("one", "aws-ecomm-recommended-for-you")
	s.recommender("two", "aws-ecomm-popular-items-by-views")
	out, err := s.ListRecommenders(s.ctx, &api.ListRecommendersRequest{DatasetGroupARN: inRegion + "dataset-group/g", MaxResults: new(1)})
	s.must(err)
	if len(out.Recommenders) != 1 || out.Recommenders[0].Name != "two" || out.Recommenders[0].RecommenderConfig == nil || out.NextToken == "" {
		t.Errorf("first page %+v", out)
	}
	out, err = s.ListRecommenders(s.ctx, &api.ListRecommendersRequest{DatasetGroupARN: inRegion + "dataset-group/g", NextToken: out.NextToken})
	s.must(err)
	if len(out.Recommenders) != 1 || out.Recommenders[0].Name != "one" || out.NextToken != "" {
		t.Errorf("second page %+v", out)
	}
}
