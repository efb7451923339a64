// Package recipe holds the recommenders: the catalogue of recipes, the trainers, and the models that answer requests.
//
// Training is a pure function of (events, items, config, seed). It reads no clock and no global state, its result does not depend on the
// number of cores, and codes are ranks of sorted ids; so a model rebuilt after an erasure has the bytes of a model that never saw the
// erased users. A model is a directory of little-endian arrays and one manifest (FORMAT.md); it carries its own training input, from which it
// serves the users' histories and from which Retrain rebuilds it.
//
// # Algorithms
//
//   - popularity: items by number of distinct users, or by number of events (popularity.go)
//   - trending: items by the growth of their events, shrunk where there are few (trending.go)
//   - related items: co-occurrence, damped by popularity (related.go)
//   - similar items: co-occurrence, and likeness of attributes where there is little of it (similar.go, content.go, text.go)
//   - user segments: the neighbourhood of items, read by columns (affinity.go)
//   - semantic similarity: words of names and descriptions (semantic.go)
//   - personalization: ridge regression of the next item on a decayed history, in closed form, beside the regression without order, a graph filter
//     and popularity (ridge.go, counts.go, spectral.go, prior.go), each with the weight that predicts the hidden ends of histories best (choose.go,
//     blend.go)
//   - items with few events, and those that come after the training: the mean of those that are most like them by their attributes (cold.go, newcomers.go, content.go)
//   - exploration: new items by lot, by relevance and the less the more they were shown (explore.go)
//   - context of a request, and attributes of users: Bayes' rule over counts of users (situation.go, taste.go)
//   - next best action: shrunk shares of taken actions, weighed by ridge regression and calibrated (actions.go)
//   - hyperparameter search: a fixed low-discrepancy sequence of candidates on the evaluation split (search.go)
//
// # Same bytes everywhere
//
// Counts and decayed sums are int64 fixed point, so that the order of addition cannot matter. Float arithmetic happens in a fixed order, and
// where a product is added to something it goes either through package vec, whose kernels give the same bits on every CPU, or through an
// explicit conversion, which forbids the compiler to fuse the two. Nothing but + - * / and math.Sqrt, which IEEE 754 rounds exactly, touches
// a stored float.
package recipe

import (
	"fmt"

	"github.com/palate-dev/palate/internal/dataset"
)

// Names of the recipes that have a trainer.
const (
	popularityCount    = "aws-popularity-count"
	personalizationV1  = "aws-user-personalization"
	personalizationV2  = "aws-user-personalization-v2"
	sims               = "aws-sims"
	similarItems       = "aws-similar-items"
	itemAffinity       = "aws-item-affinity"
	attributeAffinity  = "aws-item-attribute-affinity"
	nextBestAction     = "aws-next-best-action"
	trendingNow        = "aws-trending-now"
	semanticSimilarity = "aws-semantic-similarity"
)

// Config is everything that, besides the data, decides what a training computes. It is part of the model's hash.
type Config struct {
	Recipe              string            `json:"recipe"`
	EventType           string            `json:"eventType,omitempty"`
	EventValueThreshold *float64          `json:"eventValueThreshold,omitempty"`
	EventsConfig        []EventWeight     `json:"eventsConfig,omitempty"`
	Params              map[string]string `json:"params,omitempty"`
	Seed                uint64            `json:"seed"`
	Objective           *Optimization     `json:"objective,omitempty"`
	CountEvents         bool              `json:"countEvents,omitempty"` // popularity counts events, not distinct users
	Search              *Search           `json:"search,omitempty"`      // hyperparameters that the training chooses itself
	Excludes            string            `json:"excludes,omitempty"`    // events of this type are kept though they may not be trained on: serving leaves their items out
	Updated             bool              `json:"updated,omitempty"`     // not of a training: the model knows fresh items beside what it was trained on
}

// EventWeight is one row of a solution's eventsConfig. Only the ratios of the weights matter.
type EventWeight struct {
	Type      string   `json:"type"`
	Threshold *float64 `json:"threshold,omitempty"`
	Weight    float64  `json:"weight"`
}

// Progress is told how far a training is. It must be cheap; any goroutine may call it, but no two at the same time.
type Progress func(phase string, done, total int64)

// DataError says that the data cannot be trained on: the customer's to mend. Its text is the failureReason.
type DataError struct{ Reason string }

func (e *DataError) Error() string { return e.Reason }

func dataErrorf(format string, args ...any) error {
	return &DataError{Reason: fmt.Sprintf(format, args...)}
}

// Query is one request for recommendations.
type Query struct {
	User  string              // "" or an unknown id is an anonymous visitor
	Item  string              // recipes of related items only: what the answer is to be like
	Known bool                // whether the history that was trained on may be used; false hides it
	Live  []dataset.LiveEvent // what the user did since the training, oldest first
	N     int                 // number of results

	Influence Influence         // aws-semantic-similarity only: what counts beside similarity
	Context   map[string]string // the situation: values of context columns, which are columns of the interactions; personalization only

	Exclude  func(item string) bool // items that must not appear; nil excludes nothing
	Excluded func(code int32) bool  // the same for items of the model, by their codes (Model.Code), if that is cheaper; nil: Exclude is asked
	Allowed  []uint64               // the same once more, if it is known beforehand: a bit for each item that Excluded keeps, from the least of each word on; nil: Excluded is asked

	ExplorationWeight float64 // 0..1; aws-user-personalization only
	CutOff            float64 // age in days up to which an item is explored
	RequestSeed       uint64  // decides what is explored; 0 turns exploration off
	Fresh             *Fresh  // what can be explored, nil for what there was at the training

	Newcomers *Newcomers // what the attributes of items that came since the training say, nil for what the model has

	trace *trace // Model.Explain only
}

// Scored is one recommended item. Items of recipes without scores, and placeholders, have none.
type Scored struct {
	Item     string
	Score    float64
	HasScore bool
	Reason   string // "", "Exploration" or "Popular item"
}
