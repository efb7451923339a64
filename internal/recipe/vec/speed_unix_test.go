//go:build unix

package vec

import (
	"context"
	"math"
	"math/rand/v2"
	"syscall"
	"testing"
)

// BenchmarkInvert reports the speed by processor time, which other work on the machine disturbs less than it does elapsed time.
func BenchmarkInvert(b *testing.B) {
	const n = 4096
	s := gram(n)
	before := processor(b)
	for b.Loop() {
		if err := Invert(context.Background(), s, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*math.Pow(n, 3)/(processor(b)-before)/1e9, "GFLOP/cpu-s")
}

// BenchmarkTile is the yardstick: a tile whose operands stay in the first-level cache.
func BenchmarkTile(b *testing.B) {
	const k = 256
	c, l, r := make([]float32, TileRows*TileCols), make([]float32, k*TileRows), make([]float32, k*TileCols)
	before := processor(b)
	for b.Loop() {
		Tile(c, TileCols, l, r, k)
	}
	b.ReportMetric(float64(b.N)*2*TileRows*TileCols*k/(processor(b)-before)/1e9, "GFLOP/cpu-s")
}

// BenchmarkGather is a column of n/8 entries against all panels of an n by n matrix.
func BenchmarkGather(b *testing.B) {
	const n = 12288
	rng := rand.New(rand.NewPCG(9, 9))
	table, dst := make([]float32, n*TileCols), make([]float32, TileCols)
	rows, val := make([]int32, n/8), make([]float32, n/8)
	for i := range rows {
		rows[i], val[i] = int32(8*i+rng.IntN(8)), 1
	}
	before := processor(b)
	for b.Loop() {
		Gather(dst, table, rows, val)
	}
	b.ReportMetric(float64(b.N)*2*TileCols*float64(len(rows))/(processor(b)-before)/1e9, "GFLOP/cpu-s")
}

// BenchmarkDotRows is rows of 256 bytes here and there in a table of 40,000.
func BenchmarkDotRows(b *testing.B) {
	const items, n = 40_000, 256
	x, table, row := make([]int8, n), make([]int8, items*n), []int32{}
	for i := int32(0); i < items; i += 20 {
		row = append(row, i)
	}
	dst := make([]int32, len(row))
	before := processor(b)
	for b.Loop() {
		for k := range row {
			row[k] = (row[k] + 7) % items
		}
		DotRows(dst, x, table, row)
	}
	b.ReportMetric((processor(b)-before)*1e9/float64(b.N*len(row)), "cpu-ns/row")
}

func processor(b *testing.B) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Skip(err)
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}
