//go:build unix

package recipe

import (
	"fmt"
	"math"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/palate-dev/palate/internal/dataset"
)

// largeModel is a model as long as a large one answers: rows of 300 items most of which are near by, as those of topics are, and 60 steps of a history count. Of the items
// some have too few events, so that they are estimated by a hundred others.
func largeModel(items int) *Model {
	random := rand.New(rand.NewPCG(uint64(items), 1))
	near := func(i int) int32 { return int32((i + int(random.NormFloat64()*250) + 10*items) % items) }
	m := &Model{mapping: &mapping{manifest: Manifest{Recipe: personalizationV2}}, count: make([]int64, items)}
	best := newSelections(items, rowEntries)
	prior := make([]float32, items)
	e := &estimates{near: rows{offsets: []int64{0}}}
	for i := range items {
		m.items = append(m.items, fmt.Sprintf("item-%07d", i))
		met := map[int32]bool{}
		for range 2 * rowEntries {
			if j := near(i); !met[j] {
				met[j] = true
				best[i].offer(j, float32(random.ExpFloat64()-0.2)/16)
			}
		}
		m.count[i] = int64(math.Exp(2.5 + 1.2*random.NormFloat64()))
		prior[i] = float32(m.count[i]) / float32(40*items)
	}
	for i, n := range m.count {
		if n >= coldEvents {
			continue
		}
		row := newSelections(1, coldNear)
		met := map[int32]bool{}
		for range 2 * coldNear {
			if j := near(i); m.count[j] >= coldEvents && !met[j] {
				met[j] = true
				row[0].offer(j, 1/float32(coldNear))
			}
		}
		e.item, e.own = append(e.item, int32(i)), append(e.own, float32(n)/float32(n+coldDoubt))
		e.near.append(row[0].entries())
	}
	e.turn(items)
	e.number(items)
	e.carry(1)
	decay := make([]float32, 60)
	for k := range decay {
		decay[k] = float32(math.Pow(0.95, float64(k)))
	}
	m.codes = newCodes(m.items)
	m.ranker = newRanker(flatten(best), prior, byPrior(prior, e.known(m.count)), decay, false, candidates)
	m.ranker.cold, m.ranker.carry = e, 1
	return m
}

// shoppers are histories of 60 steps in a few topics.
func shoppers(m *Model, n int) (histories [][]dataset.LiveEvent) {
	random := rand.New(rand.NewPCG(3, 4))
	for range n {
		var events []dataset.LiveEvent
		homes := []int{random.IntN(len(m.items)), random.IntN(len(m.items)), random.IntN(len(m.items))}
		for k := range 60 {
			at := homes[random.IntN(len(homes))] + int(random.NormFloat64()*50)
			events = append(events, dataset.LiveEvent{Item: m.items[(at+10*len(m.items))%len(m.items)], Time: int64(k)})
		}
		histories = append(histories, events)
	}
	return histories
}

// BenchmarkServe is what a request costs within the model, also by processor time, which other work on the machine disturbs less than it does elapsed time.
func BenchmarkServe(b *testing.B) {
	for _, items := range []int{10_000, 100_000} {
		m := largeModel(items)
		histories := shoppers(m, 512)
		kept, bits := make([]bool, items), make([]uint64, (items+63)/64) // of a filter: one of fifty categories
		for i := range kept {
			if kept[i] = i/200%50 == 7; kept[i] {
				bits[i/64] |= 1 << (i % 64)
			}
		}
		var buf []Scored
		run := func(name string, ask func(q Query)) {
			b.Run(fmt.Sprintf("%s/items=%d", name, items), func(b *testing.B) {
				b.ReportAllocs()
				before := processor(b)
				for n := 0; b.Loop(); n++ {
					ask(Query{Live: histories[n%len(histories)], N: 25})
				}
				b.ReportMetric(1e6*(processor(b)-before)/float64(b.N), "cpu-µs/op")
			})
		}
		run("plain", func(q Query) { buf = m.Recommend(q, buf) })
		for _, allowed := range [][]uint64{nil, bits} {
			run(map[bool]string{true: "filter", false: "filter known beforehand"}[allowed == nil], func(q Query) {
				q.Excluded, q.Allowed = func(code int32) bool { return !kept[code] }, allowed
				buf = m.Recommend(q, buf)
			})
		}
		list := make([]string, 500)
		for k, i := range rand.New(rand.NewPCG(5, 6)).Perm(items)[:len(list)] {
			list[k] = m.items[i]
		}
		run("ranking", func(q Query) { buf = m.Rank(q, list, buf) })
	}
}

// processor is the time that the process has had, in seconds.
func processor(b *testing.B) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Skip(err)
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}
