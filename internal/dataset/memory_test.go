package dataset

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/palate-dev/palate/internal/schema"
)

// memoryOf encodes puts of the given numbers of rows and returns them with what the rows are, one text each.
func memoryOf(t *testing.T, l *layout, puts []int) (m memory, rows []string) {
	t.Helper()
	fields := []int{l.column("USER_ID"), l.column("ITEM_ID"), l.column("TIMESTAMP")}
	for _, n := range puts {
		first := int64(len(rows) + 1)
		var list []Row
		for range n {
			at := len(rows) + 1
			list = append(list, Row{Values: []schema.Value{str(fmt.Sprintf("user-%d", at%7)), str(fmt.Sprintf("item-%d", at%5)), num(int64(1000 + at))}, Session: fmt.Sprint("s", at%3), EventID: fmt.Sprint("e", at)})
			rows = append(rows, fmt.Sprintf("%d user-%d item-%d %d s%d e%d", at, at%7, at%5, 1000+at, at%3, at))
		}
		text, err := encodePut("t", l, fields, list)
		if err != nil {
			t.Fatal(err)
		}
		m.add(memPut{first: first, rows: n, text: string(text)})
	}
	return m, rows
}

// rowTexts decodes a memory.
func rowTexts(t *testing.T, l *layout, m *memory) (rows []string) {
	t.Helper()
	item := l.column("ITEM_ID")
	if err := m.each(l, func(r *memRow) error {
		rows = append(rows, fmt.Sprintf("%d %s %s %d %s %s", r.seq, r.key(l), r.vals[item].Str, r.vals[l.time].Int, r.session, r.eventID))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(rows) != m.rows {
		t.Fatalf("%d rows decoded, %d counted", len(rows), m.rows)
	}
	return rows
}

func TestAMemoryPartsBetweenAnyTwoPuts(t *testing.T) {
	l := testLayout(t, interactionsSchema())
	random := rand.New(rand.NewPCG(1, 2))
	puts := make([]int, 3*memPagePuts+7)
	for i := range puts {
		puts[i] = 1 + random.IntN(3)
	}
	m, rows := memoryOf(t, l, puts)
	if got := rowTexts(t, l, &m); !slices.Equal(got, rows) {
		t.Fatal("what was decoded is not what was added")
	}
	upto := 0
	for i := range puts {
		if i%61 == 0 || i%memPagePuts < 2 {
			before, after := m.split(int64(upto))
			if got := rowTexts(t, l, &before); !slices.Equal(got, rows[:upto]) {
				t.Fatalf("before put %d: %d rows, want %d", i, len(got), upto)
			}
			if got := rowTexts(t, l, &after); !slices.Equal(got, rows[upto:]) {
				t.Fatalf("from put %d on: %d rows, want %d", i, len(got), len(rows)-upto)
			}
			if last := after.last(); last != int64(len(rows)) {
				t.Fatalf("the last number is %d", last)
			}
		}
		upto += puts[i]
	}
	none, all := m.split(0)
	if none.rows != 0 || none.last() != 0 || all.rows != len(rows) {
		t.Fatalf("before everything stand %d rows", none.rows)
	}
}

// A fold takes the rows before a number while puts go on, and readers keep what they took.
func TestWhatASnapshotOfAMemoryHoldsDoesNotChange(t *testing.T) {
	l := testLayout(t, interactionsSchema())
	m, rows := memoryOf(t, l, slices.Repeat([]int{2}, memPagePuts+100))
	kept := m.clone()
	more, _ := memoryOf(t, l, slices.Repeat([]int{2}, memPagePuts))
	_, left := m.split(int64(2 * memPagePuts))
	for _, page := range more.pages {
		for _, p := range page {
			p.first += int64(len(rows))
			left.add(p)
			m.add(p)
		}
	}
	if got := rowTexts(t, l, &kept); !slices.Equal(got, rows) {
		t.Fatal("the snapshot has changed")
	}
	if got := rowTexts(t, l, &left); len(got) != len(rows)-2*memPagePuts+2*memPagePuts || got[0] != rows[2*memPagePuts] {
		t.Fatalf("%d rows are left, the first is %s", len(got), got[0])
	}
}

func TestRowsOfAMemoryReadNullInAColumnThatCameLater(t *testing.T) {
	narrow := interactionsSchema()
	l := testLayout(t, narrow)
	m, rows := memoryOf(t, l, []int{3})
	wider := *narrow
	wider.Fields = append(slices.Clone(narrow.Fields), schema.Field{Name: "ADDED", Kind: schema.String, Nullable: true})
	w := testLayout(t, &wider)
	if got := rowTexts(t, w, &m); !slices.Equal(got, rows) {
		t.Fatalf("rows %v", got)
	}
	added := w.column("ADDED")
	if err := m.each(w, func(r *memRow) error {
		if r.vals[added].Valid {
			return fmt.Errorf("row %d has a value", r.seq)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestADamagedPutIsAnErrorAndNoRow(t *testing.T) {
	l := testLayout(t, interactionsSchema())
	whole, _ := memoryOf(t, l, []int{1})
	text := whole.pages[0][0].text
	for n := range len(text) {
		var m memory
		m.add(memPut{first: 1, rows: 1, text: text[:n]})
		if err := m.each(l, func(*memRow) error { return nil }); err == nil {
			t.Fatalf("%d of %d bytes passed for a put", n, len(text))
		}
	}
}
