package recipe

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/quota"
	"github.com/palate-dev/palate/internal/schema"
	"github.com/palate-dev/palate/internal/userset"
)

// Strange data: whatever it is, a training ends with a model of finite numbers or with a failure in the service's words. The recipes are those of the
// catalogue, so that a new one is held to it too.

// serviceWords are the failure reasons of trainings.
var serviceWords = regexp.MustCompile(`^(` + strings.Join([]string{
	`Dataset has fewer than \d+ interactions( after filtering by event type: .+)?`,
	`Dataset has fewer than 25 users with at least 2 interactions each\.`,
	`Less than 1 percent of users have at least 2 interactions\.`,
	`Interactions dataset has more than 10 unique event types\.`,
	`All values in the event_type column are either reserved keywords or null`,
	`Dataset group does not have a dataset of type [A-Z_]+\.`,
	`All interactions have the same timestamp\.`, // of user segments, which are measured on what comes later; the service has no known text for it
}, "|") + `)$`)

// strangeEvents are the data sets, by what is strange about them.
func strangeEvents() map[string][]testEvent {
	normal := walks(21, 40, 25, 6)
	timed := func(change func(int64) int64) []testEvent {
		events := slices.Clone(normal)
		for i := range events {
			events[i].time = change(events[i].time)
		}
		return events
	}
	all := map[string][]testEvent{
		"nothing":         nil,
		"one event":       {{"u", "i", "Watch", 1, 1}},
		"milliseconds":    timed(func(t int64) int64 { return 1000 * t }),
		"at zero":         timed(func(int64) int64 { return 0 }),
		"before 1970":     timed(func(t int64) int64 { return t - 3_000_000_000 }),
		"half in seconds": timed(func(t int64) int64 { return t * (1 + 999*(t%2)) }),
		"the ends of time": append(timed(func(t int64) int64 { return t }),
			testEvent{"early", "item-0001", "Watch", math.MinInt64, 1}, testEvent{"early", "item-0002", "Watch", math.MaxInt64, 1}),
		"the last second": timed(func(int64) int64 { return math.MaxInt64 }),
	}
	add := func(name string, n int, event func(k int) testEvent) {
		for k := range n {
			all[name] = append(all[name], event(k))
		}
	}
	add("one user", 200, func(k int) testEvent { return testEvent{"u", fmt.Sprintf("i%d", k*k%37), "Watch", int64(k), 1} })
	add("one user and one item", 200, func(k int) testEvent { return testEvent{"u", "i", "Watch", int64(k), 1} })
	add("one item", 200, func(k int) testEvent { return testEvent{fmt.Sprintf("u%d", k%40), "i", "Watch", int64(k), 1} })
	add("users who are all the same", 400, func(k int) testEvent {
		return testEvent{fmt.Sprintf("u%d", k/10), fmt.Sprintf("i%d", k%10), "Watch", int64(k % 10), 1}
	})
	add("nobody comes twice", 300, func(k int) testEvent {
		return testEvent{fmt.Sprintf("u%d", k), fmt.Sprintf("i%d", k%20), "Watch", int64(k), 1}
	})
	add("no item comes twice", 300, func(k int) testEvent {
		return testEvent{fmt.Sprintf("u%d", k%30), fmt.Sprintf("i%d", k), "Watch", int64(k), 1}
	})
	add("no event types", 200, func(k int) testEvent {
		return testEvent{fmt.Sprintf("u%d", k%30), fmt.Sprintf("i%d", k%17), "", int64(k), 1}
	})
	add("eleven event types", 220, func(k int) testEvent {
		return testEvent{fmt.Sprintf("u%d", k%30), fmt.Sprintf("i%d", k%17), fmt.Sprintf("kind-%d", k%11), int64(k), 1}
	})
	add("enormous values", 200, func(k int) testEvent {
		return testEvent{fmt.Sprintf("u%d", k%30), fmt.Sprintf("i%d", k%17), "Watch", int64(k), math.MaxFloat32 * float32(1-k%2*2)}
	})
	add("ids of all kinds", 300, func(k int) testEvent {
		return testEvent{strings.Repeat("ü\x00", 1+k%30), strings.Repeat("\n💥", 1+k%19), "Watch", int64(k), 1}
	})
	all["a bot"] = slices.Clone(normal)
	add("a bot", 100_000, func(k int) testEvent {
		return testEvent{"bot", fmt.Sprintf("item-%04d", mix(uint64(k))%40), "Watch", 1_600_000_000 + int64(k/1000), 1}
	})
	add("keywords for types", 200, func(k int) testEvent {
		return testEvent{fmt.Sprintf("u%d", k%30), fmt.Sprintf("i%d", k%17), "EVENT_TYPE", int64(k), 1}
	})
	return all
}

// strangeAttributes are Items and Users of 1,000 levels, empty and extreme values; some items are those of the events.
func strangeAttributes(t *testing.T, ids []string) (items, users *Attributes) {
	catalog := NewAttributesBuilder(parse(t, "Items", "ITEM_ID:string", "NAME:string?/itemName", "PLOT:string?/textual", "GENRES:string?/categorical",
		"PRICE:double?", "CREATION_TIMESTAMP:long?"), every)
	var levels []string
	for k := range 1000 {
		levels = append(levels, fmt.Sprintf("level-%d", k))
	}
	for k, id := range append([]string{"never seen"}, ids...) {
		price := []float64{0, math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64}[k%4]
		catalog.Add([]schema.Value{str(id), str(""), str(strings.Repeat("word ", k%3*200) + "end"), str(strings.Join(levels[:1+k*7%1000], "|")), num(price), whole(math.MinInt64 + int64(k))})
	}
	people := NewAttributesBuilder(parse(t, "Users", "USER_ID:string", "LAND:string?/categorical", "AGE:int?"), every)
	people.Add([]schema.Value{str("u1"), str(strings.Join(levels, "|")), none()})
	people.Add([]schema.Value{str("lurker"), none(), none()})
	return catalog.Attributes(), people.Attributes()
}

// strangeContext are columns of the context: a thousand levels, numbers of all sizes, one number, and nothing.
func strangeContext(ev *dataset.Events) []dataset.EventColumn {
	column := func(name string, numeric bool, level func(at int) string) dataset.EventColumn {
		c := dataset.EventColumn{Name: name, Numeric: numeric}
		for at := range ev.Len() {
			if l := level(at); l != "" {
				c.Levels = append(c.Levels, l)
			}
		}
		slices.Sort(c.Levels)
		c.Levels = slices.Compact(c.Levels)
		for at := range ev.Len() {
			code, ok := slices.BinarySearch(c.Levels, level(at))
			if !ok {
				code = -1
			}
			c.Code = append(c.Code, int32(code))
		}
		return c
	}
	sizes := []float64{math.MaxFloat64, -math.MaxFloat64, 0, math.SmallestNonzeroFloat64, math.Inf(1), math.NaN()}
	return []dataset.EventColumn{
		column("LEVELS", false, func(at int) string { return fmt.Sprintf("level-%d", at%1000) }),
		column("SIZES", true, func(at int) string { return dataset.NumberLevel(sizes[at%len(sizes)]) }),
		column("NUMBERS", true, func(at int) string { return dataset.NumberLevel(float64(at%1000) / 7) }),
		column("ONE", true, func(int) string { return "1" }),
		column("NONE", true, func(int) string { return "" }),
	}
}

func TestStrangeDataGivesASensibleModelOrAFailureInTheServicesWords(t *testing.T) {
	high := 1e300
	variants := map[string]func(*Config){
		"as it is":              func(*Config) {},
		"a threshold above all": func(c *Config) { c.EventValueThreshold, c.EventsConfig = &high, nil },
		"another type":          func(c *Config) { c.EventType, c.EventsConfig = "Never", nil },
		"both ends of the percentiles": func(c *Config) {
			c.Params = map[string]string{"min_user_history_length_percentile": "1", "max_user_history_length_percentile": "0"}
		},
	}
	strange := map[string]Data{}
	for data, events := range strangeEvents() {
		ev := makeEvents(events)
		items, users := strangeAttributes(t, ev.Items)
		ev.Context = strangeContext(ev)
		strange[data] = Data{Events: ev, Items: items, Users: users}
	}
	trainers := map[string]bool{}
	for name, base := range trainings() {
		if base.Search == nil && trainers[base.Recipe] {
			continue // use cases that share a trainer differ in what they admit only
		}
		trainers[base.Recipe] = trainers[base.Recipe] || base.Search == nil
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for data, d := range strange {
				trainStrange(t, data+", with the limits of the service", d, base, quota.AWS())
				for variant, change := range variants {
					if variant != "as it is" && !slices.Contains([]string{"nothing", "milliseconds", "no event types", "eleven event types"}, data) {
						continue // the others are no stranger with
					}
					cfg := base
					change(&cfg)
					trainStrange(t, data+", "+variant, d, cfg, quota.Limits{})
				}
			}
		})
	}
}

// trainStrange trains and, if there is a model, uses it.
func trainStrange(t *testing.T, what string, d Data, cfg Config, limits quota.Limits) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute) // a guard against a training without end
	defer cancel()
	dir, err := os.MkdirTemp("", "strange-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	made, err := Train(ctx, d, cfg, limits, filepath.Join(dir, "model"), nil)
	var refused *DataError
	switch {
	case errors.As(err, &refused):
		if !serviceWords.MatchString(refused.Reason) {
			t.Errorf("%s: %q is not what the service says", what, refused.Reason)
		}
		return
	case err != nil:
		t.Errorf("%s: %v", what, err)
		return
	}
	for metric, v := range made.Metrics {
		if math.IsNaN(v) || v < 0 || math.IsInf(v, 0) {
			t.Errorf("%s: %s is %v", what, metric, v)
		}
	}
	useStrange(t, what, filepath.Join(dir, "model"), d)
	if len(d.Events.Users) < 2 {
		return
	}
	to := filepath.Join(dir, "to")
	_, touched, err := Retrain(ctx, filepath.Join(dir, "model"), userset.New(d.Events.Users[1:]), to, nil)
	if err != nil {
		t.Errorf("%s: forgetting all but one: %v", what, err)
	}
	if touched && err == nil {
		useStrange(t, what+", all but one forgotten", to, d)
	}
}

// useStrange looks at every number of a model and asks it for everything it can answer.
func useStrange(t *testing.T, what, dir string, d Data) {
	t.Helper()
	m, err := Open(dir)
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	defer m.Close()
	for _, a := range m.manifest.Arrays {
		if a.Type != "float32" || a.Name == "event.value" {
			continue
		}
		values, err := array[float32](m.mapping, a.Name)
		if err != nil {
			t.Errorf("%s: %s: %v", what, a.Name, err)
		}
		if i := slices.IndexFunc(values, func(v float32) bool { return math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) }); i >= 0 && !strings.HasPrefix(a.Name, "profile.") {
			t.Errorf("%s: %s[%d] is %v", what, a.Name, i, values[i])
		}
	}
	entry, _ := Find(m.manifest.Config.Recipe)
	if !entry.Has(RealTime) {
		return
	}
	ids := append([]string{"", "nobody"}, d.Events.Users[:min(3, len(d.Events.Users))]...)
	for _, user := range ids {
		for _, item := range append([]string{"", "nothing"}, d.Events.Items[:min(3, len(d.Events.Items))]...) {
			q := Query{User: user, Item: item, Known: true, N: 30, ExplorationWeight: 1, CutOff: 30, RequestSeed: 7}
			if user == "nobody" {
				q.Context = map[string]string{"LEVELS": "level-1", "SIZES": "1e308", "NUMBERS": "50.001", "ONE": "-1", "NONE": "0"}
			}
			for _, s := range m.Recommend(q, nil) {
				if math.IsNaN(s.Score) || s.Score < 0 || s.Score > 1 {
					t.Errorf("%s: score %v", what, s.Score)
				}
			}
		}
	}
}
