package filter_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/palate-dev/palate/internal/filter"
	"github.com/palate-dev/palate/internal/schema"
)

// shelf is a catalogue whose records change, in columns and as plain records.
type shelf struct {
	columns *filter.Columns
	records []filter.Record
	random  *rand.Rand
}

func newShelf(n int, held func(string) bool) *shelf {
	return &shelf{columns: filter.NewColumns(group()[schema.Items], held, n), records: make([]filter.Record, n), random: rand.New(rand.NewPCG(3, 5))}
}

// put gives some candidate a new record, or takes it away.
func (s *shelf) put(t testing.TB) {
	pick := func(values ...string) string { return values[s.random.IntN(len(values))] }
	var cells []string
	for _, cell := range []string{
		"GENRE=" + pick("horror|war", "war", "comedy", "a", "horror", "c AND | d", ""), "CATEGORY=" + pick("watch", "shoe"), "CATEGORY_L1=" + pick("shoe", "hat"), "CATEGORY_L2=" + pick("boot", "sandal"),
		"PRICE=" + pick("19.99", "5", "-0.5", "7"), "YEAR=" + pick("1970", "1971", "1979", "2"), "G=" + pick("x|y", "a", "y"), "CREATION_TIMESTAMP=" + pick("5", "9"), "ITEM_ID=" + pick("1", "2"),
	} {
		if s.random.IntN(5) > 0 {
			cells = append(cells, cell)
		}
	}
	code := s.random.IntN(len(s.records))
	s.records[code] = nil
	if s.random.IntN(20) > 0 {
		s.records[code] = row(t, schema.Items, cells...)
	}
	s.columns.Set(int32(code), s.records[code])
}

func everything(string) bool { return true }

var itemFilters = append(slices.Collect(func(yield func(string) bool) {
	for _, c := range valid {
		if f, err := filter.Parse(c.expr); err == nil && f.Entity() == filter.ItemID && !yield(c.expr) {
			return
		}
	}
}),
	`INCLUDE ItemID WHERE Items.GENRE IN ("war") OR Items.PRICE > 5 AND Items.YEAR != 1970 AND Items.G NOT IN ("x") | EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("buy") AND Interactions.EVENT_TYPE NOT IN ("buy") OR Interactions.EVENT_TYPE = "watch"`,
	`INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("buy") | INCLUDE ItemID WHERE Items.YEAR < 1975 IF CurrentUser.AGE > 20`,
	`EXCLUDE ItemID WHERE Items.GENRE NOT IN ("war")`)

// TestCompiledFiltersKeepWhatPlainOnesKeep while records change under them.
func TestCompiledFiltersKeepWhatPlainOnesKeep(t *testing.T) {
	s := newShelf(131, everything)
	for range 400 {
		s.put(t)
	}
	values := map[string]string{"PRICE": "7", "DATE": "9", "GENRE": `"war","a"`, "AGE": "40", "PREMIUM": "gold"}
	user := row(t, schema.Users, "AGE=40", "TIER=gold", "MEMBERSHIP=gold")
	types := map[int32][]string{1: {"buy"}, 5: {"watch", "buy"}, 64: {"click"}, 100: {"View", "stream"}}
	for range 12 {
		for _, expr := range itemFilters {
			subject := filter.Subject{User: user, Item: s.records[s.random.IntN(len(s.records))]}
			if s.random.IntN(3) == 0 {
				subject.User = nil
			}
			plain := bind(t, expr, values).For(subject)
			compiled := plain.On(s.columns, types)
			for code, r := range s.records {
				if got, want := compiled.Keeps(int32(code)), plain.Keeps(filter.Candidate{Record: r, Types: types[int32(code)]}); got != want {
					t.Fatalf("%s keeps %v: %v, want %v", expr, r, got, want)
				}
			}
			compiled.Done()
			s.put(t)
		}
	}
}

func TestColumnsWithoutAFieldAreRefused(t *testing.T) {
	s := newShelf(3, func(name string) bool { return name == "GENRE" })
	if bind(t, `INCLUDE ItemID WHERE Items.GENRE IN ("a") AND Items.YEAR = 1`, nil).For(filter.Subject{}).On(s.columns, nil) != nil {
		t.Error("a filter is compiled for columns without YEAR")
	}
	c := bind(t, `INCLUDE ItemID WHERE Items.GENRE IN ("a") | EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN (*)`, nil).For(filter.Subject{}).On(s.columns, nil)
	if c == nil {
		t.Fatal("a filter is not compiled")
	}
	c.Done()
}

// TestBitSetsAreForgotten: thousands of different values pass through, and what a filter keeps stays true.
func TestBitSetsAreForgotten(t *testing.T) {
	s := newShelf(70, everything)
	for range 200 {
		s.put(t)
	}
	f, err := filter.Parse(`INCLUDE ItemID WHERE Items.YEAR IN ($Y) AND Items.PRICE < 10`)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 12_000 {
		b, err := f.Bind(group(), map[string]string{"Y": fmt.Sprint(1970 + n/2%6000)})
		if err != nil {
			t.Fatal(err)
		}
		plain := b.For(filter.Subject{})
		compiled := plain.On(s.columns, nil)
		code := s.random.IntN(70)
		if compiled.Keeps(int32(code)) != plain.Keeps(filter.Candidate{Record: s.records[code]}) {
			t.Fatalf("value %d", n)
		}
		compiled.Done()
	}
}

func TestRequestsAndChangesGoTogether(t *testing.T) {
	s := newShelf(500, everything)
	plain := bind(t, `INCLUDE ItemID WHERE Items.GENRE IN ("war") AND Items.PRICE > 1 | EXCLUDE ItemID WHERE Items.YEAR = 1970`, nil).For(filter.Subject{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for range 300 {
				compiled := plain.On(s.columns, nil)
				first := make([]bool, 500)
				for code := range int32(500) {
					first[code] = compiled.Keeps(code)
				}
				for code := range int32(500) {
					if compiled.Keeps(code) != first[code] {
						t.Error("an answer changed within a request")
					}
				}
				compiled.Done()
			}
		})
	}
	for range 2000 {
		s.put(t)
	}
	readers.Wait()
}

// BenchmarkFilter asks about 200 candidates of a hundred thousand, as a request does.
func BenchmarkFilter(b *testing.B) {
	s := newShelf(100_000, everything)
	for range 200_000 {
		s.put(b)
	}
	values := map[string]string{"C": `"shoe"`}
	f, err := filter.Parse(`INCLUDE ItemID WHERE Items.CATEGORY IN ($C) AND Items.PRICE < 10 | EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("buy")`)
	if err != nil {
		b.Fatal(err)
	}
	types := map[int32][]string{}
	for k := range int32(20) {
		types[977*k] = []string{"buy", "view"}
	}
	schemas := group()
	kept := 0
	b.Run("compiled", func(b *testing.B) {
		for b.Loop() {
			bound, err := f.Bind(schemas, values)
			if err != nil {
				b.Fatal(err)
			}
			c := bound.For(filter.Subject{}).On(s.columns, types)
			for code := range int32(200) {
				if c.Keeps(code * 499) {
					kept++
				}
			}
			c.Done()
		}
	})
	b.Run("plain", func(b *testing.B) {
		for b.Loop() {
			bound, err := f.Bind(schemas, values)
			if err != nil {
				b.Fatal(err)
			}
			c := bound.For(filter.Subject{})
			for code := range int32(200) {
				if c.Keeps(filter.Candidate{Record: s.records[code*499], Types: types[code*499]}) {
					kept++
				}
			}
		}
	})
	if kept == 0 {
		b.Error("nothing was kept")
	}
}
