package control_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/quota"
)

func (s *studio) described(campaign string) *api.Campaign {
	s.t.Helper()
	out, err := s.DescribeCampaign(s.ctx, &api.DescribeCampaignRequest{CampaignARN: campaign})
	s.must(err)
	return out.Campaign
}

func TestCreateCampaignRules(t *testing.T) {
	s := open(t, quota.AWS())
	v1, v2 := s.solution("one", "aws-user-personalization"), s.solution("two", "aws-user-personalization-v2")
	empty := s.solution("empty", "aws-popularity-count")
	good1, good2, training := s.trained(v1), s.trained(v2), s.version(v2)
	failed := s.version(v2)
	s.set(failed, meta.CreateFailed)
	sync, metadata := &api.CampaignConfig{SyncWithLatestSolutionVersion: new(true)}, &api.CampaignConfig{EnableMetadataWithRecommendations: new(true)}
	explore := func(m map[string]string) *api.CampaignConfig { return &api.CampaignConfig{ItemExplorationConfig: m} }
	for i, c := range []struct {
		name    string
		version string
		config  *api.CampaignConfig
		code    api.Code
		part    string
	}{
		{"unknown version", v1 + "/00000000", nil, api.ResourceNotFound, "does not exist"},
		{"solution", v1, nil, api.ResourceNotFound, "does not exist"},
		{"latest of unknown", v1 + "x/$LATEST", nil, api.ResourceNotFound, "x/$LATEST does not exist"},
		{"latest of none", empty + "/$LATEST", nil, api.InvalidInput, "no ACTIVE solution version"},
		{"training", training, nil, api.ResourceInUse, "CREATE PENDING"},
		{"failed", failed, nil, api.InvalidInput, "CREATE FAILED"},
		{"sync to one version", good1, sync, api.InvalidInput, "$LATEST"},
		{"sync", v1 + "/$LATEST", sync, "", ""},
		{"latest once", v1 + "/$LATEST", nil, "", ""},
		{"exploration", good1, explore(map[string]string{"explorationWeight": "0.5", "explorationItemAgeCutOff": "7"}), "", ""},
		{"exploration of v2", good2, explore(map[string]string{"explorationWeight": "0.5"}), api.InvalidInput, "itemExplorationConfig is not supported"},
		{"too much exploration", good1, explore(map[string]string{"explorationWeight": "1.5"}), api.InvalidInput, "between 0 and 1"},
		{"no age", good1, explore(map[string]string{"explorationItemAgeCutOff": "0"}), api.InvalidInput, "at least 1"},
		{"unknown exploration", good1, explore(map[string]string{"weight": "0"}), api.InvalidInput, "no item exploration parameter"},
		{"influence", good1, &api.CampaignConfig{RankingInfluence: map[string]float64{"FRESHNESS": 1}}, api.InvalidInput, "rankingInfluence is not supported"},
		{"metadata", good1, metadata, "", ""},
	} {
		_, err := s.CreateCampaign(s.ctx, &api.CreateCampaignRequest{Name: string(rune('a' + i)), SolutionVersionARN: c.version, CampaignConfig: c.config})
		want(t, c.name, err, c.code, c.part)
	}
}

func TestMetadataNeedsAnItemsDataset(t *testing.T) {
	s := newStudio(t, quota.AWS())
	s.group("g", "")
	s.dataset("g", "Interactions", "", watched)
	version := s.trained(s.solution("s", "aws-popularity-count"))
	_, err := s.CreateCampaign(s.ctx, &api.CreateCampaignRequest{
		Name: "c", SolutionVersionARN: version, CampaignConfig: &api.CampaignConfig{EnableMetadataWithRecommendations: new(true)},
	})
	want(t, "no items", err, api.InvalidInput, "requires an Items dataset")
}

func TestUserSegmentationCannotBeDeployed(t *testing.T) {
	s := open(t, quota.AWS())
	arn := s.trained(s.solution("s", "aws-popularity-count"))
	s.must(s.db.Update(s.ctx, func(tx *meta.Tx) error { // this build trains no such version, so one is made up
		r, err := tx.Get(arn)
		if err != nil {
			return err
		}
		doc, err := meta.Doc[api.SolutionVersion](r)
		if err != nil {
			return err
		}
		doc.RecipeARN = ofRecipe + "aws-item-affinity"
		if err := r.SetDoc(doc); err != nil {
			return err
		}
		return tx.Put(r)
	}))
	_, err := s.CreateCampaign(s.ctx, &api.CreateCampaignRequest{Name: "c", SolutionVersionARN: arn})
	want(t, "segmentation", err, api.InvalidInput, "cannot be deployed")
}

func TestDescribeCampaignShowsTheVersionInUse(t *testing.T) {
	s := open(t, quota.AWS())
	solution := s.solution("s", "aws-user-personalization")
	old, version := s.trained(solution), s.trained(solution)
	config := &api.CampaignConfig{SyncWithLatestSolutionVersion: new(true), ItemExplorationConfig: map[string]string{"exploration_weight": "0.2"}}
	out, err := s.CreateCampaign(s.ctx, &api.CreateCampaignRequest{Name: "c", SolutionVersionARN: solution + "/$LATEST", CampaignConfig: config})
	s.must(err)
	got := s.described(out.CampaignARN)
	want := &api.Campaign{
		Name: "c", CampaignARN: inRegion + "campaign/c", SolutionVersionARN: version, MinProvisionedTPS: new(1), Status: meta.CreatePending,
		CampaignConfig:   &api.CampaignConfig{SyncWithLatestSolutionVersion: new(true), ItemExplorationConfig: map[string]string{"explorationWeight": "0.2"}},
		CreationDateTime: got.CreationDateTime, LastUpdatedDateTime: got.LastUpdatedDateTime,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if r := s.row(out.CampaignARN); r.Job.Kind != job.Deploy || r.Parent != solution {
		t.Errorf("job %q, parent %s", r.Job.Kind, r.Parent)
	}
	plain := s.described(s.campaign("plain", old, nil))
	if plain.CampaignConfig != nil || plain.SolutionVersionARN != old {
		t.Errorf("campaign %+v", plain)
	}
}

func TestUpdateCampaignKeepsWhatTheRequestLeavesOut(t *testing.T) {
	s := open(t, quota.AWS())
	one, two := s.trained(s.solution("one", "aws-user-personalization")), s.trained(s.solution("two", "aws-user-personalization"))
	config := &api.CampaignConfig{ItemExplorationConfig: map[string]string{"explorationWeight": "0.2"}}
	arn := s.campaign("c", one, config)

	_, err := s.UpdateCampaign(s.ctx, &api.UpdateCampaignRequest{CampaignARN: arn, MinProvisionedTPS: new(5)})
	s.must(err)
	got := s.described(arn)
	u := got.LatestCampaignUpdate
	if got.Status != meta.Active || *got.MinProvisionedTPS != 1 || u.Status != meta.CreatePending || u.SolutionVersionARN != one || *u.MinProvisionedTPS != 5 {
		t.Errorf("during the update: %+v, %+v", got, u)
	}
	if diff := cmp.Diff(config, u.CampaignConfig); diff != "" {
		t.Error(diff)
	}
	_, err = s.UpdateCampaign(s.ctx, &api.UpdateCampaignRequest{CampaignARN: arn, MinProvisionedTPS: new(6)})
	want(t, "update during update", err, api.ResourceInUse, "being updated")
	_, err = s.DeleteCampaign(s.ctx, &api.DeleteCampaignRequest{CampaignARN: arn})
	want(t, "delete during update", err, api.ResourceInUse, "being updated")
	s.settle()
	if got := s.described(arn); *got.MinProvisionedTPS != 5 || got.LatestCampaignUpdate.Status != meta.Active {
		t.Errorf("after the update: %+v", got)
	}

	_, err = s.UpdateCampaign(s.ctx, &api.UpdateCampaignRequest{CampaignARN: arn, SolutionVersionARN: two, CampaignConfig: &api.CampaignConfig{}})
	s.must(err)
	s.settle()
	if got := s.described(arn); got.SolutionVersionARN != two || *got.MinProvisionedTPS != 5 || got.CampaignConfig == nil || got.CampaignConfig.ItemExplorationConfig != nil {
		t.Errorf("after the second update: %+v", got)
	}
}

func TestUpdateCampaignRules(t *testing.T) {
	s := open(t, quota.AWS())
	solution := s.solution("s", "aws-user-personalization")
	version := s.trained(solution)
	s.group("h", "")
	s.dataset("h", "Interactions", "", watched)
	foreign, err := s.CreateSolution(s.ctx, &api.CreateSolutionRequest{Name: "h", DatasetGroupARN: inRegion + "dataset-group/h", RecipeARN: ofRecipe + "aws-popularity-count"})
	s.must(err)
	s.settle()
	elsewhere := s.trained(foreign.SolutionARN)
	type request = api.UpdateCampaignRequest
	sync := &api.CampaignConfig{SyncWithLatestSolutionVersion: new(true)}
	fixed, following := s.campaign("fixed", version, nil), s.campaign("following", solution+"/$LATEST", sync)
	training := s.version(solution)
	for _, c := range []struct {
		name string
		in   request
		code api.Code
		part string
	}{
		{"unknown campaign", request{CampaignARN: fixed + "x"}, api.ResourceNotFound, "fixedx"},
		{"unknown version", request{CampaignARN: fixed, SolutionVersionARN: version + "x"}, api.ResourceNotFound, ""},
		{"version in training", request{CampaignARN: fixed, SolutionVersionARN: training}, api.ResourceInUse, "CREATE PENDING"},
		{"version of another group", request{CampaignARN: fixed, SolutionVersionARN: elsewhere}, api.InvalidInput, "another dataset group"},
		{"sync to a version", request{CampaignARN: fixed, SolutionVersionARN: version, CampaignConfig: sync}, api.InvalidInput, "$LATEST"},
		{"sync to the version in use", request{CampaignARN: fixed, CampaignConfig: sync}, api.InvalidInput, "$LATEST"},
		{"follower to a version", request{CampaignARN: following, SolutionVersionARN: version}, api.InvalidInput, "$LATEST"},
		{"exploration", request{CampaignARN: fixed, CampaignConfig: &api.CampaignConfig{ItemExplorationConfig: map[string]string{"explorationWeight": "2"}}}, api.InvalidInput, "explorationWeight"},
		{"sync to latest", request{CampaignARN: fixed, SolutionVersionARN: solution + "/$LATEST", CampaignConfig: sync}, "", ""},
		{"follower with config", request{CampaignARN: following, CampaignConfig: sync}, "", ""},
	} {
		_, err := s.UpdateCampaign(s.ctx, &c.in)
		want(t, c.name, err, c.code, c.part)
	}
}

func TestUpdateCampaignRevivesAFailedOne(t *testing.T) {
	s := open(t, quota.AWS())
	version := s.trained(s.solution("s", "aws-popularity-count"))
	out, err := s.CreateCampaign(s.ctx, &api.CreateCampaignRequest{Name: "c", SolutionVersionARN: version})
	s.must(err)
	_, err = s.UpdateCampaign(s.ctx, &api.UpdateCampaignRequest{CampaignARN: out.CampaignARN})
	want(t, "pending", err, api.ResourceInUse, "CREATE PENDING")
	s.set(out.CampaignARN, meta.CreateFailed)
	_, err = s.UpdateCampaign(s.ctx, &api.UpdateCampaignRequest{CampaignARN: out.CampaignARN})
	s.must(err)
	s.settle()
	if got := s.described(out.CampaignARN); got.Status != meta.Active {
		t.Errorf("status %s", got.Status)
	}
}

func TestCampaignsAreBoundedByTheQuotaOfActiveOnes(t *testing.T) {
	limits := quota.AWS()
	limits.Campaigns = 1
	s := open(t, limits)
	version := s.trained(s.solution("s", "aws-popularity-count"))
	arn := s.campaign("one", version, nil)
	_, err := s.CreateCampaign(s.ctx, &api.CreateCampaignRequest{Name: "two", SolutionVersionARN: version})
	want(t, "second", err, api.LimitExceeded, "More than 1 resources in ACTIVE state.")
	_, err = s.CreateCampaign(s.ctx, &api.CreateCampaignRequest{Name: "one", SolutionVersionARN: version})
	want(t, "same name", err, api.ResourceAlreadyExists, "")
	_, err = s.DeleteCampaign(s.ctx, &api.DeleteCampaignRequest{CampaignARN: arn})
	s.must(err)
	s.settle()
	s.campaign("two", version, nil)
}

func TestListCampaignsBySolutionFollowsTheVersionInUse(t *testing.T) {
	s := open(t, quota.AWS())
	one, two := s.solution("one", "aws-popularity-count"), s.solution("two", "aws-popularity-count")
	arn := s.campaign("c", s.trained(one), nil)
	list := func(solution string) int {
		out, err := s.ListCampaigns(s.ctx, &api.ListCampaignsRequest{SolutionARN: solution})
		s.must(err)
		return len(out.Campaigns)
	}
	if list(one) != 1 || list(two) != 0 || list("") != 1 {
		t.Errorf("%d, %d, %d campaigns", list(one), list(two), list(""))
	}
	_, err := s.UpdateCampaign(s.ctx, &api.UpdateCampaignRequest{CampaignARN: arn, SolutionVersionARN: s.trained(two)})
	s.must(err)
	s.settle()
	if list(one) != 0 || list(two) != 1 {
		t.Errorf("%d, %d campaigns", list(one), list(two))
	}
}
