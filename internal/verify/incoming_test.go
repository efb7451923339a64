package verify_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/palate-dev/palate/internal/verify"
)

const otherEngines = "files of other engines"

// incoming plants a data file of another engine. A row without a number is a new one.
func (f *fixture) incoming(name, user string, seq int64) {
	f.t.Helper()
	type row struct {
		User    string  `parquet:"USER_ID"`
		Seq     *int64  `parquet:"_seq,optional"`
		Session *string `parquet:"_session,optional"`
	}
	r := row{User: user}
	if seq > 0 {
		r.Seq = &seq
	}
	var out bytes.Buffer
	if err := parquet.Write(&out, []row{r}); err != nil {
		f.t.Fatal(err)
	}
	f.write("store/groups/g1/tables/t1/incoming/"+name, out.String())
}

func TestWhatOtherEnginesWriteMeanwhile(t *testing.T) {
	cases := map[string]struct {
		plant func(f *fixture)
		leak  bool
	}{
		"a new row of the user":  {func(f *fixture) { f.incoming("bucket=1/a.parquet", gone, 0) }, false},
		"a copy of another user": {func(f *fixture) { f.incoming("a.parquet", "canary-kept-0001", 1) }, false},
		"a copy of the user":     {func(f *fixture) { f.incoming("bucket=1/a.parquet", gone, 1) }, true},
		"a file half written":    {func(f *fixture) { f.write("store/groups/g1/tables/t1/incoming/a.parquet", "PAR1") }, false},
		"metadata with the user": {func(f *fixture) { f.write("store/groups/g1/tables/t1/incoming/a.avro", gone) }, true},
		"a file half written, and left": {func(f *fixture) {
			f.write("store/groups/g1/tables/t1/incoming/a.parquet", "PAR1")
			old := time.Now().Add(-3 * time.Hour)
			if err := os.Chtimes(filepath.Join(f.dir, "store/groups/g1/tables/t1/incoming/a.parquet"), old, old); err != nil {
				f.t.Fatal(err)
			}
		}, true},
		"a link": {func(f *fixture) {
			if err := os.Symlink("/dev/null", filepath.Join(f.dir, "store/groups/g1/tables/t1/incoming/a.parquet")); err != nil {
				f.t.Fatal(err)
			}
		}, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := open(t)
			c.plant(f)
			if err := f.search(gone); errors.Is(err, verify.ErrFound) != c.leak || !c.leak && err != nil {
				t.Errorf("got %v, want a leak: %v", err, c.leak)
			}
		})
	}
}
