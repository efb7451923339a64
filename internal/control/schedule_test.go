package control_test

import (
	"testing"
	"time"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/quota"
)

// due calls the scheduler as if so much time had passed, and returns how many trainings it started.
func (s *studio) due(in time.Duration) int {
	s.t.Helper()
	n, err := s.TrainDue(s.ctx, time.Now().Add(in))
	s.must(err)
	return n
}

func (s *studio) newest(solution string) *api.SolutionVersionSummary {
	s.t.Helper()
	out, err := s.DescribeSolution(s.ctx, &api.DescribeSolutionRequest{SolutionARN: solution})
	s.must(err)
	return out.Solution.LatestSolutionVersion
}

func TestTheFirstAutomaticTrainingComesAfterAnHour(t *testing.T) {
	s := open(t, quota.AWS())
	solution := s.solution("s", "aws-user-personalization")
	if n := s.due(59 * time.Minute); n != 0 {
		t.Errorf("%d trainings within the hour", n)
	}
	if n := s.due(time.Hour + time.Minute); n != 1 {
		t.Fatalf("%d trainings after an hour", n)
	}
	v := s.newest(solution)
	if v.TrainingType != "AUTOMATIC" || v.TrainingMode != "AUTOTRAIN" || v.Status != meta.CreatePending {
		t.Errorf("version %+v", v)
	}
	if n := s.due(time.Hour + time.Minute); n != 0 {
		t.Errorf("%d more trainings while one runs", n)
	}
	s.settle()
	s.news.arrive()
	if n := s.due(6 * 24 * time.Hour); n != 0 {
		t.Errorf("%d trainings before the week is over", n)
	}
	if n := s.due(inAWeek); n != 1 {
		t.Errorf("%d trainings after a week", n)
	}
}

func TestAManualTrainingInTheFirstHourTakesThePlaceOfTheAutomaticOne(t *testing.T) {
	s := open(t, quota.AWS())
	s.trained(s.solution("s", "aws-user-personalization"))
	s.news.arrive()
	if n := s.due(time.Hour + time.Minute); n != 0 {
		t.Errorf("%d trainings after an hour", n)
	}
	if n := s.due(inAWeek); n != 1 {
		t.Errorf("%d trainings after a week", n)
	}
}

func TestAutomaticTrainingWithoutNewDataIsSkippedForAPeriod(t *testing.T) {
	s := open(t, quota.AWS())
	s.trained(s.solution("s", "aws-user-personalization"))
	if n := s.due(inAWeek); n != 0 {
		t.Errorf("%d trainings without news", n)
	}
	s.news.arrive()
	if n := s.due(inAWeek + time.Hour); n != 0 {
		t.Errorf("%d trainings soon after a skipped run", n)
	}
	if n := s.due(2*inAWeek + time.Hour); n != 1 {
		t.Errorf("%d trainings a week after a skipped run", n)
	}
}

func TestATakenOverModelIsNoTrainingToTheSchedule(t *testing.T) {
	s := open(t, quota.AWS())
	solution := s.solution("s", "aws-user-personalization")
	s.trained(solution)
	out, err := s.CreateSolutionVersion(s.ctx, &api.CreateSolutionVersionRequest{SolutionARN: solution, TrainingMode: "UPDATE"})
	s.must(err)
	s.must(s.db.Update(s.ctx, func(tx *meta.Tx) error { // as package work ends it: the model knows no more events than the one before
		r, err := tx.Get(out.SolutionVersionARN)
		if err != nil {
			return err
		}
		if err := r.SetPrivate(meta.ModelPrivate{Model: "copy", Seq: s.news.seq, Updated: true}); err != nil {
			return err
		}
		r.Job = meta.Job{}
		return walk(tx, r, meta.CreateInProgress, meta.Active)
	}))
	s.news.arrive()
	if n := s.due(inAWeek); n != 1 {
		t.Errorf("%d trainings a week after the last one", n)
	}
	if v := s.newest(solution); v.TrainingMode != "AUTOTRAIN" {
		t.Errorf("version %+v", v)
	}
}

func TestAutomaticTrainingContinuesAfterFailures(t *testing.T) {
	s := open(t, quota.AWS())
	solution := s.solution("s", "aws-user-personalization")
	s.set(s.version(solution), meta.CreateFailed)
	if n := s.due(inAWeek); n != 1 {
		t.Errorf("%d trainings a week after a failed one", n)
	}
}

func TestAutomaticTrainingObeysTheSolution(t *testing.T) {
	s := open(t, quota.AWS())
	off, err := s.CreateSolution(s.ctx, solutionRequest("aws-user-personalization", func(in *api.CreateSolutionRequest) { in.PerformAutoTraining = new(false) }))
	s.must(err)
	s.settle()
	if n := s.due(inAWeek); n != 0 {
		t.Errorf("%d trainings although switched off", n)
	}
	_, err = s.UpdateSolution(s.ctx, &api.UpdateSolutionRequest{
		SolutionARN: off.SolutionARN, PerformAutoTraining: new(true),
		SolutionUpdateConfig: &api.SolutionUpdateConfig{AutoTrainingConfig: &api.AutoTrainingConfig{SchedulingExpression: "rate(2 days)"}},
	})
	s.must(err)
	if n := s.due(inAWeek); n != 0 {
		t.Errorf("%d trainings during the update", n)
	}
	s.settle()
	if n := s.due(time.Hour + time.Minute); n != 1 {
		t.Errorf("%d trainings an hour after switching on", n)
	}
	s.settle()
	s.news.arrive()
	if n := s.due(47 * time.Hour); n != 0 {
		t.Errorf("%d trainings before the second day is over", n)
	}
	if n := s.due(49 * time.Hour); n != 1 {
		t.Errorf("%d trainings after two days", n)
	}
	s.settle()
	s.news.arrive()
	_, err = s.DeleteSolution(s.ctx, &api.DeleteSolutionRequest{SolutionARN: off.SolutionARN})
	s.must(err)
	if n := s.due(4 * inAWeek); n != 0 {
		t.Errorf("%d trainings of a leaving solution", n)
	}
}

func TestANewRateStartsTheScheduleAnewAndOtherUpdatesDoNot(t *testing.T) {
	s := open(t, quota.AWS())
	solution := s.solution("s", "aws-user-personalization-v2")
	s.trained(solution)
	s.news.arrive()
	update := func(config *api.SolutionUpdateConfig) {
		_, err := s.UpdateSolution(s.ctx, &api.UpdateSolutionRequest{SolutionARN: solution, SolutionUpdateConfig: config})
		s.must(err)
		s.settle()
	}
	update(&api.SolutionUpdateConfig{EventsConfig: &api.EventsConfig{EventParametersList: []api.EventParameters{{EventType: "watch"}}}})
	if n := s.due(2 * time.Hour); n != 0 {
		t.Errorf("%d trainings after another events configuration", n)
	}
	update(&api.SolutionUpdateConfig{AutoTrainingConfig: &api.AutoTrainingConfig{SchedulingExpression: "rate(30 days)"}})
	if n := s.due(2 * time.Hour); n != 1 {
		t.Errorf("%d trainings after another rate", n)
	}
}

func TestAutomaticTrainingWaitsForAPlace(t *testing.T) {
	limits := quota.AWS()
	limits.SolutionVersions = 1
	s := open(t, limits)
	s.solution("due", "aws-user-personalization")
	s.version(s.solution("other", "aws-user-personalization"))
	if n := s.due(2 * time.Hour); n != 0 {
		t.Errorf("%d trainings beyond the quota", n)
	}
	s.settle()
	if n := s.due(2 * time.Hour); n != 1 {
		t.Errorf("%d trainings once there is a place", n)
	}
}

func TestFollowersMoveToTheNewestActiveVersion(t *testing.T) {
	s := open(t, quota.AWS())
	solution := s.solution("s", "aws-user-personalization")
	first := s.trained(solution)
	sync := &api.CampaignConfig{SyncWithLatestSolutionVersion: new(true)}
	following, fixed := s.campaign("following", solution+"/$LATEST", sync), s.campaign("fixed", solution+"/$LATEST", nil)
	s.must(s.FollowLatest(s.ctx, solution))
	if u := s.described(following).LatestCampaignUpdate; u != nil {
		t.Errorf("update to the version in use: %+v", u)
	}
	second := s.trained(solution)
	s.version(solution) // still in training: nobody follows it
	s.must(s.FollowLatest(s.ctx, solution))
	got := s.described(following)
	if got.SolutionVersionARN != first || got.LatestCampaignUpdate == nil || got.LatestCampaignUpdate.SolutionVersionARN != second || got.LatestCampaignUpdate.Status != meta.CreatePending {
		t.Errorf("following: %+v, %+v", got, got.LatestCampaignUpdate)
	}
	if got := s.described(fixed); got.LatestCampaignUpdate != nil {
		t.Errorf("fixed: %+v", got.LatestCampaignUpdate)
	}
	s.settle()
	if got := s.described(following); got.SolutionVersionARN == first || *got.CampaignConfig.SyncWithLatestSolutionVersion != true {
		t.Errorf("after the update: %+v", got)
	}
}

func TestAFollowerThatWasBusyIsMovedLater(t *testing.T) {
	s := open(t, quota.AWS())
	solution := s.solution("s", "aws-user-personalization")
	s.trained(solution)
	arn := s.campaign("c", solution+"/$LATEST", &api.CampaignConfig{SyncWithLatestSolutionVersion: new(true)})
	second := s.version(solution)
	_, err := s.UpdateCampaign(s.ctx, &api.UpdateCampaignRequest{CampaignARN: arn, MinProvisionedTPS: new(2)})
	s.must(err)
	s.set(second, meta.CreateInProgress, meta.Active)
	s.must(s.FollowLatest(s.ctx, solution))
	s.settle()
	if got := s.described(arn); got.SolutionVersionARN == second {
		t.Fatal("the update that was under way was overwritten")
	}
	s.due(0)
	s.settle()
	if got := s.described(arn); got.SolutionVersionARN != second || *got.MinProvisionedTPS != 2 {
		t.Errorf("campaign %+v", got)
	}
}

func TestAVersionThatCannotBeDeployedIsNotTriedAgain(t *testing.T) {
	s := open(t, quota.AWS())
	solution := s.solution("s", "aws-user-personalization")
	s.trained(solution)
	arn := s.campaign("c", solution+"/$LATEST", &api.CampaignConfig{SyncWithLatestSolutionVersion: new(true)})
	s.trained(solution)
	s.must(s.FollowLatest(s.ctx, solution))
	s.failUpdate(arn)
	s.must(s.FollowLatest(s.ctx, solution))
	if kind := s.row(arn).Job.Kind; kind != "" {
		t.Errorf("job %q", kind)
	}
	third := s.trained(solution)
	s.must(s.FollowLatest(s.ctx, solution))
	if u := s.described(arn).LatestCampaignUpdate; u.SolutionVersionARN != third {
		t.Errorf("update %+v", u)
	}
}

// An update that fails leaves a campaign as it was, also in whether it follows the latest version.
func TestAnUpdateThatFailedChangesNothingAboutFollowing(t *testing.T) {
	s := open(t, quota.AWS())
	solution := s.solution("s", "aws-user-personalization")
	first := s.trained(solution)
	sync := &api.CampaignConfig{SyncWithLatestSolutionVersion: new(true)}
	following, fixed := s.campaign("following", solution+"/$LATEST", sync), s.campaign("fixed", first, nil)
	for arn, in := range map[string]*api.UpdateCampaignRequest{
		following: {CampaignARN: following, SolutionVersionARN: first, CampaignConfig: &api.CampaignConfig{}},
		fixed:     {CampaignARN: fixed, SolutionVersionARN: solution + "/$LATEST", CampaignConfig: sync},
	} {
		_, err := s.UpdateCampaign(s.ctx, in)
		s.must(err)
		s.failUpdate(arn)
	}
	second := s.trained(solution)
	s.must(s.FollowLatest(s.ctx, solution))
	if u := s.described(following).LatestCampaignUpdate; u.SolutionVersionARN != second || u.Status != meta.CreatePending {
		t.Errorf("one that follows: %+v", u)
	}
	if u := s.described(fixed).LatestCampaignUpdate; u.Status != meta.CreateFailed {
		t.Errorf("one that does not: %+v", u)
	}
	_, err := s.UpdateCampaign(s.ctx, &api.UpdateCampaignRequest{CampaignARN: fixed, CampaignConfig: sync})
	want(t, "sync without $LATEST", err, api.InvalidInput, "$LATEST")
}

// failUpdate ends the update of a campaign as package work ends one that failed.
func (s *studio) failUpdate(arn string) {
	s.t.Helper()
	s.must(s.db.Update(s.ctx, func(tx *meta.Tx) error {
		r, err := tx.Get(arn)
		if err != nil {
			return err
		}
		doc, err := meta.Doc[api.Campaign](r)
		if err != nil {
			return err
		}
		doc.LatestCampaignUpdate.Status, doc.LatestCampaignUpdate.FailureReason, r.Job = meta.CreateFailed, "no", meta.Job{}
		if err := r.SetDoc(doc); err != nil {
			return err
		}
		return tx.Put(r)
	}))
}

func TestAutomaticTrainingOfTheSecondGenerationSearchesEveryNinetyDays(t *testing.T) {
	s := open(t, quota.AWS())
	first, second := s.solution("first", "aws-user-personalization"), s.solution("second", "aws-personalized-ranking-v2")
	search := func(arn string) string {
		p, err := meta.Private[meta.ModelPrivate](s.row(arn))
		s.must(err)
		return p.Search
	}
	run := func(in time.Duration, want string) {
		t.Helper()
		s.news.arrive()
		if n := s.due(in); n != 2 {
			t.Fatalf("%d trainings after %v", n, in)
		}
		if got := search(s.newest(first).SolutionVersionARN); got != "" {
			t.Errorf("after %v: the first generation searches by itself: %q", in, got)
		}
		arn := s.newest(second).SolutionVersionARN
		if got := search(arn); got != want {
			t.Errorf("after %v: search %q, want %q", in, got, want)
		}
		s.settle()
		if want != meta.SearchAnew {
			return
		}
		s.must(s.db.Update(s.ctx, func(tx *meta.Tx) error { // as package work ends a search
			r, err := tx.Get(arn)
			if err != nil {
				return err
			}
			doc, err := meta.Doc[api.SolutionVersion](r)
			if err != nil {
				return err
			}
			doc.TunedHPOParams = &api.TunedHPOParams{AlgorithmHyperParameters: map[string]string{"apply_recency_bias": "false"}}
			if err := r.SetDoc(doc); err != nil {
				return err
			}
			return tx.Put(r)
		}))
	}
	run(2*time.Hour, meta.SearchAnew)
	run(inAWeek, meta.SearchReused)
	run(89*24*time.Hour, meta.SearchReused)
	run(91*24*time.Hour, meta.SearchAnew)
	if got := search(s.version(second)); got != "" {
		t.Errorf("a manual training searches by itself: %q", got)
	}
}
