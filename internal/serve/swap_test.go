package serve_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/internal/meta"
)

func TestRequestsSucceedWhileModelsAreSwappedAndDestroyed(t *testing.T) {
	w := newWorld(t)
	films := w.films()
	version := w.version(films, personalization)
	campaigns := []string{w.campaign(version, certain()), w.campaign(version, certain())}
	want := w.ask(campaigns[0], "u01")
	successors := make([]string, 12)
	for i := range successors {
		successors[i], _ = w.train(films, personalization)
	}

	stop := make(chan struct{})
	var readers sync.WaitGroup
	for i := range 4 {
		readers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				out, err := w.GetRecommendations(w.ctx, &api.GetRecommendationsRequest{CampaignARN: campaigns[(i+n)%2], UserID: "u01"})
				if err != nil {
					t.Errorf("during a swap: %v", err)
					return
				}
				if diff := cmp.Diff(want, out.ItemList); diff != "" {
					t.Errorf("during a swap: %s", diff)
					return
				}
			}
		})
	}
	for _, model := range successors { // what the end of an erasure does
		old := ""
		w.change(version, func(r *meta.Resource) error {
			p, err := meta.Private[meta.ModelPrivate](r)
			old = p.Model
			p.Model = model
			return errors.Join(err, r.SetPrivate(p))
		})
		if err := w.Retire(w.ctx, old); err != nil {
			t.Error(err)
			break
		}
		if err := blob.DestroyAll(filepath.Join(w.models, old)); err != nil {
			t.Error(err)
			break
		}
	}
	close(stop)
	readers.Wait()

	left, err := os.ReadDir(w.models)
	if err != nil || len(left) != 1 {
		t.Errorf("%d model directories left, want 1 (%v)", len(left), err)
	}
}

func TestRetireGivesUpWithItsContext(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(w.ctx)
	cancel()
	if err := w.Retire(ctx, "never-opened"); err != nil {
		t.Errorf("a model that nobody reads: %v", err)
	}
}

// TestAModelThatWasOpenedForATargetServesAtOnce: the files of the new model go before the first request, which would have to read them if it were not open.
func TestAModelThatWasOpenedForATargetServesAtOnce(t *testing.T) {
	for name, open := range map[string]func(w *world, campaign, old, successor string) (func(), error){
		"a campaign moves": func(w *world, campaign, _, successor string) (func(), error) {
			return w.Open(w.ctx, campaign, successor)
		},
		"a model is replaced": func(w *world, _, old, successor string) (func(), error) { return w.Succeed(w.ctx, old, successor) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			films := w.films()
			version := w.version(films, personalization)
			campaign := w.campaign(version, certain())
			want := w.ask(campaign, "u01")
			old := ""
			successor, _ := w.train(films, personalization)
			w.change(version, func(r *meta.Resource) error {
				p, err := meta.Private[meta.ModelPrivate](r)
				old = p.Model
				return err
			})
			moved, err := open(w, campaign, old, successor)
			if err != nil {
				t.Fatal(err)
			}
			w.change(version, func(r *meta.Resource) error {
				p, err := meta.Private[meta.ModelPrivate](r)
				p.Model = successor
				return errors.Join(err, r.SetPrivate(p))
			})
			moved()
			for _, dir := range []string{old, successor} {
				if err := os.Rename(filepath.Join(w.models, dir), filepath.Join(t.TempDir(), dir)); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(want, w.ask(campaign, "u01")); diff != "" {
				t.Error(diff)
			}
			if err := w.Retire(w.ctx, old); err != nil {
				t.Errorf("the model before is still read: %v", err)
			}
		})
	}
}

func TestAModelThatCannotBeReadIsOpenedForNobody(t *testing.T) {
	w := newWorld(t)
	campaign := w.campaign(w.version(w.films(), personalization), certain())
	if _, err := w.Open(w.ctx, campaign, "missing"); err == nil {
		t.Error("opened a directory that is not there")
	}
	if moved, err := w.Succeed(w.ctx, "never-opened", "missing"); err != nil {
		t.Errorf("opened a model that nobody is to serve: %v", err)
	} else {
		moved()
	}
}
