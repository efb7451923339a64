package dataset

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// known lists the items and types that an index knows.
func (x *liveIndex) known() (all []string) {
	for i := range x.names {
		for name := range x.names[i].codes {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// Months of new items leave no more names behind than the events that are kept have, and codes go from one name to the next.
func TestLiveNamesAreForgottenWithTheirLastEvent(t *testing.T) {
	x := newLiveIndex()
	live := x.inserter("t1")
	for i := range 100_000 {
		live.insert(fmt.Sprint("user-", i%3), LiveEvent{Seq: int64(i + 1), Item: fmt.Sprint("item-", i), Type: fmt.Sprint("type-", i/7), Value: math.NaN()})
	}
	live.close()
	kept, codes := 0, 0
	x.each(func(string, int64) { kept++ })
	for i := range x.names {
		codes += len(x.names[i].names)
	}
	if most := 3 * 2 * liveKept; kept > most {
		t.Fatalf("%d events are kept, at most %d should be", kept, most)
	}
	if names := len(x.known()); names > 2*kept {
		t.Errorf("%d names of %d events", names, kept)
	}
	if codes > 4*3*2*liveKept { // each shard has had its own most
		t.Errorf("%d codes were given for the names of %d events", codes, kept)
	}
	for _, ev := range x.of("user-2", 0) {
		if ev.Item != fmt.Sprint("item-", ev.Seq-1) || ev.Type != fmt.Sprint("type-", (ev.Seq-1)/7) {
			t.Fatalf("event %d has item %s and type %s", ev.Seq, ev.Item, ev.Type)
		}
	}
	x.drop("t1")
	if names := x.known(); len(names) > 0 {
		t.Errorf("of a dropped table there are %d names", len(names))
	}
}

// An index holds what a plain list of events holds, and no names but theirs.
func TestLiveIndexEqualsAPlainList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type row struct {
			table, user string
			ev          LiveEvent
		}
		x, seq := newLiveIndex(), int64(0)
		var plain []row
		tables, users := []string{"t1", "t2"}, []string{"a", "b", "c"}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			default:
				table, names := rapid.SampledFrom(tables).Draw(t, "table"), rapid.IntRange(1, 40).Draw(t, "names")
				live := x.inserter(table)
				for range rapid.IntRange(0, 300).Draw(t, "events") {
					seq++
					ev := LiveEvent{Seq: seq, Time: seq % 7, Item: fmt.Sprint("item-", seq%int64(names)), Type: fmt.Sprint("type-", seq/50%3), Value: 1}
					user := users[seq*seq%int64(len(users))]
					live.insert(user, ev)
					plain = append(plain, row{table, user, ev})
				}
				live.close()
			case 3:
				user, cut := rapid.SampledFrom(users).Draw(t, "user"), rapid.Int64Range(0, seq).Draw(t, "cut")
				x.erase(func(u string) bool { return u == user }, cut)
				plain = slices.DeleteFunc(plain, func(r row) bool { return r.user == user && r.ev.Seq <= cut })
			case 4:
				table := rapid.SampledFrom(tables).Draw(t, "table")
				x.drop(table)
				plain = slices.DeleteFunc(plain, func(r row) bool { return r.table == table })
			}
		}
		var names []string
		bySeq := func(a, b LiveEvent) int { return int(a.Seq - b.Seq) }
		for _, user := range users {
			got := x.of(user, 0)
			slices.SortFunc(got, bySeq)
			for _, ev := range got {
				names = append(names, ev.Item, ev.Type)
			}
			var want []LiveEvent
			for _, table := range tables {
				var own []LiveEvent
				for _, r := range plain {
					if r.table == table && r.user == user {
						own = append(own, r.ev)
					}
				}
				want = append(want, own[max(0, len(own)-liveKept):]...)
			}
			for _, ev := range want {
				if !slices.ContainsFunc(got, func(g LiveEvent) bool { return cmp.Equal(g, ev) }) {
					t.Fatalf("%s has not the event %+v", user, ev)
				}
			}
			for _, ev := range got {
				if !slices.ContainsFunc(plain, func(r row) bool { return r.user == user && cmp.Equal(r.ev, ev) }) {
					t.Fatalf("%s has the event %+v, which is gone", user, ev)
				}
			}
		}
		slices.Sort(names)
		if d := cmp.Diff(slices.Compact(names), x.known()); d != "" {
			t.Fatalf("names (-of events +known):\n%s", d)
		}
	})
}
