package recipe

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/quota"
	"github.com/palate-dev/palate/internal/schema"
	"github.com/palate-dev/palate/internal/userset"
)

// The erasure promise of every model, for whatever the catalogue says can be trained: a recipe that becomes trainable is held to it without anybody
// thinking of it. A new kind of data that a trainer reads has to be added to world.

// world is data that has something of everything that a trainer reads, without the users that gone names.
func world(t *testing.T, gone map[string]bool) Data {
	t.Helper()
	const users, items = 90, 45
	var events []testEvent
	for n, e := range walks(11, users, items, 9) {
		e.kind = []string{"View", "Purchase", "Watch"}[n%3]
		if !gone[e.user] {
			events = append(events, e)
		}
	}
	catalog := NewAttributesBuilder(parse(t, "Items", "ITEM_ID:string", "NAME:string?/itemName", "PLOT:string?/textual", "GENRES:string?/categorical",
		"PRICE:float?", "CREATION_TIMESTAMP:long?"), every)
	for i := range items + 5 { // the last ones have no events
		id := fmt.Sprintf("item-%04d", i)
		catalog.Add([]schema.Value{str(id), str("name " + id), str(fmt.Sprintf("a story of %d and %d", i%7, i%5)), str(fmt.Sprintf("g%d|h%d", i%4, i%3)),
			num(float64(i)), whole(int64(1_600_000_000 + 1000*i))})
	}
	people := NewAttributesBuilder(parse(t, "Users", "USER_ID:string", "LAND:string?/categorical", "AGE:int?"), every)
	for u := range users + 3 { // the last ones have no events
		if id := fmt.Sprintf("user-%04d", u); !gone[id] {
			people.Add([]schema.Value{str(id), str(fmt.Sprintf("land-%d", u%9)), whole(int64(u))})
		}
	}
	return Data{Events: makeEvents(events), Items: catalog.Attributes(), Users: people.Attributes()}
}

// worldLeavers are a few users of world: with long and short histories, one with attributes only.
func worldLeavers() map[string]bool {
	gone := map[string]bool{"user-0091": true}
	for _, u := range []int{0, 7, 31, 32, 60, 89} {
		gone[fmt.Sprintf("user-%04d", u)] = true
	}
	return gone
}

// trainings is one configuration for each different way in which this build trains something, by a name for it.
func trainings() map[string]Config {
	all := map[string]Config{}
	for i := range Catalogue {
		e := &Catalogue[i]
		if !e.Trainable {
			continue
		}
		cfg := Config{Recipe: e.TrainedAs, EventType: e.EventType, CountEvents: e.CountEvents, Seed: 5}
		all[e.Name] = cfg
		if e.Has(HPO) {
			cfg.Search = &Search{Trials: 3, Ranges: e.DefaultRanges(nil)}
			all[e.Name+" with a search"] = cfg
		}
		if e.Has(EventWeights) {
			cfg.EventsConfig = []EventWeight{{Type: "View", Weight: 0.1}, {Type: "Purchase", Threshold: new(2.0), Weight: 1}}
			all[e.Name+" with weights"] = cfg
		}
	}
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		text, _ := json.Marshal(all[name])
		if seen[string(text)] {
			delete(all, name)
		}
		seen[string(text)] = true
	}
	return all
}

func trainData(t testing.TB, d Data, cfg Config) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "model")
	if _, err := Train(context.Background(), d, cfg, quota.Limits{}, dir, nil); err != nil {
		t.Fatal(err)
	}
	return dir
}

// remains names the files in which a model differs from one that never saw the users, whose contents are given.
func remains(t *testing.T, never map[string]string, dir string) (differ []string) {
	t.Helper()
	got := contents(t, dir)
	for _, name := range slices.Sorted(maps.Keys(never)) {
		if got[name] != never[name] {
			differ = append(differ, name)
		}
		delete(got, name)
	}
	return slices.Sorted(slices.Values(slices.AppendSeq(differ, maps.Keys(got))))
}

// forget trains on everybody, then again without the leavers, and returns both directories.
func forget(t *testing.T, cfg Config) (from, to string) {
	t.Helper()
	from, to = trainData(t, world(t, nil), cfg), filepath.Join(t.TempDir(), "to")
	gone := userset.New(slices.Collect(maps.Keys(worldLeavers())))
	if _, touched, err := Retrain(context.Background(), from, gone, to, nil); err != nil || !touched {
		t.Fatalf("touched %v, %v", touched, err)
	}
	return from, to
}

func TestEveryRecipeForgetsExactly(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for name, cfg := range trainings() {
		t.Run(name, func(t *testing.T) {
			runtime.GOMAXPROCS(1)
			never := contents(t, trainData(t, world(t, worldLeavers()), cfg))
			runtime.GOMAXPROCS(8)
			_, to := forget(t, cfg)
			if differ := remains(t, never, to); len(differ) > 0 {
				t.Errorf("after the erasure, on 8 cores, these differ from a model that never saw the users, made on one: %v", differ)
			}
		})
	}
}

// TestAStatisticThatKeepsAUserIsNoticed holds the test above to its purpose. Each array of each model in turn is left as it was before the erasure, or has
// a single bit turned, and nothing else: the array, and with it the manifest, must be found.
func TestAStatisticThatKeepsAUserIsNoticed(t *testing.T) {
	seen := map[string]bool{}
	for _, cfg := range trainings() {
		if entry, _ := Find(cfg.Recipe); seen[entry.TrainedAs] || cfg.Search != nil {
			continue // each trainer once
		}
		seen[cfg.Recipe] = true
		never := contents(t, trainData(t, world(t, worldLeavers()), cfg))
		from, to := forget(t, cfg)
		learnt := 0 // arrays that the users have had a part in, beyond the stored input
		for name, before := range contents(t, from) {
			if name == ManifestName || before == never[name] {
				continue
			}
			if !strings.HasPrefix(name, "event.") && !strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, "profile.") {
				learnt++
			}
			made := read(t, filepath.Join(to, name))
			turned := slices.Clone(made)
			turned[len(turned)/2] ^= 1
			for how, data := range map[string][]byte{"left as it was": read(t, filepath.Join(from, name)), "off by one bit": turned} {
				plant(t, to, name, data)
				if differ, want := remains(t, never, to), sortedNames(name, ManifestName); !gocmp.Equal(differ, want) {
					t.Errorf("%s: with %s %s these were found: %v", cfg.Recipe, name, how, differ)
				}
			}
			plant(t, to, name, made)
		}
		if learnt == 0 {
			t.Errorf("%s: the users have had no part in what was learnt", cfg.Recipe)
		}
	}
}

func sortedNames(names ...string) []string { return slices.Sorted(slices.Values(names)) }

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// plant replaces an array of a model and makes its manifest fit.
func plant(t *testing.T, dir, array string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, array), data, 0o600); err != nil {
		t.Fatal(err)
	}
	var m Manifest
	if err := json.Unmarshal(read(t, filepath.Join(dir, ManifestName)), &m); err != nil {
		t.Fatal(err)
	}
	for i := range m.Arrays {
		if m.Arrays[i].Name == array {
			sum := sha256.Sum256(data)
			m.Arrays[i].SHA256 = hex.EncodeToString(sum[:])
		}
	}
	var err error
	if m.Hash, err = m.hash(); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ManifestName), text, 0o600); err != nil {
		t.Fatal(err)
	}
}
