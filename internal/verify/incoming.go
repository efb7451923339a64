package verify

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
)

// How long a file of another engine may stand in incoming without having been committed, and how long half written.
const (
	uncommittedAge = 26 * time.Hour
	halfAge        = 2 * time.Hour
)

const otherEngines = "files of other engines"

// incoming checks a file that another engine is writing and has not committed. A data file must not hold a row that is a copy of one that had to go; one that
// cannot be read is let pass only while it may still be growing; everything else is searched as bytes.
func (s *search) incoming(path, key string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular() || time.Since(info.ModTime()) > uncommittedAge:
		return fmt.Errorf("%s: %w", otherEngines, errUnclaimed)
	}
	if !strings.HasSuffix(path, ".parquet") {
		s.raw = append(s.raw, region{otherEngines, path, 0})
		return nil
	}
	if key == "" {
		return nil
	}
	readable, err := s.incomingRows(path, key, info.Size())
	if err == nil && !readable && time.Since(info.ModTime()) > halfAge {
		err = errUnclaimed
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", otherEngines, err)
	}
	return nil
}

// incomingRows looks for covered rows in a data file; readable is false if it is not whole.
func (s *search) incomingRows(path, key string, size int64) (readable bool, err error) {
	in, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer in.Close()
	defer func() {
		if recover() != nil { // the decoder, on bytes that are not ours
			readable, err = false, nil
		}
	}()
	pf, err := parquet.OpenFile(in, size)
	if err != nil {
		return false, nil
	}
	for _, rg := range pf.RowGroups() {
		if err := s.ctx.Err(); err != nil {
			return false, err
		}
		var vals [3][]parquet.Value
		for i, name := range []string{key, sessionColumn, seqColumn} {
			leaf, ok := pf.Schema().Lookup(name)
			if !ok {
				continue
			}
			if vals[i], err = columnValues(rg.ColumnChunks()[leaf.ColumnIndex]); err != nil {
				return false, nil
			}
		}
		for i, seq := range vals[2] {
			if seq.IsNull() || i >= len(vals[0]) {
				continue // a new row: it arrives when it is taken over
			}
			session := ""
			if i < len(vals[1]) && !vals[1][i].IsNull() {
				session = string(vals[1][i].ByteArray())
			}
			if s.covers(string(vals[0][i].ByteArray()), session, seq.Int64()) {
				return true, errListed
			}
		}
	}
	return true, nil
}
