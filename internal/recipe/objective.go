package recipe

import (
	"fmt"
	"math"
)

// An objective is what a shop wants besides relevance: a numeric attribute of items, its price or margin, of which answers shall have more. An item is ranked by
//
//	relevance^(1−w) value^w,  w = 0, ¼, ½, ¾ for the sensitivities OFF, LOW, MEDIUM, HIGH
//
// where relevance are the odds of the item (ranker.odd) and value is the attribute scaled to leastValue .. 1 over all items that have it. As w is a multiple of
// ¼, the power is two square roots of a product, which has the same bits on every machine.

// Optimization is the part of a configuration that asks for one.
type Optimization struct {
	Attribute   string `json:"attribute"`   // a numeric column of the Items dataset
	Sensitivity int    `json:"sensitivity"` // 4w
}

// NewOptimization reads an optimizationObjective.
func NewOptimization(attribute, sensitivity string) (*Optimization, error) {
	level, ok := map[string]int{"": 0, "OFF": 0, "LOW": 1, "MEDIUM": 2, "HIGH": 3}[sensitivity]
	if !ok {
		return nil, fmt.Errorf("objectiveSensitivity %q is not known", sensitivity)
	}
	return &Optimization{attribute, level}, nil
}

// leastValue is the value of the item with the least attribute, and of those without: small, but not so small that relevance counts for nothing.
const leastValue = 0.01

// goal is an objective with the values of items.
type goal struct {
	value       []float64 // by item
	least, most float64   // of the attribute
	sensitivity int
}

// newGoal reads the values from the rows of the Items dataset; row is that of each item, -1 for none. Without an objective it is nil.
func newGoal(o *Optimization, rows *Attributes, row []int32) *goal {
	if o == nil {
		return nil
	}
	g := &goal{value: make([]float64, len(row)), sensitivity: o.Sensitivity}
	var numbers []float64
	if c := rows.column(o.Attribute); c != nil {
		numbers = c.Number
	}
	g.least, g.most = math.Inf(1), math.Inf(-1)
	for _, n := range numbers {
		if finite(n) {
			g.least, g.most = min(g.least, n), max(g.most, n)
		}
	}
	for i, r := range row {
		g.value[i] = leastValue
		if r >= 0 && int(r) < len(numbers) {
			g.value[i] = g.worth(numbers[r])
		}
	}
	return g
}

// worth is the value of an attribute; numbers beyond those that there were at the training are worth no more than these.
func (g *goal) worth(n float64) float64 {
	if !finite(n) || !(g.most > g.least) {
		return leastValue
	}
	n = max(g.least, min(g.most, n))
	place := (n/2 - g.least/2) / (g.most/2 - g.least/2) // halves: the difference of two numbers may be infinite
	return leastValue + float64(place*(1-leastValue))
}

// goal is that of the configuration.
func (in *input) goal() *goal { return newGoal(in.cfg.Objective, in.itemRows, in.itemRow()) }

// weigh turns the odds of an item with a value into what it is ranked by.
func (g *goal) weigh(value, odds float64) float64 {
	product := 1.0
	for k := range 4 {
		if k < g.sensitivity {
			product = float64(product * value)
		} else {
			product = float64(product * odds)
		}
	}
	return math.Sqrt(math.Sqrt(product))
}

// at is the place of an item in the order of a request, after relevance has filled s: by its relevance, or by what the goal makes of its odds.
func (k *ranker) at(s *scratch, item int32) ranked {
	r := ranked{item, k.of(s, item)}
	if k.goal != nil {
		r.relevance = float32(k.goal.weigh(k.worth(s, item), k.odd(r.relevance)))
	}
	return r
}

// worth is the value of an item by the goal.
func (k *ranker) worth(s *scratch, item int32) float64 {
	if at := int(item) - len(k.prior); at >= 0 {
		return k.goal.worth(s.newcomers.aim[at])
	}
	return k.goal.value[item]
}

// share is what an item has of the scores, in units of total.
func (k *ranker) share(r ranked) float64 {
	if k.goal != nil {
		return float64(r.relevance)
	}
	return k.odd(r.relevance)
}

// topByGoal is top where there is a goal: it looks at all items with scores.
func (k *ranker) topByGoal(s *scratch, n int, exclude func(item int32) bool) {
	s.keys = s.keys[:0]
	for item := range k.withScores(s) {
		s.keys = append(s.keys, k.at(s, item).key())
	}
	s.take(n, exclude)
}

// totalByGoal is total where there is a goal.
func (k *ranker) totalByGoal(s *scratch) float64 {
	sum := 0.0
	for item := range k.withScores(s) {
		sum += k.share(k.at(s, item))
	}
	return sum
}

// withScores yields the items that have a score: those that are touched, and the first by prior.
func (k *ranker) withScores(s *scratch) func(yield func(int32) bool) {
	return func(yield func(int32) bool) {
		for i := range s.touched {
			if !yield(i) {
				return
			}
		}
		for _, i := range k.order[:k.scored] {
			if !s.has(i) && !yield(i) {
				return
			}
		}
	}
}

// rewards measures how much of the reward in an answer stands at its beginning: for each test user the value of what the user then took from the first 25
// items, over the value of what the user took from all that were recommended. Users who took none of them do not count.
type rewards struct {
	sum   float64
	users int
}

// recommended is how many items count as recommended, the most that a request can ask for.
const recommended = 500

func (r *rewards) add(g *goal, list []int32, t truth) {
	var first, all float64
	for place, i := range list {
		for _, taken := range t.item {
			if taken == i {
				all += g.value[i]
				if place < depth {
					first += g.value[i]
				}
			}
		}
	}
	if all > 0 {
		r.sum += first / all
		r.users++
	}
}

func (r *rewards) mean() float64 { return round4(r.sum / float64(max(1, r.users))) }
