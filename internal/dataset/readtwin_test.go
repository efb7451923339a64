package dataset

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/palate-dev/palate/internal/rowtext"
	"github.com/palate-dev/palate/internal/schema"
)

// TestReadsOfManyFilesEqualThePlainModel fills a table in pieces, small row by small row, so that merges meet every kind of neighbour, and compares what
// exports and training read with the model, on any number of cores.
func TestReadsOfManyFilesEqualThePlainModel(t *testing.T) {
	fewerChecks(t, 6)
	cores := runtime.GOMAXPROCS(0)
	t.Cleanup(func() { runtime.GOMAXPROCS(cores) })
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		sc := interactionsSchema()
		sc.Fields = append(sc.Fields, schema.Field{Name: "DEVICE", Nullable: true, Categorical: true})
		h := &history{rt: rt, s: openStore(t, dir, testLimits())}
		defer h.s.stop()
		h.tables, h.models = []Table{h.s.create("t0", sc)}, []*model{{schema: sc}}
		for range rapid.IntRange(1, 8).Draw(rt, "pieces") {
			h.piece()
			rapid.SampledFrom([]func(){func() {}, h.fold, h.fold, h.compact}).Draw(rt, "then")()
		}
		var first *Events
		for _, n := range []int{1, 2, 8} {
			runtime.GOMAXPROCS(n)
			for mode := range ExportAll + 1 {
				if d := gocmp.Diff(h.models[0].export(mode), h.s.export(h.tables[0], mode)); d != "" {
					rt.Fatalf("export %d on %d cores (-want +got):\n%s", mode, n, d)
				}
			}
			ev, err := h.s.Events(rt.Context(), h.tables[0], "DEVICE")
			if err != nil {
				rt.Fatal(err)
			}
			if d := gocmp.Diff(h.models[0].eventsOn(), eventLinesOn(ev)); d != "" {
				rt.Fatalf("training read with devices on %d cores (-want +got):\n%s", n, d)
			}
			if d := gocmp.Diff(h.models[0].events(), eventLines(ev)); d != "" {
				rt.Fatalf("training read on %d cores (-want +got):\n%s", n, d)
			}
			if first == nil {
				first = ev
			}
			if a, b := plainEvents(first), plainEvents(ev); a != b {
				rt.Fatalf("training read on %d cores differs from that on one:\n%s\n%s", n, b, a)
			}
		}
		runtime.GOMAXPROCS(cores)
	})
}

// piece adds rows of few users, items and times, so that many are equal in some fields or in all.
func (h *history) piece() {
	tab, m := h.tables[0], h.models[0]
	var rows []Row
	for range rapid.IntRange(1, 60).Draw(h.rt, "rows") {
		pick := func(name string, n int) int { return rapid.IntRange(0, n-1).Draw(h.rt, name) }
		r := event(fmt.Sprint("canary-user-", pick("user", 6)), fmt.Sprint("item-", pick("item", 3)), int64(pick("time", 4)), []string{"", "click"}[pick("type", 2)])
		if pick("valued", 3) == 0 {
			r.Values[4] = dec(float64(pick("value", 2)) / 4)
		}
		device := schema.Value{}
		if d := pick("device", 4); d > 0 {
			device = str([]string{"phone", "tv", "web"}[d-1])
		}
		r.Values = append(r.Values, device)
		rows = append(rows, r)
	}
	if rapid.Bool().Draw(h.rt, "bulk") {
		body, vals := rowtext.AppendCSVHeader(nil, tab.Schema), make([][]schema.Value, len(rows))
		for i, r := range rows {
			vals[i] = r.Values
			body = rowtext.AppendCSVRow(body, tab.Schema, r.Values)
		}
		h.s.imp(tab, true, string(body))
		m.bulk(true, vals)
		return
	}
	for i := range rows {
		rows[i].Session = fmt.Sprint("canary-session-", rapid.IntRange(0, 3).Draw(h.rt, "session"))
		rows[i].EventID = fmt.Sprint("event-", rapid.IntRange(0, 400).Draw(h.rt, "event"))
		if rapid.IntRange(0, 3).Draw(h.rt, "anonymous") == 0 {
			rows[i].Values[0] = str(rows[i].Session)
		}
	}
	h.s.put(tab, rows...)
	m.put(rows...)
}

// plainEvents is all that a training read returns, as text: NaN equals NaN.
func plainEvents(ev *Events) string {
	return fmt.Sprint(ev.Users, ev.Items, ev.Types, ev.Offsets, ev.Item, ev.Type, ev.Time, ev.Value, ev.Context, ev.Seq)
}

func TestCSVOfABlockEqualsThatOfItsRows(t *testing.T) {
	schema := &schema.Schema{Type: schema.Interactions, Fields: []schema.Field{
		{Name: "USER_ID"}, {Name: "ITEM_ID"}, {Name: "TIMESTAMP", Kind: schema.Long}, {Name: "NOTE", Nullable: true}, {Name: "PRICE", Kind: schema.Double, Nullable: true},
		{Name: "COUNT", Kind: schema.Int, Nullable: true}, {Name: "SEEN", Kind: schema.Boolean, Nullable: true},
	}}
	rapid.Check(t, func(rt *rapid.T) {
		sc, err := icebergSchema(schema)
		if err != nil {
			rt.Fatal(err)
		}
		l, err := newLayout(schema.Type, 4, sc)
		if err != nil {
			rt.Fatal(err)
		}
		w := newBuilder(l, Bulk)
		var want []byte
		for range rapid.IntRange(1, 20).Draw(rt, "rows") {
			vals := drawValues(rt, schema)
			w.add(vals, 1, "", "")
			want = rowtext.AppendCSVRow(want, schema, vals)
		}
		var got []byte
		for i := range w.b.n {
			got = appendCSVRecord(got, w.b.csvColumns(l.fields(schema), schema), i)
		}
		if d := gocmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); d != "" {
			rt.Fatal(d)
		}
	})
}

// TestMergedRunsAreInOrder merges blocks of random rows and holds the result against a sort.
func TestMergedRunsAreInOrder(t *testing.T) {
	s := newStore(t)
	tab := s.create("t1", interactionsSchema())
	fragment(s, tab, 7)
	s.put(tab, event("canary-user-1", "item-1", 5, "view"), event("canary-user-0", "item-1", 3, "view"))
	state, err := s.find(tab)
	if err != nil {
		t.Fatal(err)
	}
	snap := state.snapshot()
	defer snap.release()
	mem, err := snap.mem.blocks(snap.layout)
	if err != nil {
		t.Fatal(err)
	}
	for _, bucket := range snap.buckets(mem) {
		var last *block
		var at, rows int
		var keys []string
		if err := mergeRuns(t.Context(), snap.layout, snap.bucketFiles(bucket, true, true), mem[bucket], func(b *block, from, to int) error {
			for i := from; i < to; i++ {
				if last != nil && compareRows(last, at, b, i) > 0 {
					return fmt.Errorf("row %d of bucket %d is out of order", rows, bucket)
				}
				last, at = b, i
				keys = append(keys, b.key(i))
				rows++
			}
			return nil
		}, func() error { return nil }); err != nil {
			t.Fatal(err)
		}
		want := 0
		for _, f := range snap.bucketFiles(bucket, true, true) {
			want += int(f.rows)
		}
		if mem[bucket] != nil {
			want += mem[bucket].n
		}
		if rows != want || !slices.IsSorted(keys) {
			t.Fatalf("%d rows of %d, keys in order: %v", rows, want, slices.IsSorted(keys))
		}
	}
}
