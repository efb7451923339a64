package dataset

import (
	"bytes"
	"io"
	"os"
	"strings"

	"github.com/parquet-go/parquet-go"
)

// checkGone fails if an id is left in any file of the store, raw or in a column of a Parquet file.
func checkGone(t interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}, s *testStore, ids []string) {
	t.Helper()
	for _, path := range s.files() {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts := [][]byte{data}
		if strings.HasSuffix(path, ".parquet") {
			texts = append(texts, decodeParquet(t, data))
		}
		for _, text := range texts {
			for _, id := range ids {
				if i := bytes.Index(text, []byte(id)); i >= 0 && (i+len(id) == len(text) || text[i+len(id)] < '0' || text[i+len(id)] > '9') {
					t.Fatalf("an erased id stands in %s", path)
				}
			}
		}
	}
}

// decodeParquet returns all strings of a file, each followed by a zero byte.
func decodeParquet(t interface {
	Helper()
	Fatal(...any)
}, data []byte) (out []byte) {
	t.Helper()
	f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range f.RowGroups() {
		rows := g.Rows()
		buf := make([]parquet.Row, 64)
		for {
			n, err := rows.ReadRows(buf)
			for _, row := range buf[:n] {
				for _, v := range row {
					if v.Kind() == parquet.ByteArray {
						out = append(append(out, v.ByteArray()...), 0)
					}
				}
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		rows.Close()
	}
	return out
}
