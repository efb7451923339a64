package dataset

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/palate-dev/palate/internal/schema"
)

// BenchmarkOpenALogOf measures the start with a log that was never folded, which is the most work that a crash can leave. PALATE_LOG_MB sets its size (default 64).
//
//	PALATE_LOG_MB=1000 go test ./internal/dataset -run - -bench OpenALog -benchtime 1x
func BenchmarkOpenALogOf(b *testing.B) {
	size := 64
	if text := os.Getenv("PALATE_LOG_MB"); text != "" {
		var err error
		if size, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	lim := defaultLimits()
	lim.foldAge, lim.logBytes, lim.noCompact = time.Hour, 1<<40, true
	lim.foldBytes = 1 << 40 // nothing folds
	s := openStore(b, b.TempDir(), lim)
	tab := s.create("t1", interactionsSchema())
	rows, bytes, n := make([]Row, 5000), int64(0), 0
	for bytes < int64(size)<<20 {
		for i := range rows {
			n++
			rows[i] = Row{
				Values:  []schema.Value{str(fmt.Sprintf("user-%07d", n*7919%1_000_003)), str(fmt.Sprintf("item-%06d", n*104729%100_003)), num(1_700_000_000 + int64(n)), str("view"), {}},
				Session: fmt.Sprintf("session-%08d", n/9), EventID: fmt.Sprintf("%016x-%016x", n, n*31),
			}
		}
		s.put(tab, rows...)
		bytes, _ = s.Waiting()
	}
	b.SetBytes(bytes)
	for b.Loop() {
		s.stop()
		s.start()
	}
	b.StopTimer()
	rowsThere, err := s.Count(b.Context(), tab)
	if err != nil || rowsThere != int64(n) {
		b.Fatal(rowsThere, err)
	}
	b.ReportMetric(float64(n), "rows")
	files := 0
	filepath.WalkDir(filepath.Join(s.dir, "store"), func(_ string, d fs.DirEntry, _ error) error { files++; return nil })
	b.ReportMetric(float64(files), "files")
}
