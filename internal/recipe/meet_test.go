package recipe

import (
	"context"
	"math"
	"testing"
)

func TestTargetsAreOfferedToTheSourcesThatTheyMeetWhicheverWay(t *testing.T) {
	c := smallCorpus(300)
	s := newSolver(&c.sequences, regression{damping: true, lambda: 3, core: 100})
	defer s.inverse.Close()
	s.keep = c.items
	silent := func(string, int64, int64) {}
	if err := s.invertGram(context.Background(), silent); err != nil {
		t.Fatal(err)
	}
	best := newSelections(c.items, s.keep)
	if err := s.score(context.Background(), best, silent); err != nil {
		t.Fatal(err)
	}
	got := flatten(best)
	dense, narrow, none := 0, 0, 0
	column := make([]float64, len(s.core))
	for target := range c.items {
		if s.rank[target] >= 0 {
			continue
		}
		clear(column)
		met := 0
		s.sets.together(target, s.counter(0))
		s.counter(0).each(func(i int32, sum int64) {
			if r := s.rank[i]; r >= 0 {
				column[r], met = float64(sum)/one, met+1
			}
		})
		switch {
		case met == 0:
			none++
		case met*denseShare >= len(s.core):
			dense++
		default:
			narrow++
		}
		for a, source := range s.core {
			want := 0.0
			for k, x := range column {
				want += float64(s.inverse.Row(min(a, k))[max(a, k)]) * x
			}
			if column[a] == 0 {
				want = 0
			}
			if v := valueAt(got, int(source), target); math.Abs(v-want) > 1e-5 {
				t.Fatalf("source %d, target %d, which meets %d of %d: %v, want %v", source, target, met, len(s.core), v, want)
			}
		}
	}
	if dense < 5 || narrow < 50 {
		t.Errorf("the material has %d dense targets and %d others, besides %d that meet nobody", dense, narrow, none)
	}
}
