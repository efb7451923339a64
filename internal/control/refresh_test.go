package control_test

import (
	"testing"
	"time"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/quota"
)

// refreshes calls the scheduler as if so much time had passed, and returns how many refreshes it started.
func (s *studio) refreshes(in, every time.Duration) int {
	s.t.Helper()
	s.refreshed = time.Now().Add(in)
	n, err := s.RefreshDue(s.ctx, s.refreshed, every)
	s.must(err)
	return n
}

// trends makes a solution with that trend_discovery_frequency, "" for the default, and a version of it.
func (s *studio) trends(name, frequency string) (version string) {
	s.t.Helper()
	in := &api.CreateSolutionRequest{Name: name, DatasetGroupARN: inRegion + "dataset-group/g", RecipeARN: ofRecipe + "aws-trending-now"}
	if frequency != "" {
		in.SolutionConfig = &api.SolutionConfig{FeatureTransformationParameters: map[string]string{"trend_discovery_frequency": frequency}}
	}
	out, err := s.CreateSolution(s.ctx, in)
	s.must(err)
	s.settle()
	return s.trained(out.SolutionARN)
}

func TestTrendsAreEvaluatedAgainAfterTheirInterval(t *testing.T) {
	s := open(t, quota.AWS())
	version := s.trends("often", "30 min")
	s.trained(s.solution("other", "aws-popularity-count"))
	s.news.arrive()
	if n := s.refreshes(time.Hour, 0); n != 0 {
		t.Errorf("%d refreshes of what nobody deploys", n)
	}
	s.campaign("c", version, nil)
	s.campaign("d", version, nil)
	s.campaign("rare", s.trends("rarely", ""), nil)
	s.news.arrive()
	if n := s.refreshes(29*time.Minute, 0); n != 0 {
		t.Errorf("%d refreshes within the interval", n)
	}
	if n := s.refreshes(31*time.Minute, 0); n != 1 || s.row(version).Job.Kind != job.Refresh {
		t.Fatalf("%d refreshes after half an hour", n)
	}
	if n := s.refreshes(4*time.Hour, 0); n != 1 {
		t.Errorf("%d more refreshes after four hours, while one runs", n)
	}
	s.settle()
	if n := s.refreshes(9*time.Hour, 0); n != 0 {
		t.Errorf("%d refreshes without new data", n)
	}
	s.news.arrive()
	if n := s.refreshes(4*time.Hour+time.Minute, 0); n != 0 {
		t.Errorf("%d refreshes within the second interval", n)
	}
	if n := s.refreshes(4*time.Hour+time.Minute, time.Second); n != 2 {
		t.Errorf("%d refreshes with an interval of the operator's", n)
	}
}

func TestARefreshIsInNobodysWay(t *testing.T) {
	s := newStudio(t, quota.AWS())
	s.group("g", "VIDEO_ON_DEMAND")
	s.dataset("g", "Interactions", "VIDEO_ON_DEMAND", watched+`,{"name":"EVENT_TYPE","type":"string"}`)
	arn := s.recommender("r", "aws-vod-trending-now")
	due := func() {
		t.Helper()
		s.news.arrive()
		if n := s.refreshes(24*time.Hour, 0); n != 1 {
			t.Fatalf("%d refreshes of a recommender", n)
		}
	}
	due()
	_, err := s.UpdateRecommender(s.ctx, &api.UpdateRecommenderRequest{RecommenderARN: arn, RecommenderConfig: &api.RecommenderConfig{MinRecommendationRequestsPerSecond: new(2)}})
	want(t, "update", err, "", "")
	s.settle()
	due()
	_, err = s.StopRecommender(s.ctx, &api.StopRecommenderRequest{RecommenderARN: arn})
	want(t, "stop", err, "", "")
	s.settle()
	s.news.arrive()
	if n := s.refreshes(48*time.Hour, 0); n != 0 {
		t.Errorf("%d refreshes of a recommender that is stopped", n)
	}
	_, err = s.StartRecommender(s.ctx, &api.StartRecommenderRequest{RecommenderARN: arn})
	want(t, "start", err, "", "")
	s.settle()
	due()
	_, err = s.DeleteRecommender(s.ctx, &api.DeleteRecommenderRequest{RecommenderARN: arn})
	want(t, "delete", err, "", "")
}
