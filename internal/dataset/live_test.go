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
	x := newLiveIndex(liveInteractions)
	live := x.inserter("t1")
	for i := range 100_000 { // a type has 21 events, seven of each user
		live.insert(fmt.Sprint("user-", i%3), LiveEvent{Seq: int64(i + 1), Item: fmt.Sprint("item-", i), Type: fmt.Sprint("type-", i/21), Value: math.NaN()})
	}
	live.close()
	kept, codes := 0, 0
	x.each(func(string, int64) { kept++ })
	for i := range x.names {
		codes += len(x.names[i].names)
	}
	if most := 3 * 2 * liveEvents; kept > most {
		t.Fatalf("%d events are kept, at most %d should be", kept, most)
	}
	if names := len(x.known()); names > 2*kept {
		t.Errorf("%d names of %d events", names, kept)
	}
	if codes > 4*3*2*liveEvents { // each shard has had its own most
		t.Errorf("%d codes were given for the names of %d events", codes, kept)
	}
	for _, ev := range x.of("user-2", 0) {
		if ev.Item != fmt.Sprint("item-", ev.Seq-1) || ev.Type != fmt.Sprint("type-", (ev.Seq-1)/21) {
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
		const perType = 20
		x, seq := newLiveIndex(perType), int64(0)
		var plain []row
		tables, users := []string{"t1", "t2"}, []string{"a", "b", "c"}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			default:
				table, names := rapid.SampledFrom(tables).Draw(t, "table"), rapid.IntRange(1, 40).Draw(t, "names")
				live := x.inserter(table)
				for range rapid.IntRange(0, 200).Draw(t, "events") {
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
		stands := map[int64]row{}
		for _, r := range plain {
			stands[r.ev.Seq] = r
		}
		for _, user := range users {
			got := map[int64]LiveEvent{}
			for _, ev := range x.of(user, 0) {
				got[ev.Seq] = ev
				names = append(names, ev.Item, ev.Type)
				if r := stands[ev.Seq]; r.user != user || r.ev != ev {
					t.Fatalf("%s has the event %+v, which is gone", user, ev)
				}
			}
			var want []LiveEvent
			for _, table := range tables {
				seen := map[string]int{}
				for _, r := range slices.Backward(plain) {
					if r.table != table || r.user != user {
						continue
					}
					if seen[r.ev.Type]++; seen[r.ev.Type] <= perType {
						want = append(want, r.ev)
					}
				}
			}
			for _, ev := range want {
				if got[ev.Seq] != ev {
					t.Fatalf("%s has not the event %+v", user, ev)
				}
			}
		}
		slices.Sort(names)
		if d := cmp.Diff(slices.Compact(names), x.known()); d != "" {
			t.Fatalf("names (-of events +known):\n%s", d)
		}
	})
}

func TestTheNewestOfEachTypeAreKeptAndNoMoreThanAThousand(t *testing.T) {
	type event struct{ seq, kind int }
	of := func(events []event, perType int) (kept []event) {
		list := slices.Clone(events)
		at := newest(list, perType, func(ev event) int { return ev.kind })
		kept = slices.Clone(list[at:])
		slices.SortFunc(list, func(a, b event) int { return a.seq - b.seq })
		if !slices.Equal(list, events) {
			t.Fatal("newest loses events")
		}
		return kept
	}
	if d := cmp.Diff([]int{2, 3, 6, 7}, seqs(of([]event{{1, 0}, {2, 1}, {3, 1}, {4, 0}, {5, 0}, {6, 0}, {7, 0}}, 2), func(ev event) int { return ev.seq })); d != "" {
		t.Errorf("the newest two of each type (-want +got):\n%s", d)
	}
	var all []event // each of a type of its own
	for i := range 3 * liveEvents {
		all = append(all, event{i, i})
	}
	if kept := of(all, 100); len(kept) != liveEvents || !slices.Equal(kept, all[2*liveEvents:]) {
		t.Errorf("%d events of as many types are kept", len(kept))
	}
}

func seqs[T any](events []T, seq func(T) int) (all []int) {
	for _, ev := range events {
		all = append(all, seq(ev))
	}
	return all
}
