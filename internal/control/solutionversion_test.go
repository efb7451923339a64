package control_test

import (
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/quota"
)

func TestCreateSolutionVersionSnapshotsTheSolution(t *testing.T) {
	s := open(t, quota.AWS())
	solution, err := s.CreateSolution(s.ctx, solutionRequest("aws-user-personalization", func(in *api.CreateSolutionRequest) {
		in.EventType, in.SolutionConfig.AlgorithmHyperParameters = "watch", map[string]string{"bptt": "8"}
	}))
	s.must(err)
	_, err = s.CreateSolutionVersion(s.ctx, &api.CreateSolutionVersionRequest{SolutionARN: solution.SolutionARN})
	want(t, "solution pending", err, api.ResourceInUse, "CREATE PENDING")
	s.settle()
	created, err := s.CreateSolutionVersion(s.ctx, &api.CreateSolutionVersionRequest{SolutionARN: solution.SolutionARN, Name: "v"})
	s.must(err)
	if !regexp.MustCompile(`^` + regexp.QuoteMeta(solution.SolutionARN) + `/[0-9a-f]{8}$`).MatchString(created.SolutionVersionARN) {
		t.Errorf("ARN %s", created.SolutionVersionARN)
	}
	out, err := s.DescribeSolutionVersion(s.ctx, &api.DescribeSolutionVersionRequest{SolutionVersionARN: created.SolutionVersionARN})
	s.must(err)
	got := out.SolutionVersion
	want := &api.SolutionVersion{
		Name: "v", SolutionVersionARN: created.SolutionVersionARN, SolutionARN: solution.SolutionARN, RecipeARN: ofRecipe + "aws-user-personalization",
		DatasetGroupARN: inRegion + "dataset-group/g", EventType: "watch", PerformHPO: new(false), PerformAutoML: new(false),
		SolutionConfig: &api.SolutionConfig{AlgorithmHyperParameters: map[string]string{"bptt": "8"}},
		TrainingMode:   "FULL", TrainingType: "MANUAL", Status: meta.CreatePending,
		CreationDateTime: got.CreationDateTime, LastUpdatedDateTime: got.LastUpdatedDateTime,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if kind := s.row(created.SolutionVersionARN).Job.Kind; kind != job.Train {
		t.Errorf("job %q", kind)
	}
}

func TestCreateSolutionVersionRules(t *testing.T) {
	s := open(t, quota.AWS())
	v1, v2 := s.solution("one", "aws-user-personalization"), s.solution("two", "aws-user-personalization-v2")
	type request = api.CreateSolutionVersionRequest
	create := func(what string, in request, code api.Code, part string) {
		t.Helper()
		_, err := s.CreateSolutionVersion(s.ctx, &in)
		want(t, what, err, code, part)
	}
	create("unknown", request{SolutionARN: v1 + "x"}, api.ResourceNotFound, "")
	create("AUTOTRAIN", request{SolutionARN: v1, TrainingMode: "AUTOTRAIN"}, api.InvalidInput, "AUTOTRAIN")
	create("UPDATE of v2", request{SolutionARN: v2, TrainingMode: "UPDATE"}, api.InvalidInput, "UPDATE is not supported by recipe")
	create("UPDATE of nothing", request{SolutionARN: v1, TrainingMode: "UPDATE"}, api.InvalidInput, "requires an ACTIVE solution version")
	s.trained(v1)
	create("UPDATE", request{SolutionARN: v1, TrainingMode: "UPDATE"}, "", "")
	create("named", request{SolutionARN: v1, Name: "a"}, "", "")
	create("named again", request{SolutionARN: v1, Name: "a"}, api.ResourceAlreadyExists, "")
	create("named in another solution", request{SolutionARN: v2, Name: "a"}, "", "")
	create("unnamed", request{SolutionARN: v1}, "", "")
	create("unnamed again", request{SolutionARN: v1}, "", "")
	create("tag twice", request{SolutionARN: v1, Tags: []api.Tag{{TagKey: "a"}, {TagKey: "a"}}}, api.InvalidInput, "more than once")
}

func TestTrainingsAreBoundedByTheQuotaOfPendingOnes(t *testing.T) {
	limits := quota.AWS()
	limits.SolutionVersions = 2
	s := open(t, limits)
	solution := s.solution("s", "aws-popularity-count")
	s.version(solution)
	s.version(solution)
	_, err := s.CreateSolutionVersion(s.ctx, &api.CreateSolutionVersionRequest{SolutionARN: solution})
	want(t, "third", err, api.LimitExceeded, "More than 2 resources with PENDING or IN_PROGRESS status.")
	s.settle()
	s.version(solution)
}

func TestStopSolutionVersionCreation(t *testing.T) {
	s := open(t, quota.AWS())
	solution := s.solution("s", "aws-popularity-count")
	stop := func(arn string) error {
		_, err := s.StopSolutionVersionCreation(s.ctx, &api.StopSolutionVersionCreationRequest{SolutionVersionARN: arn})
		return err
	}
	waiting := s.version(solution)
	s.must(stop(waiting))
	if r := s.row(waiting); r.Status != meta.CreateStopped || r.Job.Kind != "" {
		t.Errorf("a version that waited: status %s, job %q", r.Status, r.Job.Kind)
	}
	want(t, "stop twice", stop(waiting), api.ResourceInUse, "CREATE STOPPED")

	taken := s.version(solution)
	s.must(s.db.Update(s.ctx, func(tx *meta.Tx) error {
		r, err := tx.Get(taken)
		if err != nil {
			return err
		}
		r.Job.Owner = "somebody"
		return tx.Put(r)
	}))
	s.must(stop(taken))
	if r := s.row(taken); r.Status != meta.CreateStopped || r.Job.Kind != "" {
		t.Errorf("a pending version that a worker has: status %s, job %q", r.Status, r.Job.Kind)
	}

	running := s.version(solution)
	s.must(s.db.Update(s.ctx, func(tx *meta.Tx) error {
		r, err := tx.Get(running)
		if err != nil {
			return err
		}
		r.Status, r.Job.Owner = meta.CreateInProgress, "somebody"
		return tx.Put(r)
	}))
	s.must(stop(running))
	if r := s.row(running); r.Status != meta.CreateStopping || !r.Job.Cancel || r.Job.Owner != "somebody" {
		t.Errorf("a version in training: status %s, job %+v", r.Status, r.Job)
	}
	want(t, "stop while stopping", stop(running), api.ResourceInUse, "CREATE STOPPING")
	s.settle()
	if r := s.row(running); r.Status != meta.CreateStopped {
		t.Errorf("status %s", r.Status)
	}
	done := s.trained(solution)
	want(t, "stop when ACTIVE", stop(done), api.ResourceInUse, "ACTIVE")
	want(t, "stop of nothing", stop(done+"0"), api.ResourceNotFound, "")

	_, err := s.CreateCampaign(s.ctx, &api.CreateCampaignRequest{Name: "c", SolutionVersionARN: waiting})
	want(t, "deploy a stopped version", err, api.InvalidInput, "CREATE STOPPED")
}

func TestGetSolutionMetricsOnlyOfActiveVersions(t *testing.T) {
	s := open(t, quota.AWS())
	arn := s.version(s.solution("s", "aws-popularity-count"))
	get := func(arn string) (*api.GetSolutionMetricsResponse, error) {
		return s.GetSolutionMetrics(s.ctx, &api.GetSolutionMetricsRequest{SolutionVersionARN: arn})
	}
	_, err := get(arn)
	want(t, "in training", err, api.ResourceInUse, "CREATE PENDING")
	s.settle()
	out, err := get(arn)
	s.must(err)
	if diff := cmp.Diff(&api.GetSolutionMetricsResponse{SolutionVersionARN: arn, Metrics: map[string]float64{"coverage": 0.5}}, out); diff != "" {
		t.Error(diff)
	}
	_, err = get(arn + "x")
	want(t, "unknown", err, api.ResourceNotFound, "")
}

func TestListSolutionVersions(t *testing.T) {
	s := open(t, quota.AWS())
	one, two := s.solution("one", "aws-popularity-count"), s.solution("two", "aws-popularity-count")
	first, second, third := s.trained(one), s.version(one), s.version(two)
	list := func(solution string) (arns []string) {
		out, err := s.ListSolutionVersions(s.ctx, &api.ListSolutionVersionsRequest{SolutionARN: solution})
		s.must(err)
		for _, v := range out.SolutionVersions {
			if v.TrainingMode != "FULL" || v.TrainingType != "MANUAL" || v.Status == "" {
				t.Errorf("summary %+v", v)
			}
			arns = append(arns, v.SolutionVersionARN)
		}
		return arns
	}
	if diff := cmp.Diff([]string{second, first}, list(one)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{third, second, first}, list("")); diff != "" {
		t.Error(diff)
	}
	_, err := s.ListSolutionVersions(s.ctx, &api.ListSolutionVersionsRequest{SolutionARN: one + "x"})
	want(t, "unknown solution", err, api.ResourceNotFound, "")
}
