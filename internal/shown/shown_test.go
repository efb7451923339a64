package shown_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/shown"
)

var start = time.Unix(1_700_000_000, 0)

func open(t *testing.T, dir string, bytes int64, now *time.Time) *shown.Log {
	t.Helper()
	l, err := shown.Open(dir, shown.Options{Bytes: bytes, Age: 24 * time.Hour, Log: slog.New(slog.DiscardHandler), Clock: func() time.Time { return *now }})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func answer(group string, items ...string) shown.Answer {
	return shown.Answer{Target: "arn:" + group, Group: group, Items: items, At: start}
}

func find(t *testing.T, l *shown.Log, id string, want shown.Answer) {
	t.Helper()
	got, ok := l.Find(id)
	if !ok || !cmp.Equal(got, want) {
		t.Errorf("Find = %v, %v, want %v", got, ok, want)
	}
}

func impressions(t *testing.T, l *shown.Log, group string) (items []string) {
	t.Helper()
	if err := l.Impressions(group, func(item string) { items = append(items, item) }); err != nil {
		t.Fatal(err)
	}
	return items
}

func TestAnswersAreFoundAndOutliveTheProcess(t *testing.T) {
	dir, now := t.TempDir(), start
	l := open(t, dir, 1<<20, &now)
	a, b := shown.NewID(), shown.NewID()
	l.Note(a, answer("g1", "i1", "i2"))
	l.Note(b, answer("g2", "i3"))
	l.Impression("g1", []string{"i7", "i8"})
	find(t, l, a, answer("g1", "i1", "i2"))
	find(t, l, b, answer("g2", "i3"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // a start writes nothing that the next one stumbles over
		l = open(t, dir, 1<<20, &now)
		find(t, l, a, answer("g1", "i1", "i2"))
		find(t, l, b, answer("g2", "i3"))
		if got := impressions(t, l, "g1"); !slices.Equal(got, []string{"i7", "i8"}) {
			t.Errorf("impressions %v", got)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{shown.NewID(), "", "RID-x", "else"} {
		if _, ok := open(t, t.TempDir(), 1<<20, &now).Find(id); ok {
			t.Errorf("%q is found", id)
		}
	}
}

func TestALongAnswerIsReadWhole(t *testing.T) {
	dir, now := t.TempDir(), start
	l := open(t, dir, 1<<20, &now)
	var items []string
	for i := range 500 {
		items = append(items, fmt.Sprintf("a-rather-long-item-id-%d", i))
	}
	id := shown.NewID()
	l.Note(id, answer("g", items...))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	find(t, open(t, dir, 1<<20, &now), id, answer("g", items...))
}

func TestSizeAndAgeAreBounded(t *testing.T) {
	dir, now := t.TempDir(), start
	const limit = 64 << 10
	l := open(t, dir, limit, &now)
	var ids []string
	for i := range 3000 {
		id := shown.NewID()
		ids = append(ids, id)
		l.Note(id, answer("g", "item-0001", "item-0002", fmt.Sprint(i)))
		if i%50 == 0 { // as the passing of time would
			impressions(t, l, "g")
		}
	}
	find(t, l, ids[2999], answer("g", "item-0001", "item-0002", "2999"))
	if _, ok := l.Find(ids[0]); ok {
		t.Error("the first of many answers is still there")
	}
	total := int64(0)
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	if total > limit+limit/4 {
		t.Errorf("%d bytes of files, the limit is %d", total, limit)
	}
	now = now.Add(25 * time.Hour)
	if _, ok := l.Find(ids[2999]); ok {
		t.Error("an answer is found after its age")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, limit, &now)
	defer l.Close()
	if files, _ = filepath.Glob(filepath.Join(dir, "*")); len(files) != 1 {
		t.Errorf("%d files of answers that are all too old", len(files))
	}
}

func TestForgettingAGroupLeavesNoItemInAnyFile(t *testing.T) {
	dir, now := t.TempDir(), start
	l := open(t, dir, 1<<20, &now)
	old, other := shown.NewID(), shown.NewID()
	l.Note(old, answer("g1", "seen-by-somebody"))
	l.Note(other, answer("g2", "another-item"))
	l.Impression("g1", []string{"shown-to-somebody"})
	if err := l.Forget("g1"); err != nil {
		t.Fatal(err)
	}
	later := shown.NewID()
	l.Note(later, answer("g1", "i9"))
	check := func() {
		t.Helper()
		find(t, l, old, answer("g1"))
		find(t, l, other, answer("g2", "another-item"))
		find(t, l, later, answer("g1", "i9"))
		if got := impressions(t, l, "g1"); len(got) != 0 {
			t.Errorf("impressions %v", got)
		}
	}
	check()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, 1<<20, &now)
	defer l.Close()
	check()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte("somebody")) {
			t.Errorf("%s still holds an item of the group", filepath.Base(f))
		}
	}
}

// TestAnswersAreFoundWhileOthersExpireAndAreForgotten: what is noted a moment ago is found, whatever the files go through.
func TestAnswersAreFoundWhileOthersExpireAndAreForgotten(t *testing.T) {
	now := start
	l := open(t, t.TempDir(), 64<<10, &now)
	defer l.Close()
	var clients sync.WaitGroup
	for c := range 4 {
		clients.Go(func() {
			for i := range 1000 {
				id, item := shown.NewID(), fmt.Sprintf("item-%d-%d", c, i)
				l.Note(id, answer("g", item))
				if got, ok := l.Find(id); !ok || got.Items[0] != item {
					t.Errorf("%s: found %v, %v", item, got, ok)
				}
				if i%50 == 0 {
					impressions(t, l, "g")
				}
			}
		})
	}
	for range 20 {
		if err := l.Forget("other"); err != nil {
			t.Error(err)
		}
	}
	clients.Wait()
}

func TestATornEndIsPassedOver(t *testing.T) {
	dir, now := t.TempDir(), start
	l := open(t, dir, 1<<20, &now)
	first, second := shown.NewID(), shown.NewID()
	l.Note(first, answer("g", "i1"))
	impressions(t, l, "g") // writes
	l.Note(second, answer("g", "i2"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files[0], text[:len(text)-3], 0o600); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir, 1<<20, &now)
	defer l.Close()
	find(t, l, first, answer("g", "i1"))
	if _, ok := l.Find(second); ok {
		t.Error("a torn answer is found")
	}
}

func TestNothingIsRememberedWithoutRoom(t *testing.T) {
	dir, now := t.TempDir(), start
	l := open(t, dir, 0, &now)
	defer l.Close()
	id := shown.NewID()
	l.Note(id, answer("g", "i"))
	if _, ok := l.Find(id); ok {
		t.Error("an answer is remembered")
	}
	var none *shown.Log
	none.Note(id, answer("g", "i"))
	none.Impression("g", []string{"i"})
	if _, ok := none.Find(id); ok {
		t.Error("no log remembers an answer")
	}
}
