package ledger

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const list = "canary-user-0001\ncanary-user-0002\n"

func TestListsAreSealedForThirtyDays(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ledger")
	now := time.Unix(1_800_000_000, 0).UTC()
	clock := func() time.Time { return now }
	l, err := open(dir, clock)
	if err != nil {
		t.Fatal(err)
	}
	first := Entry{Job: "job-2", Group: "g1", At: now, Doc: []byte(`{"jobName":"forget"}`)}
	second := Entry{Job: "job-1", Group: "g1", At: now.Add(time.Hour), Doc: []byte(`{}`)}
	for _, e := range []Entry{second, first} {
		if err := l.Seal(e, []byte(list)); err != nil {
			t.Fatal(err)
		}
	}
	if l, err = open(dir, clock); err != nil { // with the key that is there
		t.Fatal(err)
	}
	got, err := l.Entries()
	if diff := cmp.Diff([]Entry{first, second}, got); err != nil || diff != "" {
		t.Fatalf("%v\n%s", err, diff)
	}
	if text, ok, err := l.List("job-2"); string(text) != list || !ok || err != nil {
		t.Errorf("list %q %v %v", text, ok, err)
	}
	if _, ok, err := l.List("job-9"); ok || err != nil {
		t.Errorf("a deletion that never was: %v %v", ok, err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil || bytes.Contains(text, []byte("canary")) || bytes.Contains(text, []byte("forget")) {
			t.Errorf("%s can be read (%v)", f.Name(), err)
		}
	}
	now = now.Add(Retention)
	if err := l.Expire(); err != nil {
		t.Fatal(err)
	}
	left, err := l.Entries()
	if err != nil || len(left) != 1 || left[0].Job != "job-1" {
		t.Errorf("after thirty days: %v %v", left, err)
	}
	gone, err := l.Expired()
	if diff := cmp.Diff([]Entry{{Job: "job-2", Group: "g1"}}, gone); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestADamagedLedgerIsRefused(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Seal(Entry{Job: "job-1", Group: "g1", At: time.Now()}, []byte(list)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "job-1.sealed")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, 9, 40, len(text) - 1} {
		damaged := bytes.Clone(text)
		damaged[at] ^= 1
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		_, errEntries := l.Entries()
		_, _, errList := l.List("job-1")
		if errEntries == nil && errList == nil {
			t.Errorf("a bit flipped at %d was not noticed", at)
		}
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "key")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil {
		t.Error("a ledger without its key was opened")
	}
}
