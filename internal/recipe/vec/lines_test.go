package vec

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// summed are sums of which many are of nothing, for so many lines.
func summed(rng *rand.Rand, lines int) []float32 {
	out := awkward(rng, lines*Line)
	for i := range out {
		if rng.IntN(3) == 0 || out[i] == 0 {
			out[i] = NotAdded
		}
	}
	return out
}

// finished are relevances of which many are Nothing.
func finished(rng *rand.Rand, lines int) []float32 {
	out := awkward(rng, lines*Line)
	for i := range out {
		if rng.IntN(3) == 0 {
			out[i] = Nothing
		}
	}
	return out
}

// TestLinesInEveryBody holds the bodies of the kernels on lines against each other, bit by bit.
func TestLinesInEveryBody(t *testing.T) {
	saved := chosen
	defer func() { chosen = saved }()
	for _, b := range bodies() {
		chosen = b
		rng := rand.New(rand.NewPCG(6, 7))
		for range 400 {
			all := 4 * (1 + rng.IntN(12))
			lines := []int32{}
			for _, l := range rng.Perm(all)[:rng.IntN(all+1)] {
				lines = append(lines, int32(l))
			}
			if rng.IntN(2) == 0 {
				slices.Sort(lines)
			}

			row := Row{}
			for i := range int32(all * Line) {
				if rng.IntN(3) == 0 {
					row.Item = append(row.Item, i)
				}
			}
			row.Value = awkward(rng, len(row.Item))
			w := awkward(rng, 1)[0]
			got := summed(rng, all)
			want, marks, marked := slices.Clone(got), make([]uint8, all), make([]uint8, all)
			if rng.IntN(2) == 0 {
				marks, marked = nil, nil
			}
			SparseAdd(got, marks, row, w, Row{})
			sparseAddGeneric(want, marked, row, w)
			if !sameBits(got, want) || !slices.Equal(marks, marked) {
				t.Fatalf("%s: sparse rows are added up differently", b.name)
			}

			got, prior := summed(rng, all), awkward(rng, all*Line)
			want = slices.Clone(got)
			gain, gained := awkward(rng, all*Line), []float32(nil)
			if gained = slices.Clone(gain); rng.IntN(2) == 0 {
				gain, gained = nil, nil
			}
			Finish(got, gain, prior, lines)
			finishGeneric(want, gained, prior, lines)
			if !sameBits(got, want) || !sameBits(gain, gained) {
				t.Fatalf("%s: sums are finished differently", b.name)
			}

			bits := make([]uint64, (all*Line+63)/64)
			for i := range bits {
				bits[i] = rng.Uint64()
			}
			src := finished(rng, all)
			want = slices.Clone(got)
			Keep(got, src, bits, lines)
			keepGeneric(want, src, bits, lines)
			if !sameBits(got, want) {
				t.Fatalf("%s: elements are kept differently", b.name)
			}

			v := finished(rng, all)
			peaks := Peaks(v, lines)
			expected := peaks
			for g := range expected {
				expected[g] = Nothing
			}
			findPeaksGeneric(&expected, v, lines)
			if peaks != expected { // as numbers: one zero is as good as the other
				t.Fatalf("%s: the peaks are %v, want %v", b.name, peaks, expected)
			}

			least := v[rng.IntN(len(v))]
			if got, want := Count(&peaks, least), countGeneric(&peaks, least); got != want {
				t.Fatalf("%s: %d peaks reach %v, want %d", b.name, got, least, want)
			}
			for left := lines; ; {
				at, high := Reaching(v, left, least)
				wantAt, wantHigh := reachingGeneric(v, left, least)
				if at != wantAt || high != wantHigh {
					t.Fatalf("%s: of %d lines it is %d with %b, want %d with %b", b.name, len(left), at, high, wantAt, wantHigh)
				}
				if high == 0 {
					break
				}
				left = left[at+1:]
			}

			for _, floor := range []float64{1e-4, 1e-30, 0.3} {
				var sum [8]float64
				oddsGeneric(&sum, v, lines, floor)
				want := ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]))
				if got := Odds(v, lines, floor); math.Float64bits(got) != math.Float64bits(want) {
					t.Fatalf("%s: the odds are %v, want %v", b.name, got, want)
				}
			}

			want = slices.Clone(got)
			Fill(got, lines, w)
			fillGeneric(want, lines, w)
			if !sameBits(got, want) {
				t.Fatalf("%s: lines are filled differently", b.name)
			}
		}
	}
}
