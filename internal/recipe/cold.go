package recipe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/palate-dev/palate/internal/recipe/vec"
	"github.com/palate-dev/palate/internal/schema"
)

// Items of which the histories say little or nothing are estimated from their attributes. What is said for item j, to whoever asks, is
//
//	relevance(j) = s_j own(j) + (1 − s_j) b_j Σ_k w_jk relevance(k),   s_j = n_j / (n_j + doubt),   Σ_k w_jk = 1,   b_j = s_j + (1 − s_j) carry
//
// with n_j the events of j, and k the items with enough events whose attributes are most like those of j (content.go), weighted by a power of their likeness.
// Relevance is a sum over the columns of the rows, so this is what it would be if the column of j, and its prior, were the mean of those of its neighbours: but
// nothing has to be stored for the items that lead to j, which would displace what is known from their rows, and whatever else makes up the relevance of a
// neighbour, such as the situation of the request, holds for j as well.
//
// As a mean varies less than what it is the mean of, an item would hardly ever stand among the first if carry were 1: the more so, the less the attributes say. It
// is the largest of a few values with which estimates do not bring such items into more than one in coldShare places of the lists of users drawn by lot. The bonus
// falls as events come, as in the upper confidence bounds of bandits (Lai and Robbins 1985).
const (
	coldDoubt     = 4   // events that an estimate is worth
	coldEvents    = 8   // events from which an item needs no estimate and can be a neighbour
	coldNear      = 100 // neighbours, at most
	coldSharpness = 6   // power of the likeness
	coldSeeds     = 12  // most relevant items of a request, whose like are looked at
	coldReach     = 8   // items with estimates that are looked at for each of them
	coldSources   = 4   // neighbours whose rows speak for an item without events in a history

	coldEntries = 32 << 20 // neighbours of all items together: of very many items each has fewer

	coldUsers  = 512 // whose lists are looked at to find carry
	coldPlaces = 25  // of each
	coldShare  = 25  // of all these places, one in so many may go to items because of their estimates
)

// carries are what carry can be, ascending.
var carries = []float64{0.7, 1, 1.4, 2, 2.8, 4}

// estimates are the neighbours of all items that have some.
type estimates struct {
	item   []int32   // ascending
	own    []float32 // beside item: s
	gain   []float32 // beside item: (1 − s) b
	near   rows      // by place in item: the neighbours, nearest first, with their weights
	follow rows      // by item: places in item of those that have it among their neighbours, those that depend on it most first, without values
	place  []int32   // by item: place in item, -1 for none
}

// has reports whether there is an estimate of the item.
func (e *estimates) has(item int32) bool { return e != nil && e.place[item] >= 0 }

// known is count with an event more for each item that has an estimate.
func (e *estimates) known(count []int64) []int64 {
	if e == nil {
		return count
	}
	count = slices.Clone(count)
	for _, i := range e.item {
		count[i]++
	}
	return count
}

// number fills in place.
func (e *estimates) number(items int) {
	e.place = slices.Repeat([]int32{-1}, items)
	for at, i := range e.item {
		e.place[i] = int32(at)
	}
}

// compare makes the vectors of the items from all attributes but the one that answers are optimized for.
func (in *input) compare() {
	if in.itemRows == nil {
		return
	}
	accept := func(c *Column) bool {
		o := in.cfg.Objective
		return trainedColumn(c) && (o == nil || !schema.SameName(c.Name, o.Attribute))
	}
	if v, useful := in.content(accept, words, func(int) bool { return true }); v.terms > 0 {
		in.alike, in.useful = v, useful
	}
}

// estimate finds the neighbours of the items with fewer than coldEvents events; nil without attributes.
func (in *input) estimate(ctx context.Context, count []int64, progress Progress) (*estimates, error) {
	if in.alike == nil {
		return nil, nil
	}
	var warm, wanted []int32
	for i, n := range count {
		switch terms, _ := in.alike.of(int32(i)); {
		case len(terms) == 0:
		case n >= coldEvents:
			warm = append(warm, int32(i))
		default:
			wanted = append(wanted, int32(i))
		}
	}
	slices.SortStableFunc(warm, func(a, b int32) int { return cmp.Compare(count[b], count[a]) })
	x := newContentIndex(in.alike, warm, len(wanted), nearest(len(wanted), coldEntries))
	found := make([][]entry, len(wanted))
	work := make([]contentSearch, len(wanted)) // by worker
	done := newMeter(progress, "attributes", len(wanted))
	err := vec.Parallel(ctx, len(wanted), func(n, worker int) {
		defer done.add(1)
		near := x.near(wanted[n], &work[worker])
		slices.SortFunc(near, func(a, b entry) int { return cmp.Or(cmp.Compare(b.value, a.value), cmp.Compare(a.item, b.item)) })
		found[n] = sharpen(near)
	})
	if err != nil {
		return nil, err
	}
	e := &estimates{near: rows{offsets: []int64{0}}}
	for n, near := range found {
		if len(near) == 0 {
			continue
		}
		i := wanted[n]
		e.item, e.own = append(e.item, i), append(e.own, float32(float64(count[i])/float64(count[i]+coldDoubt)))
		e.near.append(near)
	}
	e.turn(len(in.items))
	e.number(len(in.items))
	e.carry(1)
	return e, nil
}

// nearest is how many neighbours each of so many items has, when all together have so many entries: coldSources at least.
func nearest(items, entries int) int {
	return min(coldNear, max(coldSources, entries/max(1, items)))
}

// append adds a row.
func (r *rows) append(row []entry) {
	for _, e := range row {
		r.item, r.value = append(r.item, e.item), append(r.value, e.value)
	}
	r.offsets = append(r.offsets, int64(len(r.item)))
}

// sharpen turns likenesses, the greatest first, into weights that sum to 1.
func sharpen(near []entry) []entry {
	if len(near) == 0 || near[0].value <= 0 {
		return nil
	}
	weight, sum := make([]float64, len(near)), 0.0
	for n, k := range near {
		w := 1.0
		for range coldSharpness {
			w = float64(w * float64(k.value/near[0].value))
		}
		weight[n] = max(0, w)
		sum += weight[n]
	}
	for n := range near {
		near[n].value = float32(weight[n] / sum)
	}
	return near
}

// turn makes follow of near.
func (e *estimates) turn(items int) {
	lists := make([][]entry, items)
	for at := range e.item {
		near, weight := e.near.of(int32(at))
		for n, i := range near {
			lists[i] = append(lists[i], entry{int32(at), weight[n]})
		}
	}
	e.follow = rows{offsets: make([]int64, 1, items+1)}
	for _, list := range lists {
		slices.SortFunc(list, func(a, b entry) int { return cmp.Or(cmp.Compare(b.value, a.value), cmp.Compare(a.item, b.item)) })
		for _, f := range list[:min(len(list), coldReach)] {
			e.follow.item = append(e.follow.item, f.item)
		}
		e.follow.offsets = append(e.follow.offsets, int64(len(e.follow.item)))
	}
}

// carry sets gain.
func (e *estimates) carry(carry float64) {
	e.gain = make([]float32, len(e.item))
	for at, own := range e.own {
		s := float64(own)
		e.gain[at] = float32((1 - s) * (s + float64((1-s)*carry)))
	}
}

// priors are the items' priors with those of items that have an estimate replaced by it.
func (e *estimates) priors(prior []float32) []float32 {
	prior = slices.Clone(prior)
	for at, j := range e.item {
		sum := float32(0)
		near, weight := e.near.of(int32(at))
		for n, i := range near {
			sum += float32(weight[n] * prior[i]) // which has no estimate itself
		}
		prior[j] = float32(e.own[at]*prior[j]) + float32(e.gain[at]*sum)
	}
	return prior
}

// addEstimates completes a model by the estimates of items, if there are any, which are carried as far as the lists of some users bear it.
func (in *input) addEstimates(ctx context.Context, f *fitted, e *estimates, asked []beginning) error {
	if e == nil || len(e.item) == 0 {
		return nil
	}
	before, _, err := in.exposure(ctx, f, e, asked)
	if err != nil {
		return err
	}
	prior := f.prior
	f.cold, f.carry = e, carries[0]
	for n, carry := range carries {
		e.carry(carry)
		f.prior = e.priors(prior)
		after, places, err := in.exposure(ctx, f, e, asked)
		if err != nil {
			return err
		}
		if n > 0 && (after-before)*coldShare > places {
			break
		}
		f.carry = carry
	}
	e.carry(f.carry)
	f.prior = e.priors(prior)
	return nil
}

// sample draws n of the users that use accepts by lot, all if there are fewer, with all of their events; none without attributes of items, for which they would be asked.
func (in *input) sample(use func(u int) bool, n int) (all []beginning) {
	if in.alike == nil {
		return nil
	}
	var users []int
	for u := range in.ev.Users {
		if use(u) {
			users = append(users, u)
		}
	}
	slices.SortFunc(users, func(a, b int) int {
		return cmp.Or(cmp.Compare(draw(in.cfg.Seed, in.ev.Users[a]), draw(in.cfg.Seed, in.ev.Users[b])), cmp.Compare(a, b))
	})
	for _, u := range users[:min(len(users), n)] {
		all = append(all, beginning{u, int(in.ev.Offsets[u+1] - in.ev.Offsets[u])})
	}
	return all
}

// exposure counts the places of the users' lists, and those of items of e among them.
func (in *input) exposure(ctx context.Context, f *fitted, e *estimates, users []beginning) (exposed, places int, err error) {
	k := f.ranker(len(in.items))
	taken, all := make([]int, len(users)), make([]int, len(users))
	err = vec.Parallel(ctx, len(users), func(n, _ int) {
		s := k.acquire()
		defer k.release(s)
		s.steps = in.history(s.steps[:0], users[n].user, users[n].events)
		k.relevance(s, s.steps)
		for _, r := range k.top(s, coldPlaces, nil) {
			all[n]++
			if e.has(r.item) {
				taken[n]++
			}
		}
	})
	for n := range users {
		exposed += taken[n]
		places += all[n]
	}
	return exposed, places, err
}

// sources are the items whose rows speak for an item in a history, with their weights and the sum of these: its neighbours if it has no events, else none.
func (k *ranker) sources(s *scratch, item int32) (near []int32, weight []float32, sum float32) {
	switch e := k.cold; {
	case int(item) >= len(k.prior):
		near, weight = s.newcomers.near.of(item - int32(len(k.prior)))
	case e.has(item) && e.own[e.place[item]] == 0:
		near, weight = e.near.of(e.place[item])
	}
	n := min(len(near), coldSources)
	for _, w := range weight[:n] {
		sum += w
	}
	return near[:n], weight[:n], sum
}

// gained is the mean of what a request adds to the priors of neighbours, after relevance has filled s. Those that the user had say nothing: they are demoted.
func (s *scratch) gained(near []int32, weight []float32) (sum float32) {
	gain, weight := s.gain, weight[:len(near)]
	for n, i := range near {
		sum += float32(weight[n] * gain[i])
	}
	return sum
}

// together is how many means gainedTogether makes at a time.
const together = 4

// gainedTogether is gained for some items at places: each mean has its own chain of additions, which the processor follows side by side.
func (s *scratch) gainedTogether(e *estimates, at *[together]int32) (sum [together]float32) {
	a, u := e.near.of(at[0])
	b, v := e.near.of(at[1])
	c, w := e.near.of(at[2])
	d, x := e.near.of(at[3])
	n, gain := min(len(a), len(b), len(c), len(d)), s.gain
	a0, b0, c0, d0 := a[:n], b[:n], c[:n], d[:n]
	u0, v0, w0, x0 := u[:n], v[:n], w[:n], x[:n]
	var sa, sb, sc, sd float32
	for k := range a0 {
		sa += float32(u0[k] * gain[a0[k]])
		sb += float32(v0[k] * gain[b0[k]])
		sc += float32(w0[k] * gain[c0[k]])
		sd += float32(x0[k] * gain[d0[k]])
	}
	rest := func(sum float32, near []int32, weight []float32) float32 {
		for k := n; k < len(near); k++ {
			sum += float32(weight[k] * gain[near[k]])
		}
		return sum
	}
	return [together]float32{rest(sa, a, u), rest(sb, b, v), rest(sc, c, w), rest(sd, d, x)}
}

// of is the relevance of the item at a place, after relevance has filled s.
func (e *estimates) of(k *ranker, s *scratch, at int32) float32 {
	near, weight := e.near.of(at)
	return e.by(k, s, at, s.gained(near, weight))
}

// by is of for whoever knows what the neighbours gain.
func (e *estimates) by(k *ranker, s *scratch, at int32, gained float32) float32 {
	j := e.item[at]
	r := k.prior[j] + float32(e.gain[at]*gained)
	if s.has(j) {
		r += float32(e.own[at] * (s.sum[j] - k.prior[j]))
	}
	return r
}

// estimate sets the relevance of the items with estimates that are most like the most relevant ones. The work is bounded, whatever the size of the catalogue.
func (k *ranker) estimate(s *scratch) {
	e := k.cold
	if e == nil {
		return
	}
	s.top = s.top[:0]
	s.best(s.sum, s.lines, coldSeeds, func(i int32) bool { return s.state[i]&stateSeen != 0 || e.has(i) })
	s.places = s.places[:0]
	for _, seed := range s.top {
		for _, at := range e.follow.item[e.follow.offsets[seed.item]:e.follow.offsets[seed.item+1]] {
			if j := e.item[at]; s.state[j]&(stateEstimated|stateSeen) == 0 {
				s.places = append(s.places, at)
				s.flag(j, stateEstimated)
			}
		}
	}
	s.top = s.top[:0]
	left := s.places
	for ; len(left) >= together; left = left[together:] {
		four := [together]int32(left)
		for n, gained := range s.gainedTogether(e, &four) {
			s.set(e.item[four[n]], e.by(k, s, four[n], gained))
		}
	}
	for _, at := range left {
		s.set(e.item[at], e.of(k, s, at))
	}
}

// estimated reports whether the model knows the item by its attributes.
func (m *Model) estimated(item int32) bool { return m.ranker != nil && m.ranker.cold.has(item) }

// write puts the estimates into a model.
func (e *estimates) write(w *modelWriter) {
	if e == nil {
		return
	}
	put(w, "cold.item", e.item)
	put(w, "cold.own", e.own)
	put(w, "cold.gain", e.gain)
	put(w, "cold.near.offsets", e.near.offsets)
	put(w, "cold.near.item", e.near.item)
	put(w, "cold.near.weight", e.near.value)
	put(w, "cold.follow.offsets", e.follow.offsets)
	put(w, "cold.follow.place", e.follow.item)
}

// loadEstimates reads what write wrote; nil if there is nothing.
func loadEstimates(m *mapping, items int) (*estimates, error) {
	if _, ok := m.data["cold.item"]; !ok {
		return nil, nil
	}
	var errs [8]error
	e := &estimates{}
	e.item, errs[0] = array[int32](m, "cold.item")
	e.own, errs[1] = array[float32](m, "cold.own")
	e.gain, errs[2] = array[float32](m, "cold.gain")
	e.near.offsets, errs[3] = array[int64](m, "cold.near.offsets")
	e.near.item, errs[4] = array[int32](m, "cold.near.item")
	e.near.value, errs[5] = array[float32](m, "cold.near.weight")
	e.follow.offsets, errs[6] = array[int64](m, "cold.follow.offsets")
	e.follow.item, errs[7] = array[int32](m, "cold.follow.place")
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	if len(e.own) != len(e.item) || len(e.gain) != len(e.item) || len(e.near.offsets) != len(e.item)+1 || len(e.follow.offsets) != items+1 {
		return nil, fmt.Errorf("open model: %w: estimates of different lengths", ErrCorrupt)
	}
	e.number(items)
	return e, nil
}
