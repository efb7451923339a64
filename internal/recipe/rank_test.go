package recipe

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/palate-dev/palate/internal/recipe/vec"
)

// randomRanker has rows of a few hundred entries, some of them below zero, and priors of which many are equal.
func randomRanker(random *rand.Rand, items, scored int, demote bool) *ranker {
	r := &rows{offsets: []int64{0}}
	for range items {
		var row []int32
		for range random.IntN(min(items, 300)) {
			row = append(row, int32(random.IntN(items)))
		}
		slices.Sort(row)
		for _, i := range slices.Compact(row) {
			v := float32(random.NormFloat64()+1) / 8
			if random.IntN(50) == 0 {
				v = float32(math.Copysign(0, -1)) // as a product may be
			}
			r.item, r.value = append(r.item, i), append(r.value, v)
		}
		r.offsets = append(r.offsets, int64(len(r.item)))
	}
	prior, count := make([]float32, items), make([]int64, items)
	for i := range prior {
		count[i] = int64(random.IntN(4))
		prior[i] = float32(count[i]) / float32(4*items)
	}
	return newRanker(r, prior, byPrior(prior, count), []float32{1, 0.9, 0.8, 0.7, 0.5, 0.3}, demote, scored)
}

// plainly is the same as relevance, top and total, item by item as they are defined.
func plainly(k *ranker, history []step, n int, exclude func(int32) bool) (best []ranked, total float64) {
	sum, touched := slices.Clone(k.prior), make([]bool, len(k.prior))
	adds := make([]float32, len(k.prior))
	for age := 0; age < min(len(history), len(k.decay)); age++ {
		h := history[len(history)-1-age]
		items, values := k.rows.of(h.item)
		for j, i := range items {
			adds[i] += float32(float32(k.decay[age]*float32(float64(h.weight)/one)) * values[j])
			touched[i] = true
		}
	}
	for i := range sum {
		if touched[i] {
			sum[i] = adds[i] + k.prior[i]
		}
	}
	if k.demote {
		for i := range sum {
			if slices.ContainsFunc(history, func(h step) bool { return h.item == int32(i) }) {
				sum[i], touched[i] = adds[i]+k.prior[i]-demotion, true
			}
		}
	}
	for _, i := range k.order[:k.scored] {
		if !touched[i] {
			touched[i] = true
		}
	}
	for i := range sum {
		if touched[i] {
			total += k.odd(sum[i])
			if exclude == nil || !exclude(int32(i)) {
				best = append(best, ranked{int32(i), sum[i]})
			}
		}
	}
	slices.SortFunc(best, before)
	return best[:min(n, len(best))], total
}

func TestRankingIsWhatItsPlainTwinSays(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for _, c := range []struct{ items, scored int }{{1, 1}, {40, 10}, {40, 40}, {900, 50}, {900, 900}, {3000, 500}, {20_000, 500}} {
		for _, demote := range []bool{false, true} {
			k := randomRanker(random, c.items, c.scored, demote)
			if len(k.order) == 0 {
				continue
			}
			for round := range 40 {
				var history []step
				for range random.IntN(9) {
					history = append(history, step{int32(random.IntN(c.items)), one / int64(1+random.IntN(3)), 0})
				}
				n := 1 + random.IntN(60)
				var exclude func(int32) bool
				if round%2 == 1 {
					exclude = func(i int32) bool { return i%3 == 0 || round%8 > 4 && i%37 > 0 }
				}
				s := k.acquire()
				k.relevance(s, history)
				if round%4 == 3 { // known beforehand
					s.allowed = make([]uint64, (c.items+63)/64)
					for i := range c.items {
						if !exclude(int32(i)) {
							s.allowed[i/64] |= 1 << (i % 64)
						}
					}
				}
				got, total := slices.Clone(k.top(s, n, exclude)), k.total(s)
				k.release(s)
				want, sum := plainly(k, history, n, exclude)
				if !slices.Equal(got, want) {
					t.Fatalf("%+v: the best are %v, want %v", c, got, want)
				}
				if math.Abs(total-sum) > 1e-9*sum {
					t.Fatalf("%+v: odds sum to %v, want %v", c, total, sum)
				}
			}
			s := k.acquire()
			if slices.ContainsFunc(s.sum, func(v float32) bool { return math.Float32bits(v) != math.Float32bits(vec.NotAdded) }) || slices.ContainsFunc(s.state, func(v uint8) bool { return v != 0 }) ||
				slices.ContainsFunc(s.marks, func(v uint8) bool { return v != 0 }) || slices.ContainsFunc(s.gain, func(v float32) bool { return v != 0 }) {
				t.Error("the memory of a request is not clean after it")
			}
		}
	}
}

func TestLongListsAreOrderedAsShortOnes(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	values := []float32{0, float32(math.Copysign(0, -1)), 1, -1, 0.25, 0.5, -demotion, math.SmallestNonzeroFloat32, math.MaxFloat32, -math.MaxFloat32}
	for _, n := range []int{0, 1, 2, 40, 100, 500, 1000} {
		for range 20 {
			var list []ranked
			for _, i := range random.Perm(2 * n)[:n] {
				r := ranked{int32(i), values[random.IntN(len(values))]}
				if random.IntN(2) == 0 {
					r.relevance = float32(random.NormFloat64())
				}
				list = append(list, r)
			}
			want := slices.Clone(list)
			slices.SortFunc(want, before)
			new(scratch).order(list)
			if !slices.Equal(list, want) { // equal numbers: one zero is as good as the other
				t.Fatalf("ordered as %v, want %v", list, want)
			}
		}
	}
}

func BenchmarkRank(b *testing.B) {
	random := rand.New(rand.NewPCG(7, 8))
	k := randomRanker(random, 10_000, 500, false)
	k.decay = slices.Repeat([]float32{0.9}, 32)
	histories := make([][]step, 64)
	for n := range histories {
		for range 20 {
			histories[n] = append(histories[n], step{int32(random.IntN(10_000)), one, 0})
		}
	}
	for n := 0; b.Loop(); n++ {
		s := k.acquire()
		k.relevance(s, histories[n%len(histories)])
		k.top(s, 25, nil)
		k.total(s)
		k.release(s)
	}
}
