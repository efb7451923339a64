package recipe

import (
	"context"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/schema"
	"github.com/palate-dev/palate/internal/userset"
)

// freshly reads the items of rows as an automatic update does. An interaction is item, time, impression; an item is id and CREATION_TIMESTAMP, 0 for none.
func freshly(t *testing.T, interactions [][]schema.Value, items [][]schema.Value) *Fresh {
	t.Helper()
	log := dataset.Table{ID: "log", Schema: parse(t, "Interactions", "USER_ID:string", "ITEM_ID:string", "TIMESTAMP:long", "IMPRESSION:string?")}
	list := dataset.Table{ID: "list", Schema: parse(t, "Items", "ITEM_ID:string", "CREATION_TIMESTAMP:long?", "PRICE:float?")}
	effective := func(_ context.Context, table dataset.Table, yield func(dataset.Row) error) error {
		rows := interactions
		if table.ID == "list" {
			rows = items
		}
		for _, r := range rows {
			if err := yield(dataset.Row{Values: r}); err != nil {
				return err
			}
		}
		return nil
	}
	f, err := ReadFresh(t.Context(), effective, log, &list, nil)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func shown(item string, at int64, impression string) []schema.Value {
	v := none()
	if impression != "" {
		v = str(impression)
	}
	return []schema.Value{str("somebody"), str(item), whole(at), v}
}

func TestAnUpdateCountsEventsAndImpressions(t *testing.T) {
	f := freshly(t, [][]schema.Value{
		shown("b", 500, "a|b|nothing of ours"), shown("b", 300, ""), shown("a", 900, "a"), shown("unlisted", 400, ""),
	}, [][]schema.Value{{str("a"), none()}, {str("dated"), whole(250)}, {str("new"), none()}})
	if diff := cmp.Diff([]string{"a", "b", "dated", "new", "unlisted"}, f.ids); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]int64{3, 3, 0, 0, 1}, f.seen); diff != "" {
		t.Errorf("seen: %s", diff)
	}
	if diff := cmp.Diff([]int64{900, 300, 250, 900, 400}, f.appeared); diff != "" || f.newest != 900 {
		t.Errorf("appeared: newest %d, %s", f.newest, diff)
	}
}

// explored collects what a model explores over many requests.
func explored(m *Model, fresh *Fresh) map[string]int {
	found := map[string]int{}
	for seed := range uint64(400) {
		for _, s := range m.Recommend(Query{N: 20, ExplorationWeight: 1, CutOff: 30, RequestSeed: seed + 1, Fresh: fresh}, nil) {
			if s.Reason == "Exploration" {
				found[s.Item]++
			}
		}
	}
	return found
}

func TestFreshItemsAreExploredAndTheOftenSeenLess(t *testing.T) {
	dir, _ := train(t, makeEvents(walks(3, 100, 40, 8)), nil, Config{Recipe: personalizationV1})
	m := open(t, dir)
	var rows [][]schema.Value
	for range 50 {
		rows = append(rows, shown("item-0001", 2_000_000_000, "often shown"))
	}
	fresh := freshly(t, rows, [][]schema.Value{{str("new"), none()}, {str("often shown"), none()}, {str("old"), whole(1_000_000_000)}})
	if before := explored(m, nil); before["new"] > 0 {
		t.Errorf("before: %v", before)
	}
	after := explored(m, fresh)
	if after["new"] == 0 || after["old"] > 0 || after["often shown"]*4 > after["new"] {
		t.Errorf("after: %v", after)
	}
	q := Query{N: 20, RequestSeed: 1, Fresh: fresh} // weight 0
	if diff := cmp.Diff(m.Recommend(Query{N: 20}, nil), m.Recommend(q, nil)); diff != "" {
		t.Errorf("without exploration the answer changed: %s", diff)
	}
}

func TestAnUpdatedModelIsTheSameModelWithFreshItems(t *testing.T) {
	// An item that hardly anybody has is in no list of 20 of 41 by itself.
	events := append(walks(3, 100, 40, 8), testEvent{user: "user-0005", item: "rare", kind: "Watch", time: 1_600_000_001, value: 1})
	from, base := train(t, makeEvents(slices.Clone(events)), nil, Config{Recipe: personalizationV1})
	update := func(from, item string) (dir string) {
		dir = filepath.Join(t.TempDir(), "updated")
		made, err := Update(t.Context(), from, freshly(t, [][]schema.Value{shown("rare", 2_000_000_000, "")}, [][]schema.Value{{str(item), none()}}), nil, dir)
		if err != nil || made.Seq != base.Seq || !made.Config.Updated {
			t.Fatalf("%+v, %v", made, err)
		}
		if diff := cmp.Diff(base.Metrics, made.Metrics); diff != "" {
			t.Error(diff)
		}
		return dir
	}
	first := update(from, "first")
	second := update(first, "second") // in place of the first one's
	for dir, item := range map[string]string{first: "first", second: "second"} {
		m := open(t, dir)
		if found := explored(m, nil); found[item] == 0 || found["rare"] == 0 || len(found) != 2 {
			t.Errorf("%s: explored are %v", item, found)
		}
		if diff := cmp.Diff(open(t, from).Recommend(Query{N: 30}, nil), m.Recommend(Query{N: 30}, nil)); diff != "" {
			t.Errorf("%s: another answer: %s", item, diff)
		}
		kept := contents(t, dir)
		maps.DeleteFunc(kept, func(name, _ string) bool { return strings.HasPrefix(name, "fresh.") || name == ManifestName })
		want := contents(t, from)
		delete(want, ManifestName)
		if diff := cmp.Diff(want, kept); diff != "" {
			t.Errorf("%s: other arrays: %s", item, diff)
		}
	}

	for _, gone := range []string{"user-0003", "somebody whose events only the counts know"} {
		to := filepath.Join(t.TempDir(), "to")
		if _, touched, err := Retrain(t.Context(), second, userset.New([]string{gone}), to, nil); err != nil || !touched {
			t.Fatalf("touched %v, %v", touched, err)
		}
		rest := slices.DeleteFunc(slices.Clone(events), func(e testEvent) bool { return e.user == gone })
		never, _ := train(t, makeEvents(rest), nil, Config{Recipe: personalizationV1})
		if diff := cmp.Diff(contents(t, never), contents(t, to)); diff != "" {
			t.Errorf("without %s: %s", gone, diff)
		}
	}
}
