package recipe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/palate-dev/palate/internal/quota"
	"github.com/palate-dev/palate/internal/schema"
	"github.com/palate-dev/palate/internal/userset"
)

// described is an Items dataset for the items of walks: of each tenth of the ring a zone, the zone's parity, and the item's number.
func described(t *testing.T, items int) *Attributes {
	b := NewAttributesBuilder(&schema.Schema{Type: schema.Items, Fields: []schema.Field{
		{Name: "ITEM_ID"}, {Name: "ZONE", Categorical: true}, {Name: "NUMBER", Kind: schema.Float}, {Name: "CREATION_TIMESTAMP", Kind: schema.Long}, {Name: "PLOT", Textual: true},
	}}, every)
	for i := range items {
		zone := fmt.Sprintf("zone %d|%s", i*10/items, [...]string{"even", "odd"}[i*10/items%2])
		b.Add([]schema.Value{str(fmt.Sprintf("item-%04d", i)), str(zone), num(float64(float32(i) + 0.1)), whole(int64(i)), str("text")})
	}
	b.Add([]schema.Value{str("unseen"), str("zone x"), none(), none(), none()})
	return b.Attributes()
}

var affinityConfigs = []Config{{Recipe: itemAffinity, Seed: 3}, {Recipe: attributeAffinity, Seed: 3}}

// affinityData is events of walks with attributes of items and users.
func affinityData(t *testing.T, events []testEvent, items int) Data {
	users := map[string]bool{}
	for _, e := range events {
		users[e.user] = true
	}
	return Data{Events: makeEvents(events), Items: described(t, items), Users: dwellers(t, len(users))}
}

// bare is d without columns.
func bare(d Data) Data { return Data{Events: d.Events, Items: &Attributes{IDs: d.Items.IDs}} }

func trainSegments(t *testing.T, d Data, cfg Config) (dir string, m *Manifest) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "model")
	m, err := Train(context.Background(), d, cfg, quota.Limits{}, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return dir, m
}

// plainSegment is the plain twin of Model.Segment: the formula of affinity.go by loops over everybody.
func plainSegment(m *Model, wanted []int32, self, demote bool, n int) []string {
	type ranked struct {
		last   bool
		score  float32
		events int
		id     string
	}
	weight := make([]float32, len(m.items))
	for _, j := range wanted {
		items, values := m.affinity.near.of(j)
		for k, i := range items {
			weight[i] += float32(1 / float32(len(wanted)) * values[k])
		}
		if self {
			weight[j] += 1 / float32(len(wanted))
		}
	}
	var all []ranked
	for id := range m.Users() {
		has := map[string]bool{}
		for _, e := range m.History(id) {
			has[e.Item] = true
		}
		r := ranked{id: id, events: len(m.History(id)), last: demote && has[m.items[wanted[0]]]}
		for i, w := range weight {
			if has[m.items[i]] {
				r.score += w
			}
		}
		all = append(all, r)
	}
	if theta := m.manifest.Settings["attributes.users"]; theta > 0 {
		average := 0.0
		for _, r := range all {
			average += float64(r.score)
		}
		average /= float64(len(all))
		tilt := plainTilt(m, wanted, theta)
		for k := range all {
			all[k].score = float32((float64(all[k].score) + average) * tilt(all[k].id))
		}
	}
	slices.SortFunc(all, func(a, b ranked) int {
		if a.last != b.last {
			return cmp.Compare(indicator(a.last), indicator(b.last))
		}
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(b.events, a.events), cmp.Compare(a.id, b.id))
	})
	var ids []string
	for _, r := range all[:min(n, len(all))] {
		ids = append(ids, r.id)
	}
	return ids
}

// plainTilt is the factor of traits.go by user, of data whose columns of users have levels only.
func plainTilt(m *Model, wanted []int32, theta float64) func(user string) float64 {
	values := func(id string) (all []string) {
		row, ok := m.profiles.find(id)
		for k := range m.userRows.Columns {
			if c := &m.userRows.Columns[k]; ok {
				for _, l := range c.Of(row) {
					all = append(all, fmt.Sprint(k, ":", c.Level[l]))
				}
			}
		}
		return all
	}
	column := func(value string) string { return value[:1] }
	had, asked := map[string]float64{}, map[string]float64{} // by value, and by column
	for id := range m.Users() {
		has := map[string]bool{}
		for _, e := range m.History(id) {
			has[e.Item] = true
		}
		n := 0.0
		for _, j := range wanted {
			if has[m.items[j]] {
				n++
			}
		}
		for _, v := range values(id) {
			had[v] += float64(len(m.History(id)))
			had[column(v)] += float64(len(m.History(id)))
			asked[v] += n
			asked[column(v)] += n
		}
	}
	return func(user string) float64 {
		factor := 1.0
		for _, v := range values(user) {
			share := had[v] / had[column(v)]
			given := (asked[v] + float64(tasteDoubt*share)) / (asked[column(v)] + tasteDoubt)
			factor += float64(theta * float64(given/share-1))
		}
		return max(leastTrait, factor)
	}
}

// tribes draws users of ten tribes who take a few of the items of their own, which have a brand of the tribe. Nobody has the last ten items.
func tribes(t *testing.T, users, items int) Data {
	rng := rand.New(rand.NewPCG(5, 5))
	var events []testEvent
	people := NewAttributesBuilder(parse(t, "Users", "USER_ID:string", "TRIBE:string?/categorical", "NOISE:string?/categorical"), every)
	for u := range users {
		id, tribe := fmt.Sprintf("user-%04d", u), u%10
		people.Add([]schema.Value{str(id), str(fmt.Sprint("tribe ", tribe)), str(fmt.Sprint(rng.IntN(3)))})
		for k := range 5 {
			item := 10*rng.IntN(items/10) + tribe
			if rng.IntN(10) == 0 {
				item = rng.IntN(items)
			}
			events = append(events, testEvent{id, fmt.Sprintf("item-%04d", item), "Watch", int64(k), 0})
		}
	}
	goods := NewAttributesBuilder(parse(t, "Items", "ITEM_ID:string", "BRAND:string?/categorical"), every)
	for i := range items + 10 {
		goods.Add([]schema.Value{str(fmt.Sprintf("item-%04d", i)), str(fmt.Sprint("brand ", i%10))})
	}
	return Data{Events: makeEvents(events), Items: goods.Attributes(), Users: people.Attributes()}
}

// TestAttributesHelpWhereTheyTellTribesApart plants what attributes say and short histories hardly do.
func TestAttributesHelpWhereTheyTellTribesApart(t *testing.T) {
	const items = 1600
	d := tribes(t, 800, items)
	recall := func(d Data) (float64, string, *Manifest) {
		dir, m := trainSegments(t, d, affinityConfigs[0])
		return m.Metrics["recall_at_1_percent"], dir, m
	}
	none, _, _ := recall(bare(d))
	ofItems, dir, m := recall(Data{Events: d.Events, Items: d.Items})
	if m.Settings["attributes.items"] == 0 || ofItems < 1.2*none {
		t.Errorf("with attributes of items the recall is %v, without %v; settings %v", ofItems, none, m.Settings)
	}
	tribal := func(dir string, item int32, least int) {
		got, err := open(t, dir).Segment(SegmentQuery{Item: fmt.Sprintf("item-%04d", item), N: 50}, nil)
		right := 0
		for _, id := range got {
			if int32(id[len(id)-1]-'0') == item%10 {
				right++
			}
		}
		if err != nil || right < least {
			t.Errorf("item %d: of 50 users %d are of its tribe, %v", item, right, err)
		}
	}
	tribal(dir, items+3, 45)
	ofUsers, dir, m := recall(Data{Events: d.Events, Items: bare(d).Items, Users: d.Users})
	if m.Settings["attributes.users"] == 0 || ofUsers < 1.2*none {
		t.Errorf("with attributes of users the recall is %v, without %v; settings %v", ofUsers, none, m.Settings)
	}
	tribal(dir, 33, 30)
	served := open(t, dir)
	for _, item := range []int32{0, 33, 512} {
		got, _ := served.Segment(SegmentQuery{Item: served.items[item], N: 300}, nil)
		if diff := gocmp.Diff(plainSegment(served, []int32{item}, served.affinity.repeats, !served.affinity.repeats, 300), got); diff != "" {
			t.Errorf("item %d differs from the plain twin: %s", item, diff)
		}
	}
}

// TestAttributesThatSayNothingChangeNothing: what the data do not prove beyond chance is not used.
func TestAttributesThatSayNothingChangeNothing(t *testing.T) {
	d := affinityData(t, walks(11, 400, 60, 8), 60)
	rng := rand.New(rand.NewPCG(4, 4))
	b := NewAttributesBuilder(parse(t, "Items", "ITEM_ID:string", "NOISE:string?/categorical"), every)
	for i := range 60 {
		b.Add([]schema.Value{str(fmt.Sprintf("item-%04d", i)), str(fmt.Sprint(rng.IntN(6)))})
	}
	d.Items = b.Attributes()
	_, m := trainSegments(t, d, affinityConfigs[0])
	if m.Settings["attributes.items"] != 0 || m.Settings["attributes.users"] != 0 {
		t.Errorf("settings %v", m.Settings)
	}
	_, plain := trainSegments(t, bare(d), affinityConfigs[0])
	if diff := gocmp.Diff(plain.Metrics, m.Metrics); diff != "" {
		t.Errorf("metrics (-without +with attributes): %s", diff)
	}
}

func TestSegmentsAreThoseOfThePlainTwin(t *testing.T) {
	const items = 40
	for _, repeats := range []bool{false, true} {
		events := walks(11, 150, items, 8)
		if !repeats {
			seen := map[string]bool{}
			events = slices.DeleteFunc(events, func(e testEvent) bool {
				key := e.user + e.item
				again := seen[key]
				seen[key] = true
				return again
			})
		}
		dir, manifest := trainSegments(t, affinityData(t, events, items), affinityConfigs[0])
		m := open(t, dir)
		if (manifest.Settings["repeats"] == 1) != repeats {
			t.Fatalf("repeats: %v", manifest.Settings)
		}
		rng := rand.New(rand.NewPCG(1, 2))
		for i := range items {
			n := []int{0, 1, 10, 37, 38, 149, 1000}[rng.IntN(7)]
			got, err := m.Segment(SegmentQuery{Item: fmt.Sprintf("item-%04d", i), N: n}, nil)
			at, _ := slices.BinarySearch(m.items, fmt.Sprintf("item-%04d", i))
			want := plainSegment(m, []int32{int32(at)}, repeats, !repeats, n)
			if diff := gocmp.Diff(want, got); err != nil || len(want)+len(got) > 0 && diff != "" {
				t.Fatalf("item %d: %v %s", i, err, diff)
			}
		}
	}
	events := walks(11, 150, items, 8)
	dir, _ := trainSegments(t, affinityData(t, events, items), affinityConfigs[1])
	m := open(t, dir)
	for _, c := range []struct {
		attributes []Attribute
		has        func(i int) bool
	}{
		{[]Attribute{{"ZONE", "odd"}}, func(i int) bool { return i*10/items%2 == 1 }},
		{[]Attribute{{"zone", "odd"}, {"Zone", "zone 3"}}, func(i int) bool { return i*10/items == 3 }},
		{[]Attribute{{"NUMBER", "7.1"}}, func(i int) bool { return i == 7 }},
		{[]Attribute{{"NUMBER", "7.1"}, {"ZONE", "odd"}}, func(i int) bool { return i == 7 }},
	} {
		var wanted []int32
		for i, id := range m.items {
			if n := 0; id != "unseen" {
				fmt.Sscanf(id, "item-%d", &n)
				if c.has(n) {
					wanted = append(wanted, int32(i))
				}
			}
		}
		for _, n := range []int{3, 100} {
			got, err := m.Segment(SegmentQuery{Attributes: c.attributes, N: n}, nil)
			if diff := gocmp.Diff(plainSegment(m, wanted, true, false, n), got); err != nil || diff != "" {
				t.Errorf("%v: %v %s", c.attributes, err, diff)
			}
		}
	}
}

func TestSegmentsNameOnlyWhoMayAppear(t *testing.T) {
	dir, _ := trainSegments(t, affinityData(t, walks(12, 100, 30, 8), 30), affinityConfigs[0])
	m := open(t, dir)
	all, err := m.Segment(SegmentQuery{Item: "item-0003", N: 1000}, nil)
	if err != nil || len(all) != 100 {
		t.Fatalf("%d users, %v", len(all), err)
	}
	odd := func(id string) bool { return id[len(id)-1]%2 == 1 }
	var want []string
	for _, id := range all {
		if odd(id) {
			want = append(want, id)
		}
	}
	for _, n := range []int{5, 30, 1000} {
		got, err := m.Segment(SegmentQuery{Item: "item-0003", N: n, Keep: odd}, nil)
		if diff := gocmp.Diff(want[:min(n, len(want))], got); err != nil || diff != "" {
			t.Errorf("%d: %v %s", n, err, diff)
		}
	}
}

func TestQuestionsThatTheDataCannotAnswerSaySo(t *testing.T) {
	events := walks(13, 60, 30, 8)
	dir, _ := trainSegments(t, affinityData(t, events, 30), affinityConfigs[0])
	m := open(t, dir)
	for _, item := range []string{"", "nothing", "unseen"} {
		if _, err := m.Segment(SegmentQuery{Item: item, N: 5}, nil); err == nil {
			t.Errorf("item %q has a segment", item)
		}
	}
	dir, _ = trainSegments(t, affinityData(t, events, 30), affinityConfigs[1])
	m = open(t, dir)
	for _, query := range [][]Attribute{
		nil, {{"NOSUCH", "1"}}, {{"PLOT", "text"}}, {{"CREATION_TIMESTAMP", "1"}}, {{"ITEM_ID", "item-0001"}}, {{"ZONE", "Odd"}}, {{"ZONE", "zone 1|odd"}},
		{{"ZONE", "odd"}, {"ZONE", "even"}}, {{"NUMBER", "many"}}, {{"NUMBER", "7"}}, {{"ZONE", "zone x"}},
	} {
		if got, err := m.Segment(SegmentQuery{Attributes: query, N: 5}, nil); err == nil {
			t.Errorf("%v has the segment %v", query, got)
		}
	}
}

func TestSegmentsRefuseDataThatSaysNothingAboutThem(t *testing.T) {
	events := walks(14, 60, 30, 8)
	still := slices.Clone(events)
	for i := range still {
		still[i].time = 7
	}
	named := &Attributes{IDs: []string{"item-0001"}, Columns: []Column{
		{Name: "CREATION_TIMESTAMP", Kind: Number, Number: []float64{1}}, {Name: "PLOT", Kind: Text, Text: []string{"a"}}, {Name: "TITLE", Kind: Title, Text: []string{"b"}},
	}}
	for _, c := range []struct {
		cfg  Config
		data Data
		want string
	}{
		{affinityConfigs[0], Data{Events: makeEvents(still)}, "All interactions have the same timestamp."},
		{affinityConfigs[1], Data{Events: makeEvents(events)}, "Dataset group does not have a dataset of type ITEMS."},
		{affinityConfigs[1], Data{Events: makeEvents(events), Items: named}, "Items dataset has no non-textual, non-reserved column."},
	} {
		_, err := Train(context.Background(), c.data, c.cfg, quota.Limits{}, t.TempDir(), nil)
		if fault := new(DataError); !errors.As(err, &fault) || fault.Reason != c.want {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}

func TestSegmentModelsDoNotDependOnTheNumberOfCores(t *testing.T) {
	for n, cfg := range affinityConfigs {
		d := affinityData(t, walks(3, 200, 50, 10), 50)
		func() {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
			one, m := trainSegments(t, d, cfg)
			if m.Hash != pinnedSegments[n] { // whoever changes the algorithm changes them here, and nothing else may
				t.Errorf("%s: model hash is %s, want %s", cfg.Recipe, m.Hash, pinnedSegments[n])
			}
			for _, cores := range []int{2, 8} {
				runtime.GOMAXPROCS(cores)
				more, _ := trainSegments(t, d, cfg)
				if diff := gocmp.Diff(contents(t, one), contents(t, more)); diff != "" {
					t.Errorf("%s on %d cores: %s", cfg.Recipe, cores, diff)
				}
			}
		}()
	}
}

// TestSegmentsForget is the erasure promise: the model after an erasure has the bytes of one that never saw the users.
func TestSegmentsForget(t *testing.T) {
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 1))
		cfg, users, items := affinityConfigs[seed%2], 1+rng.IntN(30), 1+rng.IntN(40)
		events := append(walks(seed, users, items, 6), testEvent{"stays", "item-0000", "Watch", 1, 0}, testEvent{"stays", "item-0000", "Watch", 2, 0})
		gone := []string{"somebody else", "user-0000"}
		for u := range users {
			if rng.IntN(4) == 0 {
				gone = append(gone, fmt.Sprintf("user-%04d", u))
			}
		}
		rest := slices.DeleteFunc(slices.Clone(events), func(e testEvent) bool { return slices.Contains(gone, e.user) })
		d := affinityData(t, events, items)
		from, _ := trainSegments(t, d, cfg)
		to := filepath.Join(t.TempDir(), "to")
		if _, touched, err := Retrain(context.Background(), from, userset.New(gone), to, nil); err != nil || !touched {
			t.Fatalf("touched is %v, %v", touched, err)
		}
		d.Events = makeEvents(rest)
		d.Users, _ = d.Users.without(userset.New(gone))
		never, _ := trainSegments(t, d, cfg)
		if diff := gocmp.Diff(contents(t, never), contents(t, to)); diff != "" {
			t.Error(diff)
		}
	}
}

// TestSegmentsOfNobody covers what an erasure may leave: an empty model answers in words.
func TestSegmentsOfNobody(t *testing.T) {
	for _, cfg := range affinityConfigs {
		events := walks(15, 3, 5, 4)
		from, _ := trainSegments(t, affinityData(t, events, 5), cfg)
		to := filepath.Join(t.TempDir(), "to")
		if _, _, err := Retrain(context.Background(), from, userset.New([]string{"user-0000", "user-0001", "user-0002"}), to, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := open(t, to).Segment(SegmentQuery{Item: "item-0000", Attributes: []Attribute{{"ZONE", "even"}}, N: 5}, nil); err == nil {
			t.Error("an empty model names users")
		}
	}
}

// TestSegmentMetrics compares the metrics with values that follow from the data by hand: two worlds whose people never meet.
func TestSegmentMetrics(t *testing.T) {
	var events []testEvent
	for u := range 200 {
		for k := range 10 { // of his world's 20 items he has 8, and 2 more to come
			item := (u*7 + k*3) % 20
			events = append(events, testEvent{fmt.Sprintf("user-%04d", u), fmt.Sprintf("item-%04d", u%2*20+item), "Watch", int64(k), 0})
		}
	}
	for _, cfg := range affinityConfigs {
		_, m := trainSegments(t, affinityData(t, events, 40), cfg)
		if h := m.Metrics["hits_at_1_percent"]; h <= 0 || h > 2 { // one percent of 200 users are two
			t.Errorf("%s: %v", cfg.Recipe, m.Metrics)
		}
		if len(m.Metrics) != 3 || m.Metrics["coverage"] <= 0 || m.Metrics["recall_at_1_percent"] <= 0 || m.Metrics["recall_at_1_percent"] > 1 {
			t.Errorf("%s: %v", cfg.Recipe, m.Metrics)
		}
	}
}

var pinnedSegments = []string{
	"2675ea0b4a5ff00c0a36fb750266af9fdef743adc56132e30d1558fddd5f0b36",
	"0ebfb8d630af96d7bccc88de24a0dca9a33532df7995b8dd2c63fcea7cbf0f81",
}
