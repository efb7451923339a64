package recipe

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/quota"
	"github.com/palate-dev/palate/internal/userset"
)

func train(t rapid.TB, ev *dataset.Events, items []string, cfg Config) (dir string, m *Manifest) {
	t.Helper()
	dir, err := os.MkdirTemp(tempRoot(t), "model-")
	if err != nil {
		t.Fatal(err)
	}
	m, err = Train(context.Background(), Data{Events: ev, Items: bareItems(items)}, cfg, quota.Limits{}, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return dir, m
}

// bareItems is an Items dataset that says nothing about its items, nil without items.
func bareItems(ids []string) *Attributes {
	if ids == nil {
		return nil
	}
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return &Attributes{IDs: slices.Compact(ids)}
}

// tempRoot is the test's own directory, also inside of a property.
func tempRoot(t rapid.TB) string {
	if t, ok := t.(interface{ TempDir() string }); ok {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("", "recipe-")
	if err != nil {
		t.Fatal(err)
	}
	t.(*rapid.T).Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func open(t *testing.T, dir string) *Model {
	t.Helper()
	m, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// contents reads a model directory, with the members of the manifest that stand outside of the hash blanked.
func contents(t rapid.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if e.Name() == ManifestName {
			var m Manifest
			if err := json.Unmarshal(data, &m); err != nil {
				t.Fatal(err)
			}
			m.Seq, m.Build = 0, ""
			if data, err = json.Marshal(m); err != nil {
				t.Fatal(err)
			}
		}
		sum := sha256.Sum256(data)
		files[e.Name()] = hex.EncodeToString(sum[:])
	}
	return files
}

var everyTrainer = []Config{
	{Recipe: popularityCount, Seed: 3},
	{Recipe: personalizationV1, Seed: 3, EventType: "Watch"},
	{Recipe: personalizationV2, Seed: 3},
	{Recipe: sims, Seed: 3, Params: map[string]string{"max_item_interaction_count_percentile": "1"}},
	{Recipe: "aws-personalized-ranking-v2", Seed: 3},
	{Recipe: similarItems, Seed: 3},
	{Recipe: trendingNow, Seed: 3, Params: map[string]string{trendFrequency: "30 minutes"}},
}

func TestPersonalizationLearnsWhatComesNext(t *testing.T) {
	ev := makeEvents(walks(1, 400, 60, 12))
	_, popular := train(t, ev, nil, Config{Recipe: popularityCount})
	_, personal := train(t, ev, nil, Config{Recipe: personalizationV2})
	const name = "normalized_discounted_cumulative_gain_at_10"
	if p, q := popular.Metrics[name], personal.Metrics[name]; q < 0.5 || q < 3*p {
		t.Errorf("NDCG@10 is %v, popularity's %v", q, p)
	}
}

func TestPersonalizationWithoutOrderLearnsWhatGoesTogether(t *testing.T) {
	events := walks(2, 400, 60, 12)
	for i := range events {
		events[i].time = 1
	}
	ev := makeEvents(events)
	_, popular := train(t, ev, nil, Config{Recipe: popularityCount})
	_, personal := train(t, ev, nil, Config{Recipe: personalizationV2})
	if personal.Settings["ordered"] != 0 {
		t.Error("equal timestamps count as an order")
	}
	const name = "normalized_discounted_cumulative_gain_at_10"
	if p, q := popular.Metrics[name], personal.Metrics[name]; q < 0.3 || q < 2*p {
		t.Errorf("NDCG@10 is %v, popularity's %v", q, p)
	}
}

func TestModelBytesDoNotDependOnTheNumberOfCores(t *testing.T) {
	ev := makeEvents(walks(3, 200, 50, 10))
	for _, cfg := range everyTrainer {
		func() {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
			one, _ := train(t, ev, []string{"item-0001", "new"}, cfg)
			runtime.GOMAXPROCS(5)
			five, _ := train(t, ev, []string{"new", "item-0001", "new"}, cfg)
			if diff := cmp.Diff(contents(t, one), contents(t, five)); diff != "" {
				t.Errorf("%s: %s", cfg.Recipe, diff)
			}
		}()
	}
}

// TestModelBytesAreTheSameOnEveryMachine pins hashes: whoever changes an algorithm changes them here, and nothing else may.
func TestModelBytesAreTheSameOnEveryMachine(t *testing.T) {
	ev := makeEvents(walks(4, 120, 40, 8))
	for n, cfg := range everyTrainer {
		_, m := train(t, ev, nil, cfg)
		if m.Hash != pinned[n] {
			t.Errorf("%s: model hash is %s, want %s", cfg.Recipe, m.Hash, pinned[n])
		}
	}
}

func TestProgressIsReported(t *testing.T) {
	phases := map[string]bool{}
	report := func(phase string, done, total int64) {
		if done > total {
			t.Errorf("%s: %d of %d", phase, done, total)
		}
		phases[phase] = true
	}
	ev := makeEvents(walks(5, 50, 20, 8))
	if _, err := Train(context.Background(), Data{Events: ev}, everyTrainer[2], quota.Limits{}, t.TempDir(), report); err != nil {
		t.Fatal(err)
	}
	for _, phase := range []string{"evaluation: solving", "evaluation: scoring", "evaluation", "solving", "scoring", "writing"} {
		if !phases[phase] {
			t.Errorf("no progress of phase %q", phase)
		}
	}
}

func TestCancelledTrainingLeavesNoModel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, cfg := range everyTrainer {
		dir := t.TempDir()
		if _, err := Train(ctx, Data{Events: makeEvents(walks(5, 50, 20, 8))}, cfg, quota.Limits{}, dir, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", cfg.Recipe, err)
		}
		if _, err := Open(dir); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: opening an unfinished model: %v", cfg.Recipe, err)
		}
	}
}

func TestUntrainableRecipesAreRefused(t *testing.T) {
	for _, name := range []string{"aws-hrnn", "no-such-recipe"} {
		_, err := Train(context.Background(), Data{Events: makeEvents(walks(5, 50, 20, 8))}, Config{Recipe: name}, quota.Limits{}, t.TempDir(), nil)
		if !errors.Is(err, ErrNotTrainable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTooLittleDataIsRefusedInTheServicesWords(t *testing.T) {
	one := func(n int, kind string) []testEvent { // n users with one event
		var events []testEvent
		for u := range n {
			events = append(events, testEvent{user: fmt.Sprintf("u%04d", u), item: "a", kind: kind, time: 1})
		}
		return events
	}
	two := func(n int) []testEvent { // n users with two events
		var events []testEvent
		for u := range n {
			events = append(events, testEvent{fmt.Sprintf("v%04d", u), "a", "", 1, 0}, testEvent{fmt.Sprintf("v%04d", u), "b", "", 2, 0})
		}
		return events
	}
	var kinds []testEvent
	for k := range 11 {
		kinds = append(kinds, testEvent{"u", "a", fmt.Sprintf("kind-%d", k), 1, 0})
	}
	threshold := 5.0
	for _, c := range []struct {
		name   string
		events []testEvent
		cfg    Config
		lim    quota.Limits
		want   string
	}{
		{"few", one(999, ""), Config{}, quota.AWS(), "Dataset has fewer than 1000 interactions"},
		{"few of the type", one(999, "Watch"), Config{EventType: "watch"}, quota.AWS(), "Dataset has fewer than 1000 interactions after filtering by event type: watch"},
		{"few active users", append(one(1000, ""), two(24)...), Config{}, quota.AWS(), "Dataset has fewer than 25 users with at least 2 interactions each."},
		{"small share of active users", append(one(3000, ""), two(25)...), Config{}, quota.AWS(), "Less than 1 percent of users have at least 2 interactions."},
		{"types", kinds, Config{}, quota.AWS(), "Interactions dataset has more than 10 unique event types."},
		{"no types at all", one(3, ""), Config{EventType: "Watch"}, quota.Limits{}, "All values in the event_type column are either reserved keywords or null"},
		{"nothing", nil, Config{}, quota.Limits{}, "Dataset has fewer than 1 interactions"},
		{"nothing of the type", one(3, "Click"), Config{EventType: "Watch"}, quota.Limits{}, "Dataset has fewer than 1 interactions after filtering by event type: Watch"},
		{"nothing above the threshold", one(3, "Click"), Config{EventValueThreshold: &threshold}, quota.Limits{}, "Dataset has fewer than 1 interactions"},
	} {
		c.cfg.Recipe = popularityCount
		_, err := Train(context.Background(), Data{Events: makeEvents(c.events)}, c.cfg, c.lim, t.TempDir(), nil)
		var data *DataError
		if !errors.As(err, &data) || data.Reason != c.want {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	if _, err := Train(context.Background(), Data{Events: makeEvents(append(one(1000, ""), two(25)...))}, Config{Recipe: popularityCount}, quota.AWS(), t.TempDir(), nil); err != nil {
		t.Errorf("enough data: %v", err)
	}
}

func TestOnlyAdmittedEventsAreTrainedOn(t *testing.T) {
	high := float32(4)
	events := []testEvent{
		{"u1", "watched", "Watch", 1, high}, {"u1", "clicked", "Click", 2, high}, {"u2", "watched", "watch", 3, high},
		{"u2", "disliked", "Watch", 4, 0.7}, {"u3", "unrated", "Watch", 5, 0},
	}
	at := func(v float64) *float64 { return &v }
	for _, c := range []struct {
		name string
		cfg  Config
		want []string
	}{
		{"everything", Config{}, []string{"watched", "clicked", "disliked", "unrated"}},
		{"by type, ignoring case", Config{EventType: "WATCH"}, []string{"watched", "disliked", "unrated"}},
		{"by value", Config{EventValueThreshold: at(0.7)}, []string{"watched", "clicked", "disliked"}},
		{"by both", Config{EventType: "Watch", EventValueThreshold: at(1)}, []string{"watched"}},
		{"by weights", Config{EventsConfig: []EventWeight{{Type: "Click", Weight: 1}, {Type: "Watch", Threshold: at(3), Weight: 0.1}}}, []string{"watched", "clicked"}},
	} {
		c.cfg.Recipe = popularityCount
		dir, _ := train(t, makeEvents(slices.Clone(events)), nil, c.cfg)
		m := open(t, dir)
		var got []string
		for _, s := range m.Recommend(Query{N: 10}, nil) {
			got = append(got, s.Item)
		}
		slices.Sort(got)
		slices.Sort(c.want)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

func TestHistoriesBeyondThePercentilesAreLeftOut(t *testing.T) {
	var events []testEvent
	for u := range 10 {
		for k := range u + 1 {
			events = append(events, testEvent{user: fmt.Sprintf("u%d", u), item: fmt.Sprintf("i%d", k), time: int64(k)})
		}
	}
	for _, c := range []struct {
		least, most string
		want        int
	}{{"0.0", "1", 10}, {"0.0", "0.8", 8}, {"0.5", "1.0", 6}, {"0.5", "0.8", 4}} {
		cfg := Config{Recipe: personalizationV1, Params: map[string]string{
			"min_user_history_length_percentile": c.least, "max_user_history_length_percentile": c.most,
		}}
		entry, _ := Find(cfg.Recipe)
		in := newInput(&cfg, entry, newAdmission(&cfg, entry), Data{Events: makeEvents(slices.Clone(events))})
		if got := in.gather(func(u int) bool { return in.eligible[u] }).users(); got != c.want {
			t.Errorf("between %s and %s: %d users, want %d", c.least, c.most, got, c.want)
		}
	}
}

// TestRetrainingEqualsNeverHavingHadTheUsers is the erasure promise of a model: whatever the data and whoever is removed, the bytes are those of a
// model trained on data that never held them.
func TestRetrainingEqualsNeverHavingHadTheUsers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := rapid.SampledFrom(everyTrainer).Draw(t, "config")
		users := rapid.IntRange(1, 30).Draw(t, "users")
		events := walks(rapid.Uint64().Draw(t, "data"), users, rapid.IntRange(1, 40).Draw(t, "items"), 6)
		if rapid.Bool().Draw(t, "at once") {
			for i := range events {
				events[i].time = 5
			}
		}
		items := []string{"item-0000", "item-0003", "never seen"}
		var gone, rest = map[string]bool{}, []testEvent(nil)
		for u := range users {
			if rapid.IntRange(0, 3).Draw(t, "remove") == 0 {
				gone[fmt.Sprintf("user-%04d", u)] = true
			}
		}
		for _, e := range events {
			if !gone[e.user] {
				rest = append(rest, e)
			}
		}
		from, was := train(t, makeEvents(slices.Clone(events)), items, cfg)
		list := []string{"somebody else"}
		for id := range gone {
			list = append(list, id)
		}
		to := filepath.Join(tempRoot(t), "to")
		m, touched, err := Retrain(context.Background(), from, userset.New(list), to, nil)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case touched != (len(gone) > 0):
			t.Fatalf("touched is %v with %d users gone", touched, len(gone))
		case !touched:
			if _, err := os.Stat(to); err == nil || m.Hash != was.Hash {
				t.Fatal("an untouched model was rebuilt")
			}
		case len(rest) == 0:
			if _, err := Open(to); err != nil || m.Events != 0 {
				t.Fatalf("the empty model: %v", err)
			}
		default:
			never, _ := train(t, makeEvents(rest), items, cfg)
			if diff := cmp.Diff(contents(t, never), contents(t, to)); diff != "" {
				t.Fatal(diff)
			}
			if m.Seq != was.Seq {
				t.Fatalf("seq is %d, was %d", m.Seq, was.Seq)
			}
		}
	})
}

func TestErasedUsersLeaveNoByteBehind(t *testing.T) {
	events := walks(6, 40, 30, 8)
	for i := range events {
		if events[i].user == "user-0007" {
			events[i].user = "canary-user"
		}
	}
	dir, _ := train(t, makeEvents(events), nil, everyTrainer[2])
	to := t.TempDir()
	if _, _, err := Retrain(context.Background(), dir, userset.New([]string{"canary-user"}), to, nil); err != nil {
		t.Fatal(err)
	}
	found := func(dir string) bool {
		entries, _ := os.ReadDir(dir)
		return slices.ContainsFunc(entries, func(e os.DirEntry) bool {
			data, err := os.ReadFile(filepath.Join(dir, e.Name()))
			return err != nil || strings.Contains(string(data), "canary-user")
		})
	}
	if !found(dir) || found(to) {
		t.Error("the id is not where it should be, or is where it should not be")
	}
	if m := open(t, to); m.HoldsUser("canary-user") {
		t.Error("the model still holds the user")
	}
}

func TestAnUnfinishedAttemptIsReplaced(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "user.text"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Train(context.Background(), Data{Events: makeEvents(walks(5, 50, 20, 8))}, everyTrainer[0], quota.Limits{}, dir, nil); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
}

func TestDamagedModelsAreRefused(t *testing.T) {
	dir, manifest := train(t, makeEvents(walks(7, 40, 20, 6)), []string{"x"}, everyTrainer[2])
	names := []string{ManifestName}
	for _, a := range manifest.Arrays {
		names = append(names, a.Name)
	}
	damage := map[string]func(path string, data []byte) error{
		"altered": func(path string, data []byte) error {
			if len(data) == 0 {
				return os.WriteFile(path, []byte{1}, 0o600)
			}
			data[len(data)/2] ^= 1
			return os.WriteFile(path, data, 0o600)
		},
		"shortened": func(path string, data []byte) error {
			if len(data) == 0 {
				return os.Remove(path)
			}
			return os.WriteFile(path, data[:len(data)-1], 0o600)
		},
		"missing":        func(path string, _ []byte) error { return os.Remove(path) },
		"in bad company": func(path string, _ []byte) error { return os.WriteFile(path+".more", nil, 0o600) },
	}
	for _, name := range names {
		for kind, harm := range damage {
			copied := t.TempDir()
			if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(copied, name)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if name == ManifestName && kind == "shortened" {
				continue // its last byte is white space
			}
			if err := harm(path, data); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(copied); err == nil {
				t.Errorf("a model with %s %s was opened", name, kind)
			}
		}
	}
}
