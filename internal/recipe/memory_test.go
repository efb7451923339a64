package recipe

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/palate-dev/palate/internal/quota"
	"github.com/palate-dev/palate/internal/schema"
)

// TestMemoryIsBoundedByThePlan looks at the heap whenever a training reports progress. What lies outside of the heap is allocated by the sizes that the plan
// has, so it needs no test.
func TestMemoryIsBoundedByThePlan(t *testing.T) {
	for _, shape := range []struct{ users, items, length int }{{150, 300, 20}, {3000, 20, 1}, {20, 1500, 50}} {
		ev := makeEvents(walks(8, shape.users, shape.items, shape.length))
		for _, cfg := range []Config{{Recipe: popularityCount}, {Recipe: personalizationV2}, {Recipe: sims}, {Recipe: itemAffinity}, {Recipe: similarItems}} {
			d := Data{Events: ev}
			if cfg.Recipe != popularityCount && cfg.Recipe != sims {
				d.Items, d.Users = described(t, shape.items+500), dwellers(t, shape.users)
			}
			size := d.Size()
			need, err := Memory(cfg, size, quota.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			live := func() int64 {
				var m runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&m)
				return int64(m.HeapAlloc)
			}
			before, most, phase := live(), int64(0), ""
			report := func(p string, _, _ int64) {
				if p != phase { // a collection takes its time
					phase, most = p, max(most, live())
				}
			}
			if _, err := Train(context.Background(), d, cfg, quota.Limits{}, t.TempDir(), report); err != nil {
				t.Fatal(err)
			}
			if grown, planned := most-before, need-base; grown > planned+1<<20 {
				t.Errorf("%s, %+v: the heap grew by %d bytes, %d were planned", cfg.Recipe, size, grown, planned)
			}
		}
	}
}

// dwellers are the users of walks with attributes.
func dwellers(t *testing.T, users int) *Attributes {
	b := NewAttributesBuilder(parse(t, "Users", "USER_ID:string", "LAND:string?/categorical", "AGE:int?"), every)
	for u := range users {
		b.Add([]schema.Value{str(fmt.Sprintf("user-%04d", u)), str(fmt.Sprintf("land-%d|zone-%d", u%50, u%7)), whole(int64(u % 80))})
	}
	return b.Attributes()
}

func TestMemoryGrowsWithEverythingThatTakesIt(t *testing.T) {
	cfg := Config{Recipe: personalizationV2}
	of := func(s Size) int64 {
		n, err := Memory(cfg, s, quota.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	s := Size{Events: 1e6, Users: 1e4, Items: 1e4, Active: 5e3, Pairs: 1e7, Met: 1e6}
	least := of(s)
	for what, more := range map[string]func(s *Size){
		"events": func(s *Size) { s.Events *= 2 }, "users": func(s *Size) { s.Users *= 2 }, "items": func(s *Size) { s.Items *= 2 },
		"active items": func(s *Size) { s.Active = 8e3 }, "entries": func(s *Size) { s.Met *= 2 }, "attributes": func(s *Size) { s.Given = 1e6 },
	} {
		larger := s
		if more(&larger); of(larger) <= least {
			t.Errorf("more %s take no more memory", what)
		}
	}
}

func TestTrainingThatTakesTooMuchMemoryIsRefused(t *testing.T) {
	d := Data{Events: makeEvents(walks(5, 50, 20, 8))}
	_, err := Train(context.Background(), d, everyTrainer[2], quota.Limits{TrainingMemory: base}, t.TempDir(), nil)
	var data *DataError
	if !errors.As(err, &data) || !strings.Contains(data.Reason, "--training-memory") {
		t.Errorf("got %v", err)
	}
}

// A rebuild is planned as the training was.
func TestAModelKnowsTheSizeOfItsData(t *testing.T) {
	for _, name := range []string{personalizationV2, sims, nextBestAction} {
		d := world(t, nil)
		dir := trainData(t, d, Config{Recipe: name})
		m := open(t, dir)
		want := m.trainedOn().Size()
		want.Items = int64(len(m.items)) // those of the dataset and those of the events once
		if got := m.size(); got != want {
			t.Errorf("%s: a model of %+v says %+v", name, want, got)
		}
	}
}
