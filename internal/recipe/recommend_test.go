package recipe

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/dataset"
)

func live(items ...string) []dataset.LiveEvent {
	var events []dataset.LiveEvent
	for n, item := range items {
		events = append(events, dataset.LiveEvent{Seq: int64(n), Time: int64(n), Item: item, Type: "Watch", Value: math.NaN()})
	}
	return events
}

func ids(list []Scored) []string {
	var items []string
	for _, s := range list {
		items = append(items, s.Item)
	}
	return items
}

func ringModel(t *testing.T, recipe string) *Model {
	dir, _ := train(t, makeEvents(walks(8, 300, 60, 12)), []string{"item-0001", "unborn-1", "unborn-2"}, Config{Recipe: recipe, Seed: 9})
	return open(t, dir)
}

func TestPopularityCountsUsersOrEvents(t *testing.T) {
	events := []testEvent{
		{"u1", "b", "", 1, 0}, {"u1", "b", "", 2, 0}, {"u1", "b", "", 3, 0}, {"u2", "a", "", 1, 0}, {"u3", "a", "", 1, 0}, {"u3", "c", "", 9, 0},
	}
	for _, c := range []struct {
		events bool
		want   []string
	}{{false, []string{"a", "b", "c"}}, {true, []string{"b", "a", "c"}}} {
		dir, _ := train(t, makeEvents(slices.Clone(events)), []string{"cold"}, Config{Recipe: popularityCount, CountEvents: c.events})
		m := open(t, dir)
		got := m.Recommend(Query{User: "u1", Known: true, N: 10}, nil)
		if diff := cmp.Diff(c.want, ids(got)); diff != "" {
			t.Errorf("counting events %v: %s", c.events, diff)
		}
		if got[0].HasScore {
			t.Error("popularity has no scores")
		}
		if m.Warm("cold") || !m.Warm("c") {
			t.Error("an item is warm if it has events")
		}
	}
}

func TestAnEventChangesTheNextAnswer(t *testing.T) {
	for _, recipe := range []string{personalizationV1, personalizationV2} {
		m := ringModel(t, recipe)
		for at := range 5 {
			got := m.Recommend(Query{N: 3, Live: live(fmt.Sprintf("item-%04d", 10*at))}, nil)
			if want := fmt.Sprintf("item-%04d", 10*at+1); !slices.Contains(ids(got), want) {
				t.Errorf("%s: after item %d comes %v", recipe, 10*at, ids(got))
			}
		}
	}
}

func TestHistoryAndLiveEventsCountTogether(t *testing.T) {
	m := ringModel(t, personalizationV2)
	user := m.users.at(5)
	history := m.History(user)
	if len(history) == 0 {
		t.Fatal("no history")
	}
	fresh := m.Recommend(Query{User: "somebody new", Known: true, N: 20, Live: history}, nil)
	known := m.Recommend(Query{User: user, Known: true, N: 20}, nil)
	if diff := cmp.Diff(fresh, known); diff != "" {
		t.Errorf("the same events, trained on or live, give different answers: %s", diff)
	}
}

func TestHiddenUsersAreServedLikeNobody(t *testing.T) {
	m := ringModel(t, personalizationV1)
	user := m.users.at(0)
	nobody := m.Recommend(Query{N: 10}, nil)
	if len(nobody) != 10 || !nobody[0].HasScore {
		t.Fatalf("anonymous visitors get %v", nobody)
	}
	if diff := cmp.Diff(nobody, m.Recommend(Query{User: user, Known: false, N: 10}, nil)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(nobody, m.Recommend(Query{User: "unknown", Known: true, N: 10, Live: live("no such item", "unborn-1")}, nil)); diff != "" {
		t.Errorf("unknown items count: %s", diff)
	}
	if slices.Equal(ids(nobody), ids(m.Recommend(Query{User: user, Known: true, N: 10}, nil))) {
		t.Error("a known user gets what nobody gets")
	}
}

func TestScoresSumToOneAndDescend(t *testing.T) {
	m := ringModel(t, personalizationV1)
	for _, q := range []Query{{N: 1000}, {N: 1000, Live: live("item-0005", "item-0006")}, {N: 1000, User: m.users.at(3), Known: true}} {
		list := m.Recommend(q, nil)
		if len(list) != 60 {
			t.Fatalf("%d of 60 items", len(list))
		}
		sum := 0.0
		for i, s := range list {
			sum += s.Score
			if !s.HasScore || s.Score < 0 || s.Score != round7(s.Score) || i > 0 && s.Score > list[i-1].Score {
				t.Errorf("place %d: %+v", i, s)
			}
		}
		if math.Abs(sum-1) > 1e-5 {
			t.Errorf("scores sum to %v", sum)
		}
	}
}

func TestItemsOfTheHistoryComeLastWhereNobodyComesBack(t *testing.T) {
	var events []testEvent
	for u := range 200 {
		for k := range 6 {
			events = append(events, testEvent{user: fmt.Sprintf("u%03d", u), item: fmt.Sprintf("i%02d", (u+k)%20), time: int64(k)})
		}
	}
	dir, manifest := train(t, makeEvents(events), nil, Config{Recipe: personalizationV2})
	if manifest.Settings["repeats"] != 0 {
		t.Fatal("nobody comes back in this data")
	}
	m := open(t, dir)
	list := ids(m.Recommend(Query{User: "u000", Known: true, N: 20}, nil))
	if len(list) != 20 {
		t.Fatalf("items of the history are missing: %v", list)
	}
	for place, item := range list {
		if seen := item < "i06"; seen != (place >= 14) {
			t.Errorf("place %d is %s", place, item)
		}
	}
}

func TestExcludedItemsDoNotAppearAndOthersMoveUp(t *testing.T) {
	for _, recipe := range []string{popularityCount, personalizationV1, personalizationV2} {
		m := ringModel(t, recipe)
		odd := func(item string) bool { return strings.ContainsAny(item[len(item)-1:], "13579") }
		q := Query{N: 60, Live: live("item-0010", "item-0011")}
		all := m.Recommend(q, nil)
		q.Exclude = odd
		even := m.Recommend(q, nil)
		if diff := cmp.Diff(slices.DeleteFunc(all, func(s Scored) bool { return odd(s.Item) }), even); diff != "" {
			t.Errorf("%s: %s", recipe, diff)
		}
	}
}

func TestV2PadsWithUnscoredPopularItems(t *testing.T) {
	var events []testEvent
	for i := range candidates + 50 {
		for u := range 2 {
			events = append(events, testEvent{user: fmt.Sprintf("u%d-%d", i, u), item: fmt.Sprintf("i%04d", i), time: int64(i)})
		}
	}
	dir, _ := train(t, makeEvents(events), nil, Config{Recipe: personalizationV2})
	list := open(t, dir).Recommend(Query{N: candidates + 20}, nil)
	if len(list) != candidates+20 {
		t.Fatalf("%d items", len(list))
	}
	for place, s := range list {
		if scored := place < candidates; s.HasScore != scored || (s.Reason == "Popular item") == scored {
			t.Errorf("place %d: %+v", place, s)
		}
	}
}

func TestExplorationShowsNewItemsMoreWithWeight(t *testing.T) {
	m := ringModel(t, personalizationV1)
	plain := m.Recommend(Query{N: 20}, nil)
	news := func(weight float64) (n int) {
		for seed := range uint64(300) {
			list := m.Recommend(Query{N: 20, ExplorationWeight: weight, CutOff: 30, RequestSeed: seed + 1}, nil)
			if len(list) != 20 {
				t.Fatalf("%d items", len(list))
			}
			for place, s := range list {
				if place > 0 && s.Score > list[place-1].Score {
					t.Fatalf("scores rise at place %d", place)
				}
				if strings.HasPrefix(s.Item, "unborn") {
					n++
				}
			}
		}
		return n
	}
	none, some, many := news(0), news(0.3), news(1)
	if none != 0 || some == 0 || many <= some {
		t.Errorf("new items shown: %d, %d, %d times", none, some, many)
	}
	if diff := cmp.Diff(plain, m.Recommend(Query{N: 20, ExplorationWeight: 0, CutOff: 30, RequestSeed: 5}, nil)); diff != "" {
		t.Errorf("weight 0 explores: %s", diff)
	}
	a := m.Recommend(Query{N: 20, ExplorationWeight: 1, CutOff: 30, RequestSeed: 77}, nil)
	if diff := cmp.Diff(a, m.Recommend(Query{N: 20, ExplorationWeight: 1, CutOff: 30, RequestSeed: 77}, nil)); diff != "" {
		t.Errorf("the same seed explores differently: %s", diff)
	}
}

func TestConcurrentRequestsDoNotDisturbEachOther(t *testing.T) {
	m := ringModel(t, personalizationV2)
	want := make([][]Scored, 20)
	for u := range want {
		want[u] = m.Recommend(Query{User: m.users.at(u), Known: true, N: 10}, nil)
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			var buf []Scored
			for u := range want {
				buf = m.Recommend(Query{User: m.users.at(u), Known: true, N: 10}, buf)
				if diff := cmp.Diff(want[u], buf); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
	group.Wait()
}

func TestModelKnowsItsUsers(t *testing.T) {
	m := ringModel(t, popularityCount)
	users := slices.Collect(m.Users())
	if int64(len(users)) != m.Manifest().Users || !slices.IsSorted(users) {
		t.Errorf("%d users", len(users))
	}
	if !m.HoldsUser(users[7]) || m.HoldsUser("user-") || m.HoldsUser("") || m.HoldsUser("zzz") {
		t.Error("a user is confused with another")
	}
	if m.History("zzz") != nil {
		t.Error("a stranger has a history")
	}
}

func TestAnswersOutliveTheModel(t *testing.T) {
	dir, _ := train(t, makeEvents(walks(8, 100, 30, 8)), nil, Config{Recipe: personalizationV2})
	m, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	list := m.Recommend(Query{N: 3}, nil)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(list[0].Item, "item-") {
		t.Error("the item is gone")
	}
}

func BenchmarkRecommend(b *testing.B) {
	dir, _ := train(b, makeEvents(walks(8, 2000, 3000, 40)), nil, Config{Recipe: personalizationV2})
	m, err := Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	buf := make([]Scored, 0, 25)
	q := Query{User: m.users.at(0), Known: true, N: 25, Live: live("item-0001", "item-0500", "item-1000")}
	for b.Loop() {
		buf = m.Recommend(q, buf)
	}
}
