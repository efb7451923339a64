package serve_test

import (
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/serve"
	"github.com/palate-dev/palate/internal/userset"
)

func TestStrictServingPersonalizesNobodyWhileAGroupForgets(t *testing.T) {
	w := newWorld(t)
	c := w.campaign(w.version(w.films(), personalization), certain())
	w.watch("u02", "s1", "f20", "Watch", 1_700_100_000)
	nobody, somebody := w.ask(c, "nobody"), w.ask(c, "u02")
	if cmp.Equal(nobody, somebody) {
		t.Fatal("the fixture personalizes nothing")
	}
	cut, err := w.engine.Fence(w.ctx, w.id)
	if err == nil {
		err = w.engine.Hide(w.ctx, w.id, "job1", userset.New([]string{"u01"}), cut)
	}
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(somebody, w.ask(c, "u02")); diff != "" {
		t.Errorf("who is not listed is served otherwise, without strictness:\n%s", diff)
	}
	plain := w.Service
	w.Service = serve.New(serve.Options{Meta: w.db, Engine: w.engine, ModelDir: w.models, Log: slog.New(slog.DiscardHandler), Strict: true})
	defer func() {
		if err := w.Service.Close(); err != nil {
			t.Error(err)
		}
		w.Service = plain
	}()
	for _, user := range []string{"u01", "u02"} {
		if diff := cmp.Diff(nobody, w.ask(c, user)); diff != "" {
			t.Errorf("%s is answered personally:\n%s", user, diff)
		}
	}
	if err := w.engine.Unhide(w.ctx, w.id, "job1"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(somebody, w.ask(c, "u02")); diff != "" {
		t.Errorf("after the deletion:\n%s", diff)
	}
}
