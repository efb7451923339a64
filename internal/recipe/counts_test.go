package recipe

import (
	"cmp"
	"context"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

const testDecay = 52429 // 0.8

// smallCorpus is random material with weights that are not all one.
func smallCorpus(items int) *corpus {
	rng := rand.New(rand.NewPCG(11, 12))
	c := &corpus{sequences: sequences{items: items, offsets: []int64{0}}, ordered: true}
	for u := range 60 {
		for range rng.IntN(25) {
			c.item = append(c.item, int32(rng.IntN(1+rng.IntN(items)))) // some items are frequent
			c.weight = append(c.weight, int64(1+rng.IntN(one)))
			c.user = append(c.user, int32(u))
			c.time = append(c.time, int64(len(c.time)))
		}
		c.offsets = append(c.offsets, int64(len(c.item)))
	}
	return c
}

// plainSums are HᵀH and HᵀE by the definition, in float64, with the weight back for histories that are read backwards.
func plainSums(c *corpus, decay []int64, back float64) (gram, right [][]float64) {
	gram, right = plainForward(c, decay)
	mirrored := *c
	mirrored.item, mirrored.weight = slices.Clone(c.item), slices.Clone(c.weight)
	for u := range c.users() {
		slices.Reverse(mirrored.item[c.offsets[u]:c.offsets[u+1]])
		slices.Reverse(mirrored.weight[c.offsets[u]:c.offsets[u+1]])
	}
	backGram, backRight := plainForward(&mirrored, decay)
	for i := range gram {
		for j := range gram[i] {
			gram[i][j] += back * backGram[i][j]
			right[i][j] += back * backRight[i][j]
		}
	}
	return gram, right
}

func plainForward(c *corpus, decay []int64) (gram, right [][]float64) {
	gram, right = square(c.items), square(c.items)
	weight := func(at, k int) float64 { return float64(decay[k]) / one * float64(c.weight[at]) / one }
	for u := range c.users() {
		first, end := int(c.offsets[u]), int(c.offsets[u+1])
		for t := first + 1; t < end; t++ {
			for k := 1; k < len(decay) && t-k >= first; k++ {
				p := t - k
				right[c.item[p]][c.item[t]] += weight(p, k) * float64(c.weight[t]) / one
				for l := 1; l < len(decay) && t-l >= first; l++ {
					gram[c.item[p]][c.item[t-l]] += weight(p, k) * weight(t-l, l)
				}
			}
		}
	}
	return gram, right
}

func square(n int) [][]float64 {
	m := make([][]float64, n)
	for i := range m {
		m[i] = make([]float64, n)
	}
	return m
}

func TestWindowCountsAreTheSumsOfTheDefinition(t *testing.T) {
	c := smallCorpus(12)
	decay := geometric(testDecay, 6)
	gram, right := plainSums(c, decay, 0.25)
	w := newWindow(&c.sequences, invert(c.item, c.items), decay, one/4)
	count := newCounter(c.items)
	near := func(what string, i int, got []float64, want func(j int) float64) {
		t.Helper()
		for j, v := range got {
			if math.Abs(v-want(j)) > 1e-3*math.Max(1, want(j)) {
				t.Errorf("%s of item %d at %d is %v, want %v", what, i, j, v, want(j))
			}
		}
	}
	for i := range c.items {
		near("gram", i, counted(count, func() { w.gram(i, count) }), func(j int) float64 { return gram[i][j] })
		near("from", i, counted(count, func() { w.from(i, count) }), func(j int) float64 { return right[i][j] })
		near("into", i, counted(count, func() { w.into(i, count) }), func(j int) float64 { return right[j][i] })
	}
}

func counted(c *counter, count func()) []float64 {
	row := make([]float64, len(c.sum))
	count()
	c.each(func(i int32, sum int64) { row[i] = float64(sum) / (one * one) })
	return row
}

func TestOnwardIsTheUpperHalfOfTogether(t *testing.T) {
	c := smallCorpus(40)
	b := newBaskets(&c.sequences, true)
	for i := range c.items {
		want, got := map[int32]int64{}, map[int32]int64{}
		count := newCounter(c.items)
		b.together(i, count)
		count.each(func(j int32, sum int64) {
			if j >= int32(i) {
				want[j] = sum
			}
		})
		b.onward(i, count)
		count.each(func(j int32, sum int64) { got[j] = sum })
		if !maps.Equal(got, want) {
			t.Fatalf("row %d: %v, want %v", i, got, want)
		}
	}
}

func TestCounterClearsItself(t *testing.T) {
	for _, n := range []int32{3, 300} {
		c := newCounter(320)
		for range 2 {
			for i := range n {
				c.add((i*7)%320, int64(i)+1)
			}
			var seen []int32
			c.each(func(i int32, sum int64) { seen = append(seen, i) })
			if len(seen) != int(n) || !slices.IsSorted(seen) {
				t.Errorf("%d items counted, got %v", n, seen)
			}
		}
	}
}

func TestDecayIsGeometric(t *testing.T) {
	if got, want := geometric(testDecay, 4)[1:], []int64{65536, 52429, 41943, 33555}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestDecayOfRegressionsHasAShareThatLasts(t *testing.T) {
	for k, got := range fading(testDecay, 32)[1:] {
		want := 0.8*math.Pow(0.8, float64(k)) + 0.2*math.Pow(0.8, float64(k)/4)
		if math.Abs(float64(got)/one-want) > 0.01 {
			t.Errorf("%d steps back: %v, want %v", k+1, float64(got)/one, want)
		}
	}
	if all := fading(one/4, 32); len(all) > 20 || all[len(all)-1] < negligibleDecay {
		t.Errorf("what is negligible is not left out: %v", all)
	}
}

// plainSolve solves a x = b in float64 by elimination.
func plainSolve(a [][]float64, b []float64) []float64 {
	n := len(b)
	m := square(n)
	for i := range m {
		copy(m[i], a[i])
		m[i] = append(m[i], b[i])
	}
	for k := range n {
		for i := range n {
			if i == k {
				continue
			}
			f := m[i][k] / m[k][k]
			for j := k; j <= n; j++ {
				m[i][j] -= f * m[k][j]
			}
		}
	}
	x := make([]float64, n)
	for i := range x {
		x[i] = m[i][n] / m[i][i]
	}
	return x
}

func TestRowsAreTheRidgeRegressionOfTheNextItem(t *testing.T) {
	c := smallCorpus(40)
	const lambda, reach = 7, 5
	r := regression{ordered: true, reach: reach, rate: testDecay, back: one / 4, lambda: lambda, core: coreSize}
	got, err := solve(context.Background(), &c.sequences, r, rowEntries, nil, func(string, int64, int64) {})
	if err != nil {
		t.Fatal(err)
	}
	gram, right := plainSums(c, fading(testDecay, reach), 0.25)
	var core []int
	inCore := coreOf(c, r)
	for i, in := range inCore {
		if in {
			core = append(core, i)
		}
	}
	if len(core) == 0 || len(core) == c.items {
		t.Fatalf("the material has %d core items of %d: it must have both kinds", len(core), c.items)
	}
	for target := range c.items {
		a, b := square(len(core)), make([]float64, len(core))
		for r, i := range core {
			for s, j := range core {
				a[r][s] = gram[i][j]
			}
			a[r][r] += lambda
			b[r] = right[i][target]
		}
		want := make([]float64, c.items)
		for r, x := range plainSolve(a, b) {
			want[core[r]] = x
		}
		for i := range c.items {
			if !inCore[i] {
				want[i] = right[i][target]
				if want[i] == 0 {
					continue
				}
				for _, k := range core {
					want[i] -= gram[i][k] * want[k]
				}
				want[i] /= gram[i][i] + lambda
			}
		}
		for i := range c.items {
			if v := valueAt(got, i, target); math.Abs(v-want[i]) > 1e-4 {
				t.Fatalf("weight of item %d for target %d is %v, want %v", i, target, v, want[i])
			}
		}
	}
}

// coreOf marks the items of the core.
func coreOf(c *corpus, r regression) []bool {
	s := newSolver(&c.sequences, r)
	defer s.inverse.Close()
	in := make([]bool, c.items)
	for _, i := range s.core {
		in[i] = true
	}
	return in
}

func TestOwnSumsAreOnTheDiagonal(t *testing.T) {
	c := smallCorpus(40)
	for u := range c.users() { // nobody has an item twice
		for k, at := 0, c.offsets[u]; at < c.offsets[u+1]; k, at = k+1, at+1 {
			c.item[at] = int32(u+k) % 40
		}
	}
	for _, ordered := range []bool{true, false} {
		s := newSolver(&c.sequences, regression{ordered: ordered, reach: 5, rate: testDecay, back: one / 2, damping: true, lambda: 3, core: coreSize})
		defer s.inverse.Close()
		for i := range c.items {
			count := s.counter(0)
			s.above(i, count)
			count.each(func(j int32, sum int64) {
				if j == int32(i) && sum != s.own(i) {
					t.Errorf("ordered %v: own sum of item %d is %d, want %d", ordered, i, s.own(i), sum)
				}
			})
		}
	}
}

func valueAt(r *rows, i, j int) float64 {
	items, values := r.of(int32(i))
	if k, ok := slices.BinarySearch(items, int32(j)); ok {
		return float64(values[k])
	}
	return 0
}

func TestRowsWithoutOrderAreTheRegressionOnTheOtherItems(t *testing.T) {
	c := smallCorpus(40)
	const lambda = 8
	r := regression{damping: true, lambda: lambda, core: coreSize}
	got, err := solve(context.Background(), &c.sequences, r, rowEntries, nil, func(string, int64, int64) {})
	if err != nil {
		t.Fatal(err)
	}
	x := square(c.items)
	for u := range c.users() {
		set := slices.Compact(slices.Sorted(slices.Values(c.item[c.offsets[u]:c.offsets[u+1]])))
		for _, i := range set {
			for _, j := range set {
				x[i][j] += 1 / math.Sqrt(float64(len(set)))
			}
		}
	}
	inCore := coreOf(c, r)
	var core []int
	for i, in := range inCore {
		if in {
			core = append(core, i)
		}
	}
	if len(core) <= tailSets || len(core) == c.items {
		t.Fatalf("the material has %d core items of %d: it must have both kinds", len(core), c.items)
	}
	apart := 0 // pairs of a source of the core and a target outside that nobody has together
	for target := range c.items {
		var sources []int // of the regression: the core without the target
		for i := range c.items {
			if inCore[i] && i != target {
				sources = append(sources, i)
			}
		}
		a, b := square(len(sources)), make([]float64, len(sources))
		for r, i := range sources {
			for s, j := range sources {
				a[r][s] = x[i][j]
			}
			a[r][r] += lambda
			b[r] = x[i][target]
		}
		for r, w := range plainSolve(a, b) {
			if !inCore[target] && x[sources[r]][target] == 0 {
				w, apart = 0, apart+1
			}
			if v := valueAt(got, sources[r], target); math.Abs(v-w) > 1e-4 {
				t.Fatalf("weight of item %d for target %d is %v, want %v", sources[r], target, v, w)
			}
		}
		for i := range c.items {
			if inCore[i] || i == target || x[i][target] == 0 {
				continue
			}
			want := x[i][target]
			near := slices.Clone(core)
			slices.SortStableFunc(near, func(a, b int) int { return cmp.Compare(x[i][b], x[i][a]) })
			for _, k := range near[:min(tailSets, len(near))] {
				want -= x[i][k] * valueAt(got, k, target)
			}
			want /= x[i][i] + lambda
			if v := valueAt(got, i, target); math.Abs(v-want) > 1e-4 {
				t.Fatalf("weight of rare item %d for target %d is %v, want %v", i, target, v, want)
			}
		}
	}
	if apart == 0 {
		t.Error("in the material somebody has every target together with every source")
	}
}

func TestBatchesDoNotChangeTheRows(t *testing.T) {
	for _, ordered := range []bool{true, false} {
		c := smallCorpus(90)
		r := regression{ordered: ordered, reach: 5, rate: testDecay, back: one / 2, lambda: 3, core: coreSize}
		if !ordered {
			r.lambda = 200 // items outside of the core have columns
		}
		silent := func(string, int64, int64) {}
		whole, err := solve(context.Background(), &c.sequences, r, rowEntries, nil, silent)
		if err != nil {
			t.Fatal(err)
		}
		s := newSolver(&c.sequences, r)
		s.keep = rowEntries
		defer s.inverse.Close()
		s.entries = 15
		if to := s.batch(0); to == c.items {
			t.Fatal("one batch is enough")
		}
		if err := s.invertGram(context.Background(), silent); err != nil {
			t.Fatal(err)
		}
		parts, err := s.rows(context.Background(), silent)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(whole.item, parts.item) || !slices.Equal(whole.value, parts.value) {
			t.Errorf("ordered %v: several batches give other rows than one", ordered)
		}
	}
}

func TestSelectionKeepsTheLargestWhateverTheOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	offers := make([]entry, 4*rowEntries)
	for i := range offers {
		offers[i] = entry{int32(i), float32(rng.IntN(50) - 25)} // many ties
	}
	want := slices.Clone(offers)
	slices.SortFunc(want, func(a, b entry) int {
		return cmp.Or(cmp.Compare(magnitude(b.value), magnitude(a.value)), cmp.Compare(a.item, b.item))
	})
	want = want[:rowEntries]
	slices.SortFunc(want, func(a, b entry) int { return int(a.item - b.item) })
	for range 5 {
		rng.Shuffle(len(offers), func(i, j int) { offers[i], offers[j] = offers[j], offers[i] })
		best := newSelections(1, rowEntries)
		for _, o := range offers {
			best[0].offer(o.item, o.value)
		}
		got := flatten(best)
		for k, e := range want {
			if got.item[k] != e.item || got.value[k] != e.value {
				t.Fatalf("entry %d is %d, want %d", k, got.item[k], e.item)
			}
		}
	}
}

func TestSolveStopsWhenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := solve(ctx, &smallCorpus(12).sequences, regression{core: coreSize}, rowEntries, nil, func(string, int64, int64) {}); err != context.Canceled {
		t.Errorf("got %v", err)
	}
}
