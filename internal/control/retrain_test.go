package control_test

import (
	"testing"
	"time"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/quota"
)

const day = 24 * time.Hour

// retrains calls the scheduler as if so much time had passed, and returns how many regular trainings it started.
func (s *studio) retrains(in time.Duration) int {
	s.t.Helper()
	s.refreshed = time.Now().Add(in)
	n, err := s.RetrainDue(s.ctx, s.refreshed, 7*day)
	s.must(err)
	return n
}

func TestRecommendersAreTrainedEverySevenDaysFromTheirCreation(t *testing.T) {
	s := newStudio(t, quota.AWS())
	s.group("g", "VIDEO_ON_DEMAND")
	s.dataset("g", "Interactions", "VIDEO_ON_DEMAND", watched+`,{"name":"EVENT_TYPE","type":"string"}`)
	arn := s.recommender("r", "aws-vod-most-popular")
	if n := s.retrains(7*day - time.Minute); n != 0 {
		t.Errorf("%d trainings within the first seven days", n)
	}
	if n := s.retrains(9 * day); n != 1 || s.row(arn).Job.Kind != job.Retrain || s.row(arn).Status != meta.Active {
		t.Fatalf("%d trainings after seven days", n)
	}
	if n := s.retrains(10 * day); n != 0 {
		t.Errorf("%d more while one runs", n)
	}
	s.settle()
	if n := s.retrains(14*day - time.Minute); n != 0 {
		t.Errorf("%d trainings within the second seven days", n)
	}
	if n := s.retrains(14*day + time.Minute); n != 1 {
		t.Fatalf("%d trainings after fourteen days: they are counted from the creation", n)
	}

	// A client may do what he likes meanwhile; what he displaces falls due again.
	_, err := s.StopRecommender(s.ctx, &api.StopRecommenderRequest{RecommenderARN: arn})
	want(t, "stop", err, "", "")
	s.settle()
	if n := s.retrains(30 * day); n != 0 {
		t.Errorf("%d trainings of a recommender that is stopped", n)
	}
	_, err = s.StartRecommender(s.ctx, &api.StartRecommenderRequest{RecommenderARN: arn})
	want(t, "start", err, "", "")
	s.settle()
	if n := s.retrains(30 * day); n != 1 {
		t.Errorf("%d trainings once it is started again", n)
	}
	_, err = s.DeleteRecommender(s.ctx, &api.DeleteRecommenderRequest{RecommenderARN: arn})
	want(t, "delete", err, "", "")
}

func TestARegularTrainingThatFailedIsTriedAgainWithTheNext(t *testing.T) {
	s := newStudio(t, quota.AWS())
	s.group("g", "VIDEO_ON_DEMAND")
	s.dataset("g", "Interactions", "VIDEO_ON_DEMAND", watched+`,{"name":"EVENT_TYPE","type":"string"}`)
	arn := s.recommender("r", "aws-vod-most-popular")
	s.must(s.db.Update(s.ctx, func(tx *meta.Tx) error {
		r, err := tx.Get(arn)
		if err != nil {
			return err
		}
		p, err := meta.Private[meta.ModelPrivate](r)
		if err != nil {
			return err
		}
		p.Failed, p.Failure = time.Now().Add(8*day), "too little"
		s.must(r.SetPrivate(p))
		return tx.Put(r)
	}))
	if n := s.retrains(13 * day); n != 0 {
		t.Errorf("%d trainings in the seven days in which one failed", n)
	}
	if n := s.retrains(15 * day); n != 1 {
		t.Errorf("%d trainings in the next", n)
	}
}
