package dataset

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/palate-dev/palate/internal/schema"
	"github.com/palate-dev/palate/internal/userset"
)

// What Imported finds of a user is what a read of the whole table finds.
func TestImportedEventsAreThoseOfTheTable(t *testing.T) {
	s := newStore(t)
	tab := s.create("t1", interactionsSchema())
	var a, b strings.Builder
	a.WriteString(interactionsHeader)
	b.WriteString(interactionsHeader)
	for i := range 6000 {
		fmt.Fprintf(&a, "user-%d,item-%d,%d,view,%d\n", i*7919%503, i%71, i/3, i%5)
		fmt.Fprintf(&b, "user-%d,item-%d,%d,,\n", i*7907%503, i%73, i)
	}
	fmt.Fprintf(&a, "user-7,twice,5,view,1\n")
	fmt.Fprintf(&b, "user-7,twice,5,view,1\n")
	for i := range 2000 {
		fmt.Fprintf(&a, "loud,item-%d,%d,buy,1\n", i, i)
	}
	s.imp(tab, false, a.String())
	s.imp(tab, true, b.String())
	s.put(tab, event("user-7", "streamed", 3, "view"))
	s.foldNow("g1")
	check := func(users ...string) {
		t.Helper()
		for _, user := range users {
			var want []LiveEvent
			if err := s.Effective(t.Context(), tab, func(r Row) error {
				if r.Source == Bulk && r.Values[0].Str == user {
					ev := LiveEvent{Time: r.Values[2].Int, Item: strings.Clone(r.Values[1].Str), Type: strings.Clone(r.Values[3].Str), Value: math.NaN()}
					if r.Values[4].Valid {
						ev.Value = r.Values[4].Float
					}
					want = append(want, ev)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			got, err := s.Imported(t.Context(), tab, user)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.IsSortedFunc(got, func(a, b LiveEvent) int { return int(a.Time - b.Time) }) {
				t.Errorf("%s: not in order of time", user)
			}
			for i := range got {
				got[i].Seq = 0
			}
			sorted := cmpopts.SortSlices(func(a, b LiveEvent) bool { return fmt.Sprint(a) < fmt.Sprint(b) })
			if diff := cmp.Diff(want, got, sorted, cmpopts.EquateNaNs()); diff != "" {
				t.Errorf("%s: %s", user, diff)
			}
		}
	}
	check("user-0", "user-7", "user-77", "user-502", "loud", "nobody", "", "zzz")
	s.compactNow("g1")
	check("user-7", "loud")
	for n := range 503 { // most of them are known since others of their buckets were read
		check(fmt.Sprint("user-", n))
	}

	cut, err := s.Fence(t.Context(), "g1")
	if err == nil {
		err = s.Hide(t.Context(), "g1", "e1", userset.New([]string{"user-7"}), cut)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Imported(t.Context(), tab, "user-7"); err != nil || len(got) != 0 {
		t.Errorf("of a hidden user: %v, %v", got, err)
	}
	check("user-77")
	if _, err := s.Imported(t.Context(), s.create("t2", itemsSchema()), "user-7"); err == nil {
		t.Error("items have no events")
	}
}

// What is remembered of users is bounded, and gone when files change or an erasure begins.
func TestImportedEventsAreRememberedUntilSomethingChanges(t *testing.T) {
	s := newStore(t)
	tab := s.create("t1", interactionsSchema())
	s.imp(tab, false, interactionsHeader+"user-1,item-1,5,view,1\nuser-2,item-2,6,buy,\n")
	state, err := s.find(tab)
	if err != nil {
		t.Fatal(err)
	}
	remembered := func() (users []string) {
		state.recall.each(func(user string, seq int64) { users = append(users, user) })
		slices.Sort(users)
		return users
	}
	ask := func(user string) []LiveEvent {
		t.Helper()
		events, err := s.Imported(t.Context(), tab, user)
		if err != nil {
			t.Fatal(err)
		}
		return events
	}
	first := ask("user-1")
	ask("nobody")
	if got := remembered(); !slices.Contains(got, "nobody") || !slices.Contains(got, "user-1") {
		t.Errorf("remembered are %v", got)
	}
	if diff := cmp.Diff(first, ask("user-1"), cmpopts.EquateNaNs()); diff != "" {
		t.Errorf("remembered otherwise than read: %s", diff)
	}
	s.put(tab, event("user-1", "streamed", 3, "view"))
	s.foldNow("g1")
	if len(remembered()) < 2 {
		t.Error("a fold of streamed rows forgets what was imported")
	}
	s.imp(tab, true, interactionsHeader+"user-1,item-3,7,view,1\n")
	if len(remembered()) != 0 || len(ask("user-1")) != 2 {
		t.Error("an import does not show")
	}
	_, _, epoch := state.recall.get("late")
	cut, err := s.Fence(t.Context(), "g1")
	if err == nil {
		err = s.Hide(t.Context(), "g1", "e1", userset.New([]string{"user-1"}), cut)
	}
	if err != nil {
		t.Fatal(err)
	}
	state.recall.set("late", first, epoch) // by a request that began before
	if len(ask("user-1")) != 0 || len(ask("user-2")) != 1 || len(remembered()) != 0 {
		t.Errorf("while an erasure runs %v are remembered", remembered())
	}

	var r recall
	many := make([]LiveEvent, 1000)
	for n := range 3000 {
		r.set(fmt.Sprint(n), many, 0)
	}
	if r.bytes > recallBytes || len(r.of) < 500 {
		t.Errorf("%d users take %d bytes", len(r.of), r.bytes)
	}
	r.set("too large", make([]LiveEvent, recallBytes/64), 0)
	if _, known, _ := r.get("too large"); known {
		t.Error("one user takes more than a share of the room")
	}
}

// Of users at the ends of a row group other row groups may have events too.
func TestARowGroupTellsOfUsersThatItHasWhole(t *testing.T) {
	s := newStore(t)
	tab := s.create("t1", interactionsSchema())
	var text strings.Builder
	text.WriteString(interactionsHeader)
	for i := range 4000 {
		fmt.Fprintf(&text, "user-%04d,item-%d,%d,view,1\n", i/2, i, i)
	}
	s.imp(tab, false, text.String())
	state, err := s.find(tab)
	if err != nil {
		t.Fatal(err)
	}
	shot := state.snapshot()
	defer shot.release()
	f := shot.bucketFiles(shot.layout.bucketOf("user-0007"), true, false)[0]
	r, err := openFile(f.path, shot.layout, f.source)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	d := eventDecoder{fields: shot.layout.fields(tab.Schema), hidden: shot.hider(), item: 1, kind: 3, value: 4, texts: map[string]string{}}
	d.values = make([]schema.Value, len(d.fields))
	all := func(but string, before, after bool) (users []string) {
		d.others(r.group(0), but, before, after, func(user string, events []LiveEvent) {
			users = append(users, user)
			if len(events) != 2 {
				t.Errorf("%s has %d events", user, len(events))
			}
		})
		return users
	}
	whole := all("", false, false)
	if n := len(whole); n < 5 || !slices.IsSorted(whole) || !slices.Equal(all("", true, false), whole[1:]) || !slices.Equal(all("", false, true), whole[:n-1]) || slices.Contains(all("user-0007", false, false), "user-0007") {
		t.Errorf("of %d users %v, %v", n, all("", true, false), all("", false, true))
	}
}
