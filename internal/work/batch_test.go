package work

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	_ "modernc.org/sqlite"

	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/quota"
	"github.com/palate-dev/palate/internal/recipe"
	"github.com/palate-dev/palate/internal/userset"
)

// twoTastes are the events of users of whom every second likes other items than the rest.
func twoTastes() *dataset.Events {
	ev := &dataset.Events{Types: []string{"watch"}, Offsets: []int64{0}}
	for i := range 40 {
		ev.Items = append(ev.Items, fmt.Sprintf("i%02d", i))
	}
	for u := range 60 {
		ev.Users = append(ev.Users, fmt.Sprintf("u%02d", u))
		for k := range 8 {
			ev.Item, ev.Type = append(ev.Item, int32(u%2*20+(u/2*3+k*7)%20)), append(ev.Type, 0)
			ev.Time, ev.Value = append(ev.Time, int64(1_700_000_000+u*100+k)), append(ev.Value, float32(math.NaN()))
		}
		ev.Offsets = append(ev.Offsets, int64(len(ev.Item)))
	}
	return ev
}

// tasteModel trains a recipe on twoTastes, beside an engine without data.
func tasteModel(t *testing.T, name string) (*dataset.Engine, *recipe.Entry, *recipe.Model) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	engine, err := dataset.Open(t.TempDir(), db, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	entry, ok := recipe.Find(name)
	if !ok {
		t.Fatal("no such recipe")
	}
	dir := filepath.Join(t.TempDir(), "model")
	if _, err := recipe.Train(t.Context(), recipe.Data{Events: twoTastes()}, recipe.Config{Recipe: entry.TrainedAs}, quota.Limits{}, dir, nil); err != nil {
		t.Fatal(err)
	}
	model, err := recipe.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(model.Close(), engine.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	})
	return engine, entry, model
}

// hide begins to forget a user of group g1.
func hide(t *testing.T, engine *dataset.Engine, user string) {
	t.Helper()
	cut, err := engine.Fence(t.Context(), "g1")
	if err == nil {
		err = engine.Hide(t.Context(), "g1", "job1", userset.New([]string{user}), cut)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestStrictBatchesPersonalizeNobodyWhileAGroupForgets(t *testing.T) {
	engine, entry, model := tasteModel(t, "aws-user-personalization")
	b := &batch{model: model, entry: entry, engine: engine, group: "g1", results: 5, seed: "job"}
	ask := func(user string) []string {
		t.Helper()
		text, ok := b.line(fmt.Appendf(nil, `{"userId":%q}`, user), 1)
		var result struct{ Output batchOutput }
		if err := json.Unmarshal(text, &result); err != nil || !ok {
			t.Fatalf("%s: %v", text, err)
		}
		return result.Output.RecommendedItems
	}
	nobody, somebody := ask("nobody"), ask("u02")
	if cmp.Equal(nobody, somebody) {
		t.Fatal("the fixture personalizes nothing")
	}
	hide(t, engine, "u01")
	if d := cmp.Diff(nobody, ask("u01")) + cmp.Diff(somebody, ask("u02")); d != "" {
		t.Errorf("without strictness:\n%s", d)
	}
	b.strict = true
	if d := cmp.Diff(nobody, ask("u02")); d != "" {
		t.Errorf("u02 is answered personally:\n%s", d)
	}
	if err := engine.Unhide(t.Context(), "g1", "job1"); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(somebody, ask("u02")); d != "" {
		t.Errorf("after the deletion:\n%s", d)
	}
}

func TestSegmentsNameNobodyWhoIsBeingForgotten(t *testing.T) {
	engine, entry, model := tasteModel(t, "aws-item-affinity")
	s := &segmenter{model: model, entry: entry, engine: engine, group: "g1", results: 1000}
	ask := func() []string {
		t.Helper()
		text, ok := s.line([]byte(`{"itemId":"i03"}`), 0)
		var result struct{ Output segmentOutput }
		if err := json.Unmarshal(text, &result); err != nil || !ok {
			t.Fatalf("%s: %v", text, err)
		}
		return result.Output.UsersList
	}
	all := ask()
	if len(all) != 60 {
		t.Fatalf("%d users", len(all))
	}
	hide(t, engine, all[1])
	if d := cmp.Diff(slices.Delete(slices.Clone(all), 1, 2), ask()); d != "" {
		t.Error(d)
	}
}
