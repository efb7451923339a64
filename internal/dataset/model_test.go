package dataset

import (
	"cmp"
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/palate-dev/palate/internal/rowtext"
	"github.com/palate-dev/palate/internal/schema"
)

// model is what the engine promises, in the plainest form: a list of rows in order of arrival.
type model struct {
	schema *schema.Schema
	rows   []Row // Seq is the order of arrival
	clock  int64
}

func (m *model) put(rows ...Row) {
	for _, r := range rows {
		m.clock++
		r.Source, r.Seq = Put, m.clock
		m.rows = append(m.rows, r)
	}
}

func (m *model) bulk(incremental bool, rows [][]schema.Value) {
	if !incremental {
		m.rows = slices.DeleteFunc(m.rows, func(r Row) bool { return r.Source == Bulk })
	}
	for _, vals := range rows {
		m.clock++
		m.rows = append(m.rows, Row{Values: vals, Source: Bulk, Seq: m.clock})
	}
}

func (m *model) line(r Row) string {
	return strings.TrimSuffix(string(rowtext.AppendCSVRow(nil, m.schema, r.Values)), "\n")
}

func (m *model) lines(rows []Row) []string {
	var out []string
	for _, r := range rows {
		out = append(out, m.line(r))
	}
	slices.Sort(out)
	return out
}

func (m *model) arrival() []Row {
	return slices.SortedFunc(slices.Values(m.rows), func(a, b Row) int { return cmp.Compare(a.Seq, b.Seq) })
}

// distinct keeps the first of equal rows.
func (m *model) distinct(rows []Row) (out []Row) {
	seen := make(map[string]bool)
	for _, r := range rows {
		if !seen[m.line(r)] {
			seen[m.line(r)] = true
			out = append(out, r)
		}
	}
	return out
}

func (m *model) effective() (out []Row) {
	if !m.schema.Type.IsLog() {
		newest := make(map[string]Row)
		for _, r := range m.arrival() {
			newest[r.Values[0].Str] = r
		}
		for _, r := range newest {
			out = append(out, r)
		}
		return out
	}
	ids := make(map[string]bool)
	for _, r := range m.arrival() {
		if r.EventID != "" && ids[r.EventID] {
			continue
		}
		ids[r.EventID] = true
		out = append(out, r)
	}
	return m.distinct(out)
}

func (m *model) export(mode Ingestion) []string {
	var rows []Row
	for _, r := range m.arrival() {
		if mode == ExportAll || (r.Source == Put) == (mode == ExportPut) {
			rows = append(rows, r)
		}
	}
	if mode == ExportAll && !m.schema.Type.IsLog() {
		return m.lines(m.effective())
	}
	return m.lines(m.distinct(rows))
}

// sessions are those that the users signed in with.
func (m *model) sessions(users map[string]bool, out map[string]bool) {
	for _, r := range m.rows {
		if users[r.Values[0].Str] && r.Session != "" {
			out[r.Session] = true
		}
	}
}

func (m *model) erase(users, sessions map[string]bool) (n int64) {
	if !m.schema.Type.HoldsUsers() {
		return 0
	}
	m.rows = slices.DeleteFunc(m.rows, func(r Row) bool {
		key := r.Values[0].Str
		gone := users[key] || sessions[key] && r.Session == key
		if gone {
			n++
		}
		return gone
	})
	return n
}

// events is the training input: one line for each event, in canonical order.
func (m *model) events() []string {
	var out []string
	for _, line := range m.eventsOn() {
		line, _, _ = strings.Cut(line, " on ")
		out = append(out, line)
	}
	return out
}

// eventsOn is events with the sixth field, where there is one.
func (m *model) eventsOn() (out []string) {
	owner := make(map[string]string)
	for _, r := range m.arrival() {
		ids := r.Values[0].Str
		if _, ok := owner[r.Session]; !ok && r.Session != "" && r.Session != ids && !m.repeated(r) {
			owner[r.Session] = ids
		}
	}
	type ev struct {
		user, item, kind string
		time             int64
		device           string
	}
	var all []ev
	for _, r := range m.effective() {
		user := r.Values[0].Str
		if o, ok := owner[user]; ok && r.Session == user {
			user = o
		}
		e := ev{user, r.Values[1].Str, r.Values[3].Str, r.Values[2].Int, ""}
		if len(r.Values) > 5 {
			e.device = r.Values[5].Str
		}
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b ev) int {
		return cmp.Or(strings.Compare(a.user, b.user), cmp.Compare(a.time, b.time), strings.Compare(a.item, b.item), strings.Compare(a.kind, b.kind), strings.Compare(a.device, b.device))
	})
	for _, e := range all {
		out = append(out, fmt.Sprintf("%s %s %s %d on %s", e.user, e.item, e.kind, e.time, e.device))
	}
	return out
}

// repeated is false: a sign-in counts even if its event is a repetition.
func (m *model) repeated(Row) bool { return false }

// eventLines is the events as text, and what is listed and does not occur, which no model has.
func eventLines(ev *Events) []string { return append(ownLines(ev), strays(ev)...) }

// strays are the items, types and levels that no event has.
func strays(ev *Events) (out []string) {
	look := func(what string, names []string, code func(i int) int) {
		occurs := make([]bool, len(names))
		for i := range ev.Len() {
			if c := code(i); c >= 0 {
				occurs[c] = true
			}
		}
		for c, name := range names {
			if !occurs[c] {
				out = append(out, fmt.Sprintf("no event has the %s %q", what, name))
			}
		}
	}
	look("item", ev.Items, func(i int) int { return int(ev.Item[i]) })
	look("type", ev.Types, func(i int) int { return int(ev.Type[i]) })
	for _, c := range ev.Context {
		look(c.Name, c.Levels, func(i int) int { return int(c.Code[i]) })
	}
	return out
}

func ownLines(ev *Events) (out []string) {
	for u, name := range ev.Users {
		for i := ev.Offsets[u]; i < ev.Offsets[u+1]; i++ {
			out = append(out, fmt.Sprintf("%s %s %s %d", name, ev.Items[ev.Item[i]], ev.Types[ev.Type[i]], ev.Time[i]))
		}
	}
	return out
}

// eventLinesOn is eventLines with the first context column. Of events that are equal but for it, which comes first is not said.
func eventLinesOn(ev *Events) []string {
	out := ownLines(ev)
	for i := range out {
		level := ""
		if code := ev.Context[0].Code[i]; code >= 0 {
			level = ev.Context[0].Levels[code]
		}
		out[i] += " on " + level
	}
	for from := 0; from < len(out); {
		to := from + 1
		for bare, _, _ := strings.Cut(out[from], " on "); to < len(out) && strings.HasPrefix(out[to], bare+" on "); to++ {
		}
		slices.Sort(out[from:to])
		from = to
	}
	return append(out, strays(ev)...)
}

// fewerChecks lets a property whose steps touch the disk run fewer times than the others.
func fewerChecks(t *testing.T, n int) {
	f := flag.Lookup("rapid.checks")
	old := f.Value.String()
	f.Value.Set(fmt.Sprint(n))
	t.Cleanup(func() { f.Value.Set(old) })
}

// TestHistoriesMatchTheModel runs random histories of imports, puts, folds, restarts and erasures and compares every view with the model.
func TestHistoriesMatchTheModel(t *testing.T) {
	fewerChecks(t, 12)
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		h := &history{rt: rt, s: openStore(t, dir, testLimits())}
		defer h.s.stop()
		for i, schema := range []*schema.Schema{interactionsSchema(), usersSchema(), itemsSchema()} {
			h.tables = append(h.tables, h.s.create(fmt.Sprint("t", i), schema))
			h.models = append(h.models, &model{schema: schema})
		}
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			rapid.SampledFrom([]func(){h.put, h.put, h.imp, h.imp, h.fold, h.compact, h.reopen, h.erase}).Draw(rt, "step")()
			h.check()
		}
	})
}

type history struct {
	rt     *rapid.T
	s      *testStore
	tables []Table
	models []*model
	n      int
}

func (h *history) pick() (Table, *model) {
	i := rapid.IntRange(0, len(h.tables)-1).Draw(h.rt, "table")
	return h.tables[i], h.models[i]
}

func (h *history) user() string {
	return fmt.Sprintf("canary-user-%d", rapid.IntRange(0, 9).Draw(h.rt, "user"))
}

func (h *history) values(s *schema.Schema) []schema.Value {
	vals := drawValues(h.rt, s)
	if s.Type.HoldsUsers() {
		vals[0] = str(h.user())
	}
	return vals
}

func (h *history) put() {
	tab, m := h.pick()
	var rows []Row
	for range rapid.IntRange(1, 10).Draw(h.rt, "rows") {
		r := Row{Values: h.values(tab.Schema)}
		if tab.Schema.Type.IsLog() {
			r.Session = fmt.Sprintf("canary-session-%d", rapid.IntRange(0, 4).Draw(h.rt, "session"))
			if rapid.Bool().Draw(h.rt, "anonymous") {
				r.Values[0] = str(r.Session)
			}
			r.EventID = fmt.Sprint("event-", rapid.IntRange(0, 40).Draw(h.rt, "event"))
		}
		rows = append(rows, r)
	}
	h.s.put(tab, rows...)
	m.put(rows...)
}

func (h *history) imp() {
	tab, m := h.pick()
	body := rowtext.AppendCSVHeader(nil, tab.Schema)
	var rows [][]schema.Value
	for range rapid.IntRange(0, 40).Draw(h.rt, "rows") {
		rows = append(rows, h.values(tab.Schema))
		body = rowtext.AppendCSVRow(body, tab.Schema, rows[len(rows)-1])
	}
	incremental := rapid.Bool().Draw(h.rt, "incremental")
	h.s.imp(tab, incremental, string(body))
	m.bulk(incremental, rows)
}

func (h *history) fold()    { h.s.foldNow("g1") }
func (h *history) compact() { h.s.compactNow("g1") }
func (h *history) reopen()  { h.s.reopen() }

func (h *history) erase() {
	users := make(map[string]bool)
	for range rapid.IntRange(1, 3).Draw(h.rt, "users") {
		users[h.user()] = true
	}
	sessions := make(map[string]bool)
	want := int64(0)
	for _, m := range h.models {
		if m.schema.Type.IsLog() {
			m.sessions(users, sessions)
		}
	}
	for _, m := range h.models {
		want += m.erase(users, sessions)
	}
	h.n++
	var list []string
	for u := range users {
		list = append(list, u)
	}
	if n := h.s.erase(fmt.Sprint("erasure-", h.n), h.tables, list...); n != want {
		h.rt.Fatalf("erased %d rows, want %d", n, want)
	}
	checkGone(h.rt, h.s, list)
}

func (h *history) check() {
	h.rt.Helper()
	for i, tab := range h.tables {
		m := h.models[i]
		diff := func(what string, want, got any) {
			h.rt.Helper()
			if d := gocmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
				h.rt.Fatalf("%s of %s (-want +got):\n%s", what, tab.Schema.Type, d)
			}
		}
		diff("rows", m.lines(m.rows), h.s.lines(tab, h.s.Rows))
		diff("effective view", m.lines(m.effective()), h.s.lines(tab, h.s.Effective))
		for mode := range ExportAll + 1 {
			diff(fmt.Sprint("export ", mode), m.export(mode), h.s.export(tab, mode))
		}
		if n, err := h.s.Count(h.rt.Context(), tab); err != nil || int(n) != len(m.rows) {
			h.rt.Fatalf("count %d, %v; want %d", n, err, len(m.rows))
		}
		if tab.Schema.Type == schema.Interactions {
			ev, err := h.s.Events(h.rt.Context(), tab)
			if err != nil {
				h.rt.Fatal(err)
			}
			diff("events", m.events(), eventLines(ev))
			diff("live events", m.live(), h.live(m))
			continue
		}
		for _, r := range m.effective() {
			got, ok, err := h.s.Lookup(h.rt.Context(), tab, r.Values[0].Str)
			if err != nil || !ok || m.line(got) != m.line(r) {
				h.rt.Fatalf("lookup: %v %v %v, want %v", got, ok, err, r)
			}
		}
	}
}

// live lists the streamed events of everybody, by user and time.
func (m *model) live() (out []string) {
	for _, r := range m.rows {
		if r.Source == Put {
			value := math.NaN()
			if r.Values[4].Valid {
				value = r.Values[4].Float
			}
			out = append(out, fmt.Sprint(r.Values[0].Str, " ", r.Values[2].Int, " ", r.Values[1].Str, " ", r.Values[3].Str, " ", value))
		}
	}
	slices.Sort(out)
	return out
}

func (h *history) live(m *model) (out []string) {
	seen := make(map[string]bool)
	for _, r := range m.rows {
		user := r.Values[0].Str
		if seen[user] {
			continue
		}
		seen[user] = true
		last := int64(math.MinInt64)
		events, _ := h.s.Since("g1", user, 0, false)
		for _, ev := range events {
			if ev.Time < last {
				h.rt.Fatal("live events out of order")
			}
			last = ev.Time
			out = append(out, fmt.Sprint(user, " ", ev.Time, " ", ev.Item, " ", ev.Type, " ", ev.Value))
		}
	}
	slices.Sort(out)
	return out
}
