package recipe

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/palate-dev/palate/internal/dataset"
)

// Next best action: the probability that a user takes an action within the optimization period.
//
// Every time that an action was shown to a user is an example: taken if a TAKEN of the same user and action follows within the period. A TAKEN that nothing
// preceded is an example, too. With p the action's share of taken examples, shrunk towards that of all actions, the score of an action for a user is
//
//	s = p + Σ w_k x_k
//
// where each feature x_k says by how much some share of taken examples exceeds p: of the user's own answers to all actions and to this one, and the mean over the
// items that he had to do with last, their attributes and his own, of the share among examples with the same item or attribute. Shares are shrunk towards p as
// by a Beta prior of a fixed weight. The weights w are a ridge regression of taken-p on x over all examples, in closed form, drawn to usualWeights, in which an example's own outcome is
// left out of the shares in its features. Last, s is calibrated: the examples are sorted into bins of s and the share of each bin is made monotone (pool adjacent
// violators, Ayer et al. 1955), between whose middles the probability is linear.
//
// All counts and the sums of the regression are integers, so that their order cannot matter.

const (
	actionWindow  = 6 * 7 * daySeconds // before the latest interaction with an action: what decides whether an action has a score
	actionFewest  = 50                 // interactions of either outcome that a score takes
	actionItems   = 10                 // latest items of a user that count
	actionBins    = 48                 // of the calibration, each 1/binsPerOne wide, from binsBelow of them below 0 on: regression may leave [0, 1]
	binsPerOne    = 32
	binsBelow     = 8
	sharePrior    = 20.0 // examples that the prior of a share weighs,
	answerPrior   = 3.0  // of one of the user's own answers
	binPrior      = 16.0 // and of a bin's
	actionRidge   = 1.0
	actionShown   = 5 // length of the lists of which precision and recall are measured: the default of requests
	actionFeature = 5 // number of features

	ownShare, ownActionShare, itemShare, itemLevelShare, userLevelShare = 0, 1, 2, 3, 4
)

// reaction is what an event with an action says.
type reaction uint8

const (
	viewed reaction = iota
	notTaken
	taken
)

// reactionOf reads an event type in any of its spellings. Unknown ones, which only bulk data can have, say no more than that the action was seen.
func reactionOf(kind string) reaction {
	switch strings.ToLower(strings.NewReplacer(" ", "", "_", "", "-", "").Replace(kind)) {
	case "taken":
		return taken
	case "nottaken":
		return notTaken
	}
	return viewed
}

// outcomes counts examples.
type outcomes struct{ shown, taken int64 }

func (o *outcomes) add(is bool) {
	o.shown++
	if is {
		o.taken++
	}
}

// over is by how much the share of taken exceeds p, shrunk towards p by a prior of that weight.
func (o outcomes) over(p, prior float64) float64 {
	return (float64(o.taken)+float64(prior*p))/(float64(o.shown)+prior) - p
}

// example is one time that an action was shown.
type example struct {
	user, action int32
	time         int64
	taken        bool
	own, ownThis outcomes // the user's answers before
}

// examples appends those of one user of acted.
func examples(list []example, acted *dataset.Events, kinds []reaction, u int, period int64) []example {
	type open struct{ at []int }
	pending, answers, all := map[int32]*open{}, map[int32]outcomes{}, outcomes{}
	for at := acted.Offsets[u]; at < acted.Offsets[u+1]; at++ {
		a, now, is := acted.Item[at], acted.Time[at], kinds[acted.Type[at]] == taken
		o := pending[a]
		if o == nil {
			o = &open{}
			pending[a] = o
		}
		answered := false
		if is {
			for _, e := range o.at {
				if age(now, list[e].time) <= period {
					list[e].taken, answered = true, true
				}
			}
			o.at = o.at[:0]
		}
		if !answered {
			if !is {
				o.at = append(o.at, len(list))
			}
			list = append(list, example{user: int32(u), action: a, time: now, taken: is, own: all, ownThis: answers[a]})
		}
		all.add(is)
		this := answers[a]
		this.add(is)
		answers[a] = this
	}
	return list
}

// tokens are what is known of a user at some time, by group: codes of items, of levels of items, of levels of users, each ascending and once.
type tokens [3][]int32

// actionSpace codes tokens.
type actionSpace struct {
	itemRow                []int32 // the row of an item's attributes, -1 for none
	itemRows, userRows     *Attributes
	itemLevels, userLevels []int32 // code of the first level of each column, -1 for columns that are not levels
	size                   int32
}

func newActionSpace(items int, itemRow []int32, itemRows, userRows *Attributes) *actionSpace {
	s := &actionSpace{itemRow: itemRow, itemRows: itemRows, userRows: userRows, size: int32(items)}
	code := func(a *Attributes) (first []int32) {
		if a == nil {
			return nil
		}
		for i := range a.Columns {
			if a.Columns[i].Kind != Levels {
				first = append(first, -1)
				continue
			}
			first = append(first, s.size)
			s.size += int32(len(a.Columns[i].Level))
		}
		return first
	}
	s.itemLevels, s.userLevels = code(itemRows), code(userRows)
	return s
}

// of codes the latest items, newest last, and the attributes of a user, whose row is -1 if there are none.
func (s *actionSpace) of(items []int32, userRow int32) (t tokens) {
	for _, i := range slices.Backward(items) {
		if len(t[0]) == actionItems {
			break
		}
		if !slices.Contains(t[0], i) {
			t[0] = append(t[0], i)
		}
	}
	level := func(g int, a *Attributes, first []int32, row int32) {
		if a == nil || row < 0 {
			return
		}
		for c, from := range first {
			if from >= 0 {
				for _, l := range a.Columns[c].Of(int(row)) {
					t[g] = append(t[g], from+l)
				}
			}
		}
	}
	for _, i := range t[0] {
		if int(i) < len(s.itemRow) {
			level(1, s.itemRows, s.itemLevels, s.itemRow[i])
		}
	}
	level(2, s.userRows, s.userLevels, userRow)
	for g := range t {
		slices.Sort(t[g])
		t[g] = slices.Compact(t[g])
	}
	return t
}

// tokenRows are the outcomes of examples by token and action: the rows of tokens, actions ascending.
type tokenRows struct {
	offsets      []int64
	action       []int32
	shown, taken []int64
}

func (r *tokenRows) of(token, action int32) outcomes {
	from, to := r.offsets[token], r.offsets[token+1]
	if at, ok := slices.BinarySearch(r.action[from:to], action); ok {
		return outcomes{r.shown[from+int64(at)], r.taken[from+int64(at)]}
	}
	return outcomes{}
}

// actionModel is what scores actions.
type actionModel struct {
	counts      []outcomes // by action, of examples
	all         outcomes
	scored      []uint8 // 1 for an action with enough interactions of both outcomes
	rows        *tokenRows
	weights     []float64
	calibration []float64 // by bin
}

// share is the action's share of taken examples, shrunk towards that of all.
func (m *actionModel) share(o, all outcomes) float64 {
	everywhere := (float64(all.taken) + 1) / (float64(all.shown) + 2)
	return everywhere + o.over(everywhere, sharePrior)
}

// features of one action for a user. left is the example whose outcome must not show in them, nil outside of the training.
func (m *actionModel) features(a int32, t *tokens, own, ownThis outcomes, left *example) (x [actionFeature]float64, p float64) {
	leave := func(o outcomes) outcomes {
		if left != nil && o.shown > 0 {
			o.shown--
			if left.taken {
				o.taken--
			}
		}
		return o
	}
	p = m.share(leave(m.counts[a]), leave(m.all))
	x[ownShare], x[ownActionShare] = own.over(p, answerPrior), ownThis.over(p, answerPrior)
	for g, list := range t {
		if len(list) == 0 {
			continue
		}
		sum := 0.0
		for _, token := range list {
			sum += leave(m.rows.of(token, a)).over(p, sharePrior)
		}
		x[itemShare+g] = sum / float64(len(list))
	}
	return x, p
}

// raw is the score before its calibration, which may lie beyond 0 and 1.
func (m *actionModel) raw(x *[actionFeature]float64, p float64) float64 {
	for k, w := range m.weights {
		p += float64(w * x[k])
	}
	return p
}

// bin is the place of a score among the bins, in bins from the middle of the first one.
func bin(s float64) float64 {
	return min(actionBins-1, max(0, float64(s*binsPerOne)+(binsBelow-0.5)))
}

// propensity is the probability that the action is taken, 0 without a score.
func (m *actionModel) propensity(a int32, t *tokens, own, ownThis outcomes) float64 {
	if m.scored[a] == 0 {
		return 0
	}
	x, p := m.features(a, t, own, ownThis, nil)
	return m.calibrated(m.raw(&x, p))
}

// calibrated is linear between the middles of the bins and flat beyond the outer ones.
func (m *actionModel) calibrated(s float64) float64 {
	at := bin(s)
	low := min(actionBins-2, int(at))
	part := at - float64(low)
	return m.calibration[low] + float64(part*(m.calibration[low+1]-m.calibration[low]))
}

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

// testDraws marks the test users as testSet does.
func testDraws(seed uint64, users []string) []bool {
	test, lowest, least, found := make([]bool, len(users)), 0, uint64(math.MaxUint64), false
	for u, id := range users {
		d := draw(seed, id)
		test[u] = d%testUsers == 0
		found = found || test[u]
		if d < least {
			lowest, least = u, d
		}
	}
	if !found && len(users) > 0 {
		test[lowest] = true
	}
	return test
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

// servedActions is an open next-best-action model.
type servedActions struct {
	actionModel
	ids    []string
	listed []uint8 // 1 for the actions of the Actions dataset
	index  map[string]int32
	actors stringTable
	acted  dataset.Events // Users is left empty; Item are indices into ids
	kinds  []reaction
	space  *actionSpace
}

func (m *Model) loadActions() error {
	var errs [17]error
	s := &servedActions{index: map[string]int32{}}
	var ids, kinds stringTable
	ids, errs[0] = table(m.mapping, "action")
	kinds, errs[1] = table(m.mapping, "reaction")
	s.actors, errs[2] = table(m.mapping, "actor")
	s.acted.Offsets, errs[3] = array[int64](m.mapping, "acted.offsets")
	s.acted.Item, errs[4] = array[int32](m.mapping, "acted.action")
	s.acted.Type, errs[5] = array[uint16](m.mapping, "acted.type")
	s.acted.Time, errs[6] = array[int64](m.mapping, "acted.time")
	shown, err := array[int64](m.mapping, "action.shown")
	errs[7] = err
	taken, err := array[int64](m.mapping, "action.taken")
	errs[8] = err
	s.scored, errs[9] = array[uint8](m.mapping, "action.scored")
	s.rows = &tokenRows{}
	s.rows.offsets, errs[10] = array[int64](m.mapping, "token.offsets")
	s.rows.action, errs[11] = array[int32](m.mapping, "token.action")
	s.rows.shown, errs[12] = array[int64](m.mapping, "token.shown")
	s.rows.taken, errs[13] = array[int64](m.mapping, "token.taken")
	s.weights, errs[14] = array[float64](m.mapping, "weight")
	s.calibration, errs[15] = array[float64](m.mapping, "calibration")
	s.listed, errs[16] = array[uint8](m.mapping, "action.listed")
	if err := cmp.Or(errs[:]...); err != nil {
		return err
	}
	if m.count, err = array[int64](m.mapping, "item.count"); err != nil {
		return err
	}
	for i := range ids.len() {
		s.ids = append(s.ids, strings.Clone(ids.at(i)))
		s.index[s.ids[i]] = int32(i)
		s.counts = append(s.counts, outcomes{shown[i], taken[i]})
		s.all = outcomes{s.all.shown + shown[i], s.all.taken + taken[i]}
	}
	for i := range kinds.len() {
		s.acted.Types = append(s.acted.Types, strings.Clone(kinds.at(i)))
		s.kinds = append(s.kinds, reactionOf(kinds.at(i)))
	}
	row := make([]int32, len(m.items))
	next := int32(0)
	for i, shown := range m.shown {
		row[i] = -1
		if shown == 1 {
			row[i] = next
			next++
		}
	}
	s.space = newActionSpace(len(m.items), row, m.itemRows, m.userRows)
	m.acts = s
	return nil
}

// Acted is what the user of q did with actions, oldest first: up to the training, and since.
func (m *Model) Acted(q *ActionQuery) []dataset.LiveEvent {
	var events []dataset.LiveEvent
	s := m.acts
	if u, ok := s.actors.find(q.User); ok && q.Acting {
		for at := s.acted.Offsets[u]; at < s.acted.Offsets[u+1]; at++ {
			events = append(events, dataset.LiveEvent{Time: s.acted.Time[at], Item: s.ids[s.acted.Item[at]], Type: s.acted.Types[s.acted.Type[at]]})
		}
	}
	return append(events, q.Acted...)
}

// ActionQuery is one request for actions: Query, and what the user did with actions.
type ActionQuery struct {
	Query
	Acting bool                // whether what he did with actions up to the training may be used
	Acted  []dataset.LiveEvent // what he did with actions since
}

// Propensities returns the probability, rounded to seven decimals, that the user takes each of the actions; 0 for one that the model cannot tell it of. The model
// must be one of next-best-action.
func (m *Model) Propensities(q *ActionQuery, actions []string) []float64 {
	s := m.acts
	own, answers := outcomes{}, map[string]outcomes{}
	for _, e := range m.Acted(q) {
		is := reactionOf(e.Type) == taken
		own.add(is)
		this := answers[e.Item]
		this.add(is)
		answers[e.Item] = this
	}
	var items []int32
	userRow := int32(-1)
	if q.Known {
		if u, ok := m.users.find(q.User); ok {
			items = append(items, m.ev.Item[m.ev.Offsets[u]:m.ev.Offsets[u+1]]...)
		}
		if m.userRows != nil {
			if r, ok := m.profiles.find(q.User); ok {
				userRow = int32(r)
			}
		}
	}
	for _, e := range q.Live {
		if i, ok := slices.BinarySearch(m.items, e.Item); ok {
			items = append(items, int32(i))
		}
	}
	known := s.space.of(items, userRow)
	out := make([]float64, len(actions))
	for k, id := range actions {
		if a, ok := s.index[id]; ok {
			out[k] = round7(s.propensity(a, &known, own, answers[id]))
		}
	}
	return out
}
