package recipe

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strconv"
)

// trainActions measures and trains the next-best-action recipe.
func (in *input) trainActions(ctx context.Context, m *Manifest, w *modelWriter, progress Progress) error {
	period := int64(14)
	if text, ok := in.param("action_optimization_period"); ok {
		if days, err := strconv.ParseInt(text, 10, 32); err == nil {
			period = days
		}
	}
	s := in.newActionStudy(period * daySeconds)
	test := testDraws(in.cfg.Seed, in.acted.Users)
	trial, err := s.fit(ctx, func(u int32) bool { return !test[u] })
	if err != nil {
		return err
	}
	m.Metrics = s.measure(trial, test)
	progress("evaluation", 1, 1)
	f, err := s.fit(ctx, func(int32) bool { return true })
	if err != nil {
		return err
	}
	count, _ := in.appearances()
	put(w, "item.count", count)
	var shown, taken []int64
	for _, o := range f.counts {
		shown, taken = append(shown, o.shown), append(taken, o.taken)
	}
	put(w, "action.shown", shown)
	put(w, "action.taken", taken)
	put(w, "action.scored", f.scored)
	put(w, "token.offsets", f.rows.offsets)
	put(w, "token.action", f.rows.action)
	put(w, "token.shown", f.rows.shown)
	put(w, "token.taken", f.rows.taken)
	put(w, "weight", f.weights)
	put(w, "calibration", f.calibration)
	progress("solving", 1, 1)
	return nil
}

// actionStudy is all that fits share: the examples, with what was known of the user when the action was shown.
type actionStudy struct {
	*input
	kinds  []reaction
	list   []example
	known  []tokens // beside list
	space  *actionSpace
	rowOf  []int32 // row of a user's attributes by index into acted.Users
	events []int32 // index into ev.Users by index into acted.Users, -1 for none
}

func (in *input) newActionStudy(period int64) *actionStudy {
	s := &actionStudy{input: in, space: newActionSpace(len(in.items), in.itemRow(), in.itemRows, in.userRows)}
	for _, kind := range in.acted.Types {
		s.kinds = append(s.kinds, reactionOf(kind))
	}
	for u, id := range in.acted.Users {
		row, events := int32(-1), int32(-1)
		if r, ok := slices.BinarySearch(in.userRows.ids(), id); ok {
			row = int32(r)
		}
		if e, ok := slices.BinarySearch(in.ev.Users, id); ok {
			events = int32(e)
		}
		s.rowOf, s.events = append(s.rowOf, row), append(s.events, events)
		s.list = examples(s.list, in.acted, s.kinds, u, period)
	}
	for i := range s.list {
		s.known = append(s.known, s.at(s.list[i].user, s.list[i].time))
	}
	return s
}

// at is what was known of a user before a time.
func (s *actionStudy) at(u int32, time int64) tokens {
	var items []int32
	if e := s.events[u]; e >= 0 {
		from, to := s.ev.Offsets[e], s.ev.Offsets[e+1]
		before, _ := slices.BinarySearch(s.ev.Time[from:to], time)
		items = s.ev.Item[from : from+int64(before)]
	}
	return s.space.of(items, s.rowOf[u])
}

// fit trains on the users that use accepts.
func (s *actionStudy) fit(ctx context.Context, use func(u int32) bool) (*actionModel, error) {
	m := &actionModel{counts: make([]outcomes, len(s.actions)), weights: make([]float64, actionFeature), scored: s.enough(use)}
	type cell struct{ token, action int32 }
	cells := map[cell]*outcomes{}
	for i := range s.list {
		e := &s.list[i]
		if !use(e.user) {
			continue
		}
		m.counts[e.action].add(e.taken)
		m.all.add(e.taken)
		for _, group := range s.known[i] {
			for _, token := range group {
				o := cells[cell{token, e.action}]
				if o == nil {
					o = &outcomes{}
					cells[cell{token, e.action}] = o
				}
				o.add(e.taken)
			}
		}
	}
	keys := make([]cell, 0, len(cells))
	for key := range cells {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b cell) int { return cmp.Or(cmp.Compare(a.token, b.token), cmp.Compare(a.action, b.action)) })
	m.rows = &tokenRows{offsets: make([]int64, s.space.size+1)}
	for _, key := range keys {
		m.rows.offsets[key.token+1]++
		m.rows.action = append(m.rows.action, key.action)
		m.rows.shown = append(m.rows.shown, cells[key].shown)
		m.rows.taken = append(m.rows.taken, cells[key].taken)
	}
	for t := range s.space.size {
		m.rows.offsets[t+1] += m.rows.offsets[t]
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.regress(m, use)
	s.calibrate(m, use)
	return m, ctx.Err()
}

// enough marks the actions that have so many interactions of either outcome in the weeks before the latest interaction.
func (s *actionStudy) enough(use func(u int32) bool) []uint8 {
	latest := int64(math.MinInt64)
	for u := range s.acted.Users {
		if from, to := s.acted.Offsets[u], s.acted.Offsets[u+1]; use(int32(u)) && to > from {
			latest = max(latest, s.acted.Time[to-1])
		}
	}
	counts := make([]outcomes, len(s.actions))
	for u := range s.acted.Users {
		if !use(int32(u)) {
			continue
		}
		for at := s.acted.Offsets[u]; at < s.acted.Offsets[u+1]; at++ {
			if age(latest, s.acted.Time[at]) <= actionWindow {
				counts[s.acted.Item[at]].add(s.kinds[s.acted.Type[at]] == taken)
			}
		}
	}
	scored := make([]uint8, len(counts))
	for a, o := range counts {
		if o.taken >= actionFewest && o.shown-o.taken >= actionFewest {
			scored[a] = 1
		}
	}
	return scored
}

// usualWeights are those that the ridge draws to, and that nothing but data speaks against: what a user says of an action counts as it stands.
var usualWeights = [actionFeature]float64{ownActionShare: 1}

// regress finds the weights.
func (s *actionStudy) regress(m *actionModel, use func(u int32) bool) {
	var gram [actionFeature][actionFeature]int64 // in units of 2⁻¹⁶
	var right [actionFeature]int64
	for i := range s.list {
		e := &s.list[i]
		if !use(e.user) {
			continue
		}
		x, p := m.features(e.action, &s.known[i], e.own, e.ownThis, e)
		y := -p
		if e.taken {
			y = 1 - p
		}
		var unit [actionFeature]int64
		for k := range x {
			unit[k] = int64(math.Round(x[k] * one))
		}
		target := int64(math.Round(y * one))
		for k := range unit {
			for l := range unit {
				gram[k][l] += unit[k] * unit[l] >> fixed
			}
			right[k] += unit[k] * target >> fixed
		}
	}
	var a [actionFeature][actionFeature + 1]float64
	for k := range a {
		for l := range gram[k] {
			a[k][l] = float64(gram[k][l]) / one
		}
		a[k][k] += actionRidge
		a[k][actionFeature] = float64(right[k])/one + float64(actionRidge*usualWeights[k])
	}
	for k := range a { // elimination without pivots: the matrix is positive definite
		for r := k + 1; r < actionFeature; r++ {
			f := a[r][k] / a[k][k]
			for c := k; c <= actionFeature; c++ {
				a[r][c] -= float64(f * a[k][c])
			}
		}
	}
	for k := actionFeature - 1; k >= 0; k-- {
		v := a[k][actionFeature]
		for c := k + 1; c < actionFeature; c++ {
			v -= float64(a[k][c] * m.weights[c])
		}
		m.weights[k] = v / a[k][k]
	}
}

// calibrate fills the bins.
func (s *actionStudy) calibrate(m *actionModel, use func(u int32) bool) {
	var bins [actionBins]outcomes
	for i := range s.list {
		if e := &s.list[i]; use(e.user) {
			x, p := m.features(e.action, &s.known[i], e.own, e.ownThis, e)
			bins[int(bin(m.raw(&x, p))+0.5)].add(e.taken)
		}
	}
	type pool struct {
		taken, shown float64
		bins         int
	}
	var pools []pool
	for b, o := range bins {
		middle := min(0.99, max(0.01, (float64(b)+(0.5-binsBelow))/binsPerOne)) // nothing is certain
		pools = append(pools, pool{float64(o.taken) + float64(binPrior*middle), float64(o.shown) + binPrior, 1})
		for n := len(pools); n > 1 && pools[n-2].taken/pools[n-2].shown >= pools[n-1].taken/pools[n-1].shown; n-- {
			pools[n-2] = pool{pools[n-2].taken + pools[n-1].taken, pools[n-2].shown + pools[n-1].shown, pools[n-2].bins + pools[n-1].bins}
			pools = pools[:n-1]
		}
	}
	m.calibration = m.calibration[:0]
	for _, p := range pools {
		for range p.bins {
			m.calibration = append(m.calibration, p.taken/p.shown)
		}
	}
}

// measure holds a model against users that it was not trained on: lists against the actions that they took last, and propensities against every example.
func (s *actionStudy) measure(m *actionModel, test []bool) map[string]float64 {
	e := newEvaluation(len(s.actions), false)
	recommended, hits, takers := make([]int64, len(s.actions)), make([]int64, len(s.actions)), make([]int64, len(s.actions))
	for u := range s.acted.Users {
		if !test[u] {
			continue
		}
		from, to := s.acted.Offsets[u], s.acted.Offsets[u+1]
		split := to - int64(held(int(to-from)))
		var truth truth
		for at := split; at < to; at++ {
			if a := s.acted.Item[at]; s.kinds[s.acted.Type[at]] == taken && !slices.Contains(truth.item, a) {
				truth.item, truth.gain = append(truth.item, a), append(truth.gain, 1)
			}
		}
		list := s.rank(m, int32(u), split)
		for place, a := range list {
			e.shown[a] = true
			if is := slices.Contains(truth.item, a); place < actionShown {
				recommended[a]++
				if is {
					hits[a]++
				}
			}
		}
		for _, a := range truth.item {
			takers[a]++
		}
		if len(truth.item) > 0 {
			e.add(list, truth)
		}
	}
	all := e.metrics(len(s.actions))
	return map[string]float64{
		"coverage": all["coverage"],
		"normalized_discounted_cumulative_gain_at_5":  all["normalized_discounted_cumulative_gain_at_5"],
		"normalized_discounted_cumulative_gain_at_10": all["normalized_discounted_cumulative_gain_at_10"],
		"normalized_discounted_cumulative_gain_at_25": all["normalized_discounted_cumulative_gain_at_25"],
		"precision":        meanShare(hits, recommended),
		"recall":           meanShare(hits, takers),
		"area_under_curve": s.areaUnderCurve(m, test),
	}
}

// rank lists the actions for a user as he was before his event at, best first.
func (s *actionStudy) rank(m *actionModel, u int32, at int64) []int32 {
	own, answers := outcomes{}, map[int32]outcomes{}
	for k := s.acted.Offsets[u]; k < at; k++ {
		is := s.kinds[s.acted.Type[k]] == taken
		own.add(is)
		this := answers[s.acted.Item[k]]
		this.add(is)
		answers[s.acted.Item[k]] = this
	}
	known := s.at(u, s.acted.Time[at])
	score, list := make([]float64, len(s.actions)), make([]int32, len(s.actions))
	for a := range list {
		list[a] = int32(a)
		score[a] = m.propensity(int32(a), &known, own, answers[int32(a)])
	}
	slices.SortStableFunc(list, func(a, b int32) int { return cmp.Compare(score[b], score[a]) })
	return list[:min(depth, len(list))]
}

// meanShare is the mean of part/whole over the actions that have a whole.
func meanShare(part, whole []int64) float64 {
	sum, n := 0.0, 0
	for i := range whole {
		if whole[i] > 0 {
			sum += float64(part[i]) / float64(whole[i])
			n++
		}
	}
	return round4(sum / float64(max(1, n)))
}

// areaUnderCurve is the probability that of two examples of test users the taken one has the greater propensity; ties count half. 0.5 without both kinds.
func (s *actionStudy) areaUnderCurve(m *actionModel, test []bool) float64 {
	type point struct {
		score float64
		taken bool
	}
	var points []point
	for i := range s.list {
		if e := &s.list[i]; test[e.user] {
			points = append(points, point{m.propensity(e.action, &s.known[i], e.own, e.ownThis), e.taken})
		}
	}
	slices.SortFunc(points, func(a, b point) int { return cmp.Compare(a.score, b.score) })
	var below, positives, negatives, twice int64 // twice: pairs in the right order, times two
	for i := 0; i < len(points); {
		var up, down int64
		for k := i; i < len(points) && points[i].score == points[k].score; i++ {
			if points[i].taken {
				up++
			} else {
				down++
			}
		}
		twice += up * (2*below + down)
		below += down
		positives, negatives = positives+up, negatives+down
	}
	if positives == 0 || negatives == 0 {
		return 0.5
	}
	return round4(float64(twice) / 2 / float64(positives) / float64(negatives))
}
