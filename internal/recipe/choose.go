package recipe

import (
	"context"
	"maps"

	"github.com/palate-dev/palate/internal/recipe/vec"
)

// Data differ in what a history says: whether order matters and for how long, whether a transition also speaks against its direction, whether
// popularity moves. So the trainer tries: it hides the end of every history that it may train on, fits what is left, and takes for each question the
// answer that ranks the hidden items best. The candidates are few and each is far from the next, and one replaces another only if it is better by
// more than a trifle, because the same users must not be asked too often. Like all of training this is a pure function of data and seed; a search for
// hyperparameters finds its outcome as given.

// choice is what a personalization model leaves to the data.
type choice struct {
	rate        float64 // decay per event (with order)
	back        float64 // weight of transitions against time (with order)
	ridge       float64 // factor on lambda
	damping     bool    // users of many items weigh less by event in the regression without order
	association float64 // weight of the regression without order (with order)
	spectral    float64 // weight of the graph filter
	temper      int     // eighths of the exponent by which frequent items are held back
	prior       float64 // weight of the prior's shares, beside regression weights, which are of the kind of probabilities
	recency     float64 // of the prior, the share that is counted over recent events only
}

// record puts the choice into a manifest's settings.
func (c choice) record(settings map[string]float64) {
	settings["decay"] = c.rate
	settings["back"] = c.back
	settings["association"] = c.association
	settings["spectral"] = c.spectral
	settings["damping"] = indicator(c.damping)
	settings["temper"] = float64(c.temper) / 8
	settings["prior"] = c.prior
	settings["recency"] = c.recency
}

const (
	choiceEvents    = 120_000 // about as many events at most, those of users drawn by lot, with order
	choiceSets      = 400_000 // and without, where the ridge and the filter that suit a part of the users are too strong for all of them
	choiceQuestions = 3072    // about as many hidden items, or with no order sets of them, are ranked at most
	choiceFewest    = 50      // questions below which the defaults stand
	choiceCore      = 1536    // items in the dense inverse while choosing, with order
	choiceCoreSets  = 3072    // and without, where the inverse is most of the work and what is not in it is worse off
	choiceGain      = 1.002   // what a candidate must be better by
	choicePart      = 0.006   // and more by so much for a million events or more, if it has a part more, which every training from then on has to fit
	choiceLength    = 20      // length of the lists that are compared
	associationCore = 2048    // items in the dense inverse of the association that goes beside transitions
)

// start is the choice before the data have been asked.
func (c *corpus) start() choice {
	if !c.ordered {
		return choice{rate: 1, ridge: 1, damping: true, spectral: 0.3, temper: 1, prior: 0.6}
	}
	s := choice{rate: sparseDecay, back: 0.25, ridge: 1, damping: true, association: 0.1, prior: 0.6, recency: 1.0 / 3}
	if c.baskets {
		s.rate = basketDecay
	}
	return s
}

// alternatives lists, question by question, the ways that lead away from the best so far. A way is gone as far as each step is better than the one before, and
// the next way only if the one before led nowhere: quality has one summit along each of these scales.
func (c *corpus) alternatives() []func(best choice) [][]choice {
	among := func(set func(c *choice, v float64), ways ...[]float64) func(choice) [][]choice {
		return func(best choice) [][]choice {
			var all [][]choice
			for _, values := range ways {
				var way []choice
				for _, v := range values {
					candidate := best
					set(&candidate, v)
					way = append(way, candidate)
				}
				all = append(all, way)
			}
			return all
		}
	}
	spectral := func(c *choice, v float64) { c.spectral = v }
	temper := func(c *choice, v float64) { c.temper = int(v) }
	ridge := func(c *choice, v float64) { c.ridge = v }
	if !c.ordered {
		return []func(choice) [][]choice{
			among(ridge, []float64{2.5, 6.25, 15.625}, []float64{0.4, 0.16, 0.064}),
			func(best choice) [][]choice {
				best.damping = !best.damping
				return [][]choice{{best}}
			},
			among(spectral, []float64{0, 0.1}, []float64{0.1}, []float64{1, 3}),
			among(temper, []float64{0}, []float64{2}),
		}
	}
	recency := func(c *choice, v float64) { c.recency = v }
	return []func(choice) [][]choice{
		among(recency, []float64{0}, []float64{2.0 / 3}),
		among(func(c *choice, v float64) { c.back = v }, []float64{0.5}, []float64{0}),
		func(best choice) [][]choice {
			slower, faster := best, best
			slower.rate, faster.rate = 0.5+best.rate/2, best.rate*best.rate
			return [][]choice{{slower}, {faster}}
		},
		among(func(c *choice, v float64) { c.association = v }, []float64{0}, []float64{0.3, 0.6}),
		among(spectral, []float64{0.1}),
		among(temper, []float64{1, 2}),
		among(func(c *choice, v float64) { c.prior = v }, []float64{0.3, 0.1}, []float64{1.2, 2.5}),
		among(recency, []float64{0}, []float64{1.0 / 3}, []float64{2.0 / 3}),
	}
}

// choose asks the data of the users who are not kept for the metrics.
func (in *input) choose(ctx context.Context, progress Progress) error {
	test := in.testSet()
	trainable := func(u int) bool { return in.eligible[u] && !test[u] }
	use := in.lot(trainable, choiceEvents)
	whole := in.gather(use)
	if !whole.ordered {
		use = in.lot(trainable, choiceSets)
		whole = in.gather(use)
	}
	best := whole.start()
	in.choice = &best
	keep := func(n int) int { return n - (n+3)/5 }
	if whole.ordered {
		most := choiceQuestions/max(1, whole.users()) + 1
		keep = func(n int) int { return min(n, max(1, n-max(1, min(most, n/4)))) }
	}
	j := newJudge(in.gatherFirst(use, keep))
	if len(j.questions) < choiceFewest {
		return nil
	}
	questions := whole.alternatives()
	high, err := j.quality(ctx, best, nil)
	if err != nil {
		return err
	}
	for n, ask := range questions {
		ways := ask(best)
		for _, way := range ways {
			led := false
			for _, candidate := range way {
				quality, err := j.quality(ctx, candidate, ways)
				if err != nil {
					return err
				}
				better := j.better(quality, high, needed(best, candidate, in.ev.Len()))
				if better {
					best, high, led = candidate, quality, true
				}
				j.parts.forget(best)
				if !better {
					break
				}
			}
			if led {
				break
			}
		}
		progress("trying", int64(n+1), int64(len(questions)))
	}
	return nil
}

// needed is what a candidate must be better by than the best, on so many events.
func needed(best, candidate choice, events int) float64 {
	if best.spectral == 0 && candidate.spectral > 0 {
		return choiceGain + float64(choicePart*min(1, float64(events)/1e6))
	}
	return choiceGain
}

// chosen is the outcome of choose, which does not depend on hyperparameters of the algorithm, under those of the input.
func (in *input) chosen() choice {
	c := *in.choice
	if !in.recent() {
		c.recency = 0
	}
	return c
}

// lot narrows use to as many users as have about so many events.
func (in *input) lot(use func(u int) bool, events int64) func(u int) bool {
	share := uint64(lotShare(int64(in.ev.Len()), events))
	return func(u int) bool { return use(u) && mix(draw(in.cfg.Seed, in.ev.Users[u]))%lotWhole < share }
}

// lotShare is which share of the users the lot takes that is to have about most of so many events, in units of 1/lotWhole.
func lotShare(events, most int64) int64 { return lotWhole * most / max(most, events) }

const lotWhole = 1 << 16

// judge rates choices by hidden items.
type judge struct {
	parts     parts
	shares    shares
	count     []int64
	questions []question
	rated     map[choice][]float64 // by question
}

// question asks for the items at from..to of what is hidden of a user's history, after everything before them if there is an order.
type question struct {
	user     int32
	from, to int
}

func newJudge(c *corpus) *judge {
	core := choiceCoreSets
	if c.ordered {
		core = choiceCore
	}
	j := &judge{
		parts:  parts{corpus: c, reach: reachDefault, core: core, keep: rowEntries},
		shares: c.shares(), count: make([]int64, c.items), rated: map[choice][]float64{},
	}
	for _, i := range c.item {
		j.count[i]++
	}
	var all []question
	for u, hidden := range c.hidden {
		if len(hidden) == 0 || c.offsets[u+1] == c.offsets[u] {
			continue
		}
		if !c.ordered {
			all = append(all, question{int32(u), 0, len(hidden)})
			continue
		}
		for k := range hidden {
			all = append(all, question{int32(u), k, k + 1})
		}
	}
	stride := max(1, (len(all)+choiceQuestions-1)/choiceQuestions)
	for n := 0; n < len(all); n += stride {
		j.questions = append(j.questions, all[n])
	}
	j.parts.want = j.asked()
	return j
}

// asked are the items whose rows answer the questions.
func (j *judge) asked() wanted {
	c := j.parts.corpus
	want := make(wanted, c.items)
	for _, q := range j.questions {
		from, to := c.offsets[q.user], c.offsets[q.user+1]
		if c.ordered {
			from = max(from, to-int64(j.parts.reach))
			for _, h := range c.hidden[q.user][:q.from] {
				want[h.item] = true
			}
		}
		for _, i := range c.item[from:to] {
			want[i] = true
		}
	}
	return want
}

// quality is the NDCG of the hidden items under a choice, question by question. In the same pass it rates those of the others that have the same rows: for a history only their priors
// have to be added anew.
func (j *judge) quality(ctx context.Context, chosen choice, others [][]choice) ([]float64, error) {
	if rating, ok := j.rated[chosen]; ok {
		return rating, nil
	}
	c := j.parts.corpus
	r, err := j.parts.blend(ctx, chosen, func(string, int64, int64) {})
	if err != nil {
		return nil, err
	}
	alike := []choice{chosen}
	for _, way := range others {
		for _, other := range way {
			if _, ok := j.rated[other]; !ok && other.rows() == chosen.rows() && other != chosen {
				alike = append(alike, other)
			}
		}
	}
	var rankers []*ranker
	for _, a := range alike {
		prior := j.shares.mix(a)
		rankers = append(rankers, newRanker(r, prior, byPrior(prior, j.count), j.parts.decay(a), !c.repeats, c.items))
	}
	gains := make([]float64, len(j.questions)*len(rankers))
	sums := make([][]float32, len(j.questions)) // one per worker
	err = vec.Parallel(ctx, len(j.questions), func(n, worker int) {
		q := j.questions[n]
		s := rankers[0].acquire()
		defer rankers[0].release(s)
		s.steps = s.steps[:0]
		for at := c.offsets[q.user]; at < c.offsets[q.user+1]; at++ {
			s.steps = append(s.steps, step{c.item[at], c.weight[at], c.time[at]})
		}
		if c.ordered {
			s.steps = append(s.steps, c.hidden[q.user][:q.from]...)
		}
		rankers[0].sum(s, s.steps)
		sums[worker] = s.save(sums[worker][:0])
		for k, ranker := range rankers {
			s.restore(sums[worker])
			ranker.finish(s)
			gains[k*len(j.questions)+n] = j.gain(q, ranker.top(s, choiceLength, nil))
		}
	})
	if err != nil {
		return nil, err
	}
	for k, a := range alike {
		j.rated[a] = gains[k*len(j.questions):][:len(j.questions)]
	}
	return j.rated[chosen], nil
}

// better tells whether the quality of a candidate is better than the best by a factor. Without order, where no two questions are of the same user, it also has to be
// more than the standard error of the difference, so that chance does not lead far away from the start.
func (j *judge) better(candidate, best []float64, factor float64) bool {
	old, gain, squares := 0.0, 0.0, 0.0
	for k, q := range best {
		d := candidate[k] - q
		old += q
		gain += d
		squares += float64(d * d)
	}
	if gain <= float64(old*(factor-1)) {
		return false
	}
	variance := squares - float64(gain*gain/float64(len(best))) // of the sum
	return j.parts.corpus.ordered || float64(gain*gain) > variance
}

// gain is the NDCG of an answer to a question.
func (j *judge) gain(q question, answer []ranked) float64 {
	gain, ideal := 0.0, 0.0
	for place, r := range answer {
		for _, h := range j.parts.corpus.hidden[q.user][q.from:q.to] {
			if h.item == r.item {
				gain += 1 / discount[place]
			}
		}
	}
	for place := range min(choiceLength, q.to-q.from) {
		ideal += 1 / discount[place]
	}
	return gain / ideal
}

// rows is what the rows of a choice depend on.
func (c choice) rows() choice {
	c.prior, c.recency = 0, 0
	return c
}

// parts are what a model is blended of, each fitted when it is first asked for.
type parts struct {
	corpus      *corpus
	reach, core int
	keep        int // entries of a row
	want        wanted

	main        map[regression]*rows
	association *rows
	spectral    *rows
	blended     map[choice]*rows // by choice.rows
}

// blend returns the rows of a choice.
func (p *parts) blend(ctx context.Context, chosen choice, progress Progress) (*rows, error) {
	if r := p.blended[chosen.rows()]; r != nil {
		return r, nil
	}
	c := p.corpus
	main, err := p.regression(ctx, p.describe(chosen), progress)
	if err != nil {
		return nil, err
	}
	all := []weighted{{main, 1}}
	if c.ordered && chosen.association > 0 {
		if p.association == nil {
			r := regression{damping: true, lambda: c.lambda(false, true), core: min(p.core, associationCore)}
			if p.association, err = solve(ctx, &c.sequences, r, p.keep, p.want, progress); err != nil {
				return nil, err
			}
		}
		all = append(all, weighted{p.association, float32(chosen.association)})
	}
	if chosen.spectral > 0 {
		if p.spectral == nil {
			if p.spectral, err = spectralRows(ctx, &c.sequences, p.keep, p.want, progress); err != nil {
				return nil, err
			}
		}
		all = append(all, weighted{p.spectral, float32(chosen.spectral)})
	}
	if len(all) == 1 && chosen.temper == 0 {
		return main, nil
	}
	r, err := blend(ctx, all, c.temper(chosen.temper), p.keep, p.want)
	if err != nil {
		return nil, err
	}
	if p.blended == nil {
		p.blended = map[choice]*rows{}
	}
	p.blended[chosen.rows()] = r
	return r, nil
}

// forget drops the fits that a choice does not need and that cannot be needed again soon.
func (p *parts) forget(chosen choice) {
	needed := p.describe(chosen)
	maps.DeleteFunc(p.main, func(r regression, _ *rows) bool { return r != needed })
	maps.DeleteFunc(p.blended, func(c choice, _ *rows) bool { return c != chosen.rows() })
}

// describe is the main part of a choice.
func (p *parts) describe(chosen choice) regression {
	c := p.corpus
	return regression{
		ordered: c.ordered, reach: p.reach, rate: int64(chosen.rate * one), back: int64(chosen.back * one),
		damping: chosen.damping, lambda: chosen.ridge * c.lambda(c.ordered, chosen.damping), core: p.core,
	}
}

func (p *parts) regression(ctx context.Context, r regression, progress Progress) (*rows, error) {
	if p.main[r] != nil {
		return p.main[r], nil
	}
	fitted, err := solve(ctx, &p.corpus.sequences, r, p.keep, p.want, progress)
	if err != nil {
		return nil, err
	}
	if p.main == nil {
		p.main = map[regression]*rows{}
	}
	p.main[r] = fitted
	return fitted, nil
}

// decay is the weight of the newest event of a history, of the one before, and so on.
func (p *parts) decay(chosen choice) []float32 {
	var decay []float32
	if !p.corpus.ordered {
		for range basketSize {
			decay = append(decay, 1)
		}
		return decay
	}
	for _, w := range fading(int64(chosen.rate*one), p.reach)[1:] {
		decay = append(decay, float32(float64(w)/one))
	}
	return decay
}
