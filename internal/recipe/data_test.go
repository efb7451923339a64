package recipe

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/palate-dev/palate/internal/dataset"
)

// testEvent is one interaction as people write it.
type testEvent struct {
	user, item, kind string
	time             int64
	value            float32 // 0 stands for none
}

// makeEvents builds the canonical form.
func makeEvents(events []testEvent) *dataset.Events {
	slices.SortStableFunc(events, func(a, b testEvent) int {
		return cmp.Or(cmp.Compare(a.user, b.user), cmp.Compare(a.time, b.time), cmp.Compare(a.item, b.item), cmp.Compare(a.kind, b.kind))
	})
	ev := &dataset.Events{Offsets: []int64{0}, Seq: int64(len(events))}
	for _, e := range events {
		ev.Items = append(ev.Items, e.item)
		ev.Types = append(ev.Types, e.kind)
	}
	slices.Sort(ev.Items)
	slices.Sort(ev.Types)
	ev.Items, ev.Types = slices.Compact(ev.Items), slices.Compact(ev.Types)
	for i, e := range events {
		if i == 0 || events[i-1].user != e.user {
			ev.Users = append(ev.Users, e.user)
			ev.Offsets = append(ev.Offsets, int64(i))
		}
		ev.Offsets[len(ev.Offsets)-1] = int64(i + 1)
		item, _ := slices.BinarySearch(ev.Items, e.item)
		kind, _ := slices.BinarySearch(ev.Types, e.kind)
		value := e.value
		if value == 0 {
			value = float32(math.NaN())
		}
		ev.Item = append(ev.Item, int32(item))
		ev.Type = append(ev.Type, uint16(kind))
		ev.Time = append(ev.Time, e.time)
		ev.Value = append(ev.Value, value)
	}
	return ev
}

// walks draws users who walk along a ring of items, mostly one step at a time: data with an order to be learned.
func walks(seed uint64, users, items, length int) []testEvent {
	rng := rand.New(rand.NewPCG(seed, 7))
	var events []testEvent
	for u := range users {
		at := rng.IntN(items)
		for k := range 1 + rng.IntN(2*length) {
			events = append(events, testEvent{
				user: fmt.Sprintf("user-%04d", u), item: fmt.Sprintf("item-%04d", at), kind: "Watch", time: int64(1_600_000_000 + u + 3600*k),
				value: float32(1 + rng.IntN(5)),
			})
			if rng.IntN(10) == 0 {
				at = rng.IntN(items)
			} else {
				at = (at + 1) % items
			}
		}
	}
	return events
}

// pinned are the hashes of the models of everyTrainer on walks(4, 120, 40, 8).
var pinned = []string{
	"6ff55f303980219cfea8bf74501920629e25c1147db953faa36a7f8aa04690db",
	"5c444db96dace6b9aa26f48b192aed5b5add9a31c537efe60dc5e59bcc2e9c58",
	"961237a7aa1884b6caf86c87411a1e8ba479ae91b3f33bb0ede40de66a8edc1c",
	"5e4be9a462dab6bae65090d59786cbc751c4e0718042510288db45d50298c619",
	"f63113134b407ea1126b9f431416ca0036dfb3bff58a4d5baabf69a5d3b03e6a",
	"7d870a135cbb32d59903d425eb761db006710c71df9d289db25203404948efd4",
	"4acdb149197f980d056105ad7e9604bccbd962a664fceb7de07af1304711ed2e",
}
