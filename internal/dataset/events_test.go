package dataset

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/palate-dev/palate/internal/schema"
	"github.com/palate-dev/palate/internal/userset"
	"github.com/palate-dev/palate/test/seeds"
)

type plainEvent struct {
	user, item, kind string
	time             int64
	value            float32
}

// canonical builds Events from a list in the plainest way.
func canonical(list []plainEvent) *Events {
	slices.SortFunc(list, func(a, b plainEvent) int {
		return cmp.Or(strings.Compare(a.user, b.user), cmp.Compare(a.time, b.time), strings.Compare(a.item, b.item), strings.Compare(a.kind, b.kind))
	})
	distinct := func(name func(plainEvent) string) (out []string) {
		for _, e := range list {
			out = append(out, name(e))
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	ev := &Events{
		Users: distinct(func(e plainEvent) string { return e.user }), Items: distinct(func(e plainEvent) string { return e.item }),
		Types: distinct(func(e plainEvent) string { return e.kind }), Offsets: []int64{0},
	}
	for _, u := range ev.Users {
		for _, e := range list {
			if e.user == u {
				ev.Item = append(ev.Item, int32(slices.Index(ev.Items, e.item)))
				ev.Type = append(ev.Type, uint16(slices.Index(ev.Types, e.kind)))
				ev.Time, ev.Value = append(ev.Time, e.time), append(ev.Value, e.value)
			}
		}
		ev.Offsets = append(ev.Offsets, int64(len(ev.Item)))
	}
	column := func(name string, numeric bool, of func(plainEvent) string) EventColumn {
		c := EventColumn{Name: name, Numeric: numeric}
		c.Levels = slices.DeleteFunc(distinct(of), func(level string) bool { return level == "" })
		for _, e := range list { // sorted by user
			c.Code = append(c.Code, int32(slices.Index(c.Levels, of(e))))
		}
		return c
	}
	ev.Context = []EventColumn{column("DEVICE", false, deviceOf), column("HOUR", true, hourOf), column("SHARE", true, shareOf)}
	return ev
}

// hourOf and shareOf are numbers of the context as a read has them.
func hourOf(e plainEvent) string { return []string{"", "-3", "1.23457e+06", "0"}[e.time%4] }

func shareOf(e plainEvent) string { return []string{"0.333333", "", "0", "1e-07"}[e.time%4] }

// numbersOf are the values that hourOf and shareOf are made of.
func numbersOf(e plainEvent) []schema.Value {
	return []schema.Value{
		{}, dec(1.0 / 3),
		num(-3), {},
		num(1_234_567), dec(math.Copysign(0, -1)),
		num(0), dec(1e-7),
	}[e.time%4*2:][:2]
}

// deviceOf is the context of an event: what it happened on, if that is known.
func deviceOf(e plainEvent) string { return []string{"", "tv", "phone", "web"}[e.time%4] }

func drawEvents(t *rapid.T) (list []plainEvent) {
	for i := range rapid.IntRange(0, 40).Draw(t, "n") {
		list = append(list, plainEvent{
			user: fmt.Sprint("u", rapid.IntRange(0, 5).Draw(t, "user")), item: fmt.Sprint("i", rapid.IntRange(0, 9).Draw(t, "item")),
			kind: rapid.SampledFrom([]string{"", "view", "buy"}).Draw(t, "kind"), time: int64(i), value: float32(i),
		})
	}
	return list
}

// same compares two Events; empty and nil slices are equal.
func same(t *rapid.T, want, got *Events) {
	t.Helper()
	if diff := gocmp.Diff(fmt.Sprintf("%+v", *want), fmt.Sprintf("%+v", *got)); diff != "" {
		t.Fatal(diff)
	}
}

func TestEventsWithoutAUserEqualEventsThatNeverHeldHim(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := drawEvents(t)
		gone := userset.New([]string{"u1", "u4", "nobody"})
		var rest []plainEvent
		for _, e := range list {
			if !gone.Has(e.user) {
				rest = append(rest, e)
			}
		}
		got, touched := canonical(list).Without(gone)
		if touched != (len(rest) < len(list)) {
			t.Fatal("touched is wrong")
		}
		same(t, canonical(rest), got)
	})
}

func TestFilteredEventsEqualEventsThatNeverHeldTheRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := canonical(drawEvents(t))
		var rest []plainEvent
		got := all.Filter(func(i int) bool { return all.Types[all.Type[i]] == "buy" })
		for u, user := range all.Users {
			for i := all.Offsets[u]; i < all.Offsets[u+1]; i++ {
				if all.Types[all.Type[i]] == "buy" {
					rest = append(rest, plainEvent{user, all.Items[all.Item[i]], "buy", all.Time[i], all.Value[i]})
				}
			}
		}
		same(t, canonical(rest), got)
	})
}

func TestTrainingReadIsTheSameHoweverTheRowsAreStored(t *testing.T) {
	fewerChecks(t, 15)
	rapid.Check(t, func(rt *rapid.T) {
		list := drawEvents(rt)
		s := newStore(t)
		sc := interactionsSchema()
		sc.Fields = append(sc.Fields, schema.Field{Name: "DEVICE", Nullable: true, Categorical: true},
			schema.Field{Name: "HOUR", Nullable: true, Kind: schema.Int}, schema.Field{Name: "SHARE", Nullable: true, Kind: schema.Double})
		tab := s.create("t1", sc)
		for i, e := range list {
			values := []schema.Value{str(e.user), str(e.item), num(e.time), str(e.kind), dec(float64(e.value)), str(deviceOf(e))}
			s.put(tab, Row{Values: append(values, numbersOf(e)...), EventID: fmt.Sprint(i)})
			if rapid.IntRange(0, 9).Draw(rt, "fold") == 0 {
				s.foldNow("g1")
			}
		}
		ev, err := s.Events(t.Context(), tab, "DEVICE", "HOUR", "SHARE")
		if err != nil {
			rt.Fatal(err)
		}
		want := canonical(list)
		want.Seq = ev.Seq
		same(rt, want, ev)
		s.stop()
	})
}

func TestRepeatedEventIDs(t *testing.T) {
	seeds.Each(t, 20, 1000, func(t *testing.T, r *rand.Rand) {
		var c eventCollector
		first, want := make(map[uint64]int64), make(map[int64]bool)
		for seq, blocks := int64(1), r.IntN(8); blocks > 0; blocks-- {
			var seen []seenEvent
			for range r.IntN(300) {
				id := r.Uint64N(1000)
				if r.IntN(2) == 0 {
					id = r.Uint64()
				}
				seen = append(seen, seenEvent{hash: [2]uint64{id % 997, id}, seq: seq}) // half a hash is not enough
				if first[id] == 0 {
					first[id] = seq
				} else {
					want[seq] = true
				}
				seq++
			}
			c.add(seen)
		}
		slices.Reverse(c.seen) // blocks come in no particular order
		if diff := gocmp.Diff(want, c.repeated()); diff != "" {
			t.Error(diff)
		}
	})
}
