package recipe

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/palate-dev/palate/internal/schema"
)

// Type is a recipe's recipeType: what kind of question its models answer.
type Type string

const (
	UserPersonalization Type = "USER_PERSONALIZATION"
	PersonalizedRanking Type = "PERSONALIZED_RANKING"
	PopularItems        Type = "POPULAR_ITEMS"
	RelatedItems        Type = "RELATED_ITEMS"
	PersonalizedActions Type = "PERSONALIZED_ACTIONS"
	UserSegmentation    Type = "USER_SEGMENTATION"
)

// Capability is a set of things a recipe's models or its solutions can do. It says what the recipe is defined to do; what this build does
// of it is a matter of Entry.Trainable and of the operations.
type Capability uint32

const (
	RealTime          Capability = 1 << iota // can be deployed in a campaign or recommender
	LiveEvents                               // the next request reacts to PutEvents
	AutomaticUpdates                         // admits new items every two hours without training
	Exploration                              // itemExplorationConfig is accepted
	Context                                  // contextual metadata in requests
	Impressions                              // impressions steer exploration
	Scores                                   // responses carry scores (never from recommenders)
	MetadataAlways                           // item metadata in responses without opting in
	MetadataOptIn                            // item metadata with enableMetadataWithRecommendations
	Objective                                // optimizationObjective
	EventWeights                             // eventsConfig
	UpdateTraining                           // trainingMode UPDATE
	Promotions                               // promotions in requests
	CurrentItem                              // filters may refer to CurrentItem
	HPO                                      // performHPO
	BatchInference                           // batch inference jobs
	BatchSegment                             // batch segment jobs
	Themes                                   // batch inference in mode THEME_GENERATION
	RankingInfluence                         // rankingInfluence
	IncrementalUpdate                        // performIncrementalUpdate
	AutomaticHPO                             // automatic training optimizes hyperparameters by itself
)

// Entry describes one recipe or domain use case.
type Entry struct {
	Name                  string
	Type                  Type
	Domain                string // "" for a custom recipe, else the domain whose dataset groups may use it
	Algorithm             string
	FeatureTransformation string
	Description           string
	Created               time.Time
	Updated               time.Time

	// Trainable says that this build can train it. TrainedAs then names the recipe whose trainer does the work: the entry's own name, or
	// for a use case the custom recipe it maps to; CountEvents makes popularity count events instead of distinct users.
	Trainable   bool
	TrainedAs   string
	CountEvents bool
	Fixed       map[string]string // hyperparameters of the trainer that the use case sets

	Can       Capability
	Requires  []schema.Type // datasets that must exist in the group
	Reads     []schema.Type // of Items and Users: those whose columns the trainer uses; of Actions and Action_Interactions: those that it reads at all
	EventType string        // the only event type that counts as training data, "" = all

	NeedsUser bool   // a request must name a user
	NeedsItem bool   // a request must name an item
	Excludes  string // items the given user has an event of this type with are left out ("" = nothing)

	Params []Param
}

// Has reports whether the entry can do all of c.
func (e *Entry) Has(c Capability) bool { return e.Can&c == c }

// Follows is the type of dataset whose news a model takes up without a training, where it does that.
func (e *Entry) Follows() schema.Type {
	if e.Has(IncrementalUpdate) {
		return schema.Items
	}
	return schema.Interactions
}

// SegmentsByAttributes reports whether the recipe makes segments of users for attributes of items; other recipes of segments make them for items.
func (e *Entry) SegmentsByAttributes() bool { return e.TrainedAs == attributeAffinity }

// ARN is the recipe's ARN; recipes belong to no region and no account.
func (e *Entry) ARN() string { return recipeARN + e.Name }

// AlgorithmARN is the ARN of the recipe's algorithm.
func (e *Entry) AlgorithmARN() string { return algorithmARN + e.Algorithm }

// FeatureTransformationARN is the ARN of the recipe's feature transformation.
func (e *Entry) FeatureTransformationARN() string {
	return featureTransformationARN + e.FeatureTransformation
}

const (
	recipeARN                = "arn:aws:personalize:::recipe/"
	algorithmARN             = "arn:aws:personalize:::algorithm/"
	featureTransformationARN = "arn:aws:personalize:::feature-transformation/"
)

// Find returns the recipe or use case of that name.
func Find(name string) (*Entry, bool) {
	i, ok := slices.BinarySearchFunc(Catalogue, name, func(e Entry, name string) int { return strings.Compare(e.Name, name) })
	if !ok {
		return nil, false
	}
	return &Catalogue[i], true
}

// FindARN returns the recipe or use case of that ARN.
func FindARN(arn string) (*Entry, bool) {
	name, ok := strings.CutPrefix(arn, recipeARN)
	if !ok {
		return nil, false
	}
	return Find(name)
}

// FindAlgorithm returns the recipe that owns the algorithm of that ARN.
func FindAlgorithm(arn string) (*Entry, bool) {
	i := slices.IndexFunc(Catalogue, func(e Entry) bool { return e.AlgorithmARN() == arn })
	if i < 0 {
		return nil, false
	}
	return &Catalogue[i], true
}

// FindFeatureTransformation returns every recipe that uses the feature transformation of that ARN, oldest first. Several recipes share one.
func FindFeatureTransformation(arn string) []*Entry {
	var found []*Entry
	for i := range Catalogue {
		if Catalogue[i].FeatureTransformationARN() == arn {
			found = append(found, &Catalogue[i])
		}
	}
	slices.SortStableFunc(found, func(a, b *Entry) int { return a.Created.Compare(b.Created) })
	return found
}

// Retired reports whether the ARN names one of the recipes of the first generation, which can be neither described nor used any more.
func Retired(arn string) bool {
	switch strings.TrimPrefix(arn, recipeARN) {
	case "aws-hrnn", "aws-hrnn-metadata", "aws-hrnn-coldstart":
		return true
	}
	return false
}

// ParamKind says in which map of a request a hyperparameter belongs.
type ParamKind uint8

const (
	AlgorithmParam   ParamKind = iota // algorithmHyperParameters
	FeatureParam                      // featureTransformationParameters
	ExplorationParam                  // itemExplorationConfig of campaigns, recommenders and batch jobs
)

// ParamType is the type of a hyperparameter's value; on the wire all of them are strings.
type ParamType uint8

const (
	Integer     ParamType = iota
	Continuous            // a decimal number
	Categorical           // one of Param.Values
)

// Param is one hyperparameter.
type Param struct {
	Name     string
	Kind     ParamKind
	Type     ParamType
	Default  string
	Min, Max float64  // Integer and Continuous, both included
	Values   []string // Categorical
	Tunable  bool     // hyperparameter optimization may vary it
	Group    string   // the prefix under which descriptions of HPO ranges name it: "training", "data", ""

	Automatic bool // the optimization that automatic training makes by itself may vary it
}

// Param finds a hyperparameter of that kind by its plain name or by its name with the prefix that the service itself uses in descriptions.
func (e *Entry) Param(kind ParamKind, name string) (Param, bool) {
	plain := name
	if group, rest, ok := strings.Cut(name, "."); ok && prefixes(kind, group) {
		plain = rest
	}
	i := slices.IndexFunc(e.Params, func(p Param) bool { return p.Kind == kind && (p.Name == plain || p.alias() == plain) })
	if i < 0 {
		return Param{}, false
	}
	return e.Params[i], true
}

func prefixes(kind ParamKind, group string) bool {
	switch kind {
	case AlgorithmParam:
		return group == "training" || group == "data"
	case FeatureParam:
		return group == "data" || strings.HasPrefix(group, "featur")
	}
	return false
}

// alias is the snake-case name of an exploration parameter, which older clients send: exploration_weight for explorationWeight.
func (p Param) alias() string {
	if p.Kind != ExplorationParam {
		return p.Name
	}
	var b strings.Builder
	for _, r := range p.Name {
		if 'A' <= r && r <= 'Z' {
			b.WriteByte('_')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// FullName is the name under which descriptions of HPO ranges show the parameter: "training.bptt".
func (p Param) FullName() string {
	if p.Group == "" {
		return p.Name
	}
	return p.Group + "." + p.Name
}

// Check returns the value in the spelling that trainers read, or an error that says what is allowed.
func (p Param) Check(value string) (string, error) {
	switch p.Type {
	case Categorical:
		return p.choose(value)
	case Integer:
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return "", fmt.Errorf("%s must be an integer", p.Name)
		}
		return value, p.CheckRange(float64(n), float64(n))
	default:
		f, err := strconv.ParseFloat(value, 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return "", fmt.Errorf("%s must be a number", p.Name)
		}
		return value, p.CheckRange(f, f)
	}
}

// CheckRange reports whether low and high are in order and lie within the parameter's range.
func (p Param) CheckRange(low, high float64) error {
	if low > high {
		return fmt.Errorf("the minimum of %s is greater than its maximum", p.Name)
	}
	if low < p.Min || high > p.Max {
		if math.IsInf(p.Max, 1) {
			return fmt.Errorf("%s must be at least %s", p.Name, number(p.Min))
		}
		return fmt.Errorf("%s must be between %s and %s", p.Name, number(p.Min), number(p.Max))
	}
	return nil
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// choose matches a category as it is written, or, where categories are lengths of time, by number and unit: "30 min", "3h".
func (p Param) choose(value string) (string, error) {
	if slices.Contains(p.Values, value) {
		return value, nil
	}
	for _, v := range p.Values {
		if d := span(v); d != "" && d == span(value) {
			return v, nil
		}
	}
	return "", fmt.Errorf("%s must be one of: %s", p.Name, strings.Join(p.Values, ", "))
}

// span shortens a length of time to its number and the first letter of its unit, "" if it is none.
func span(s string) string {
	s = strings.TrimSpace(s)
	digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
	unit := strings.ToLower(strings.TrimSpace(s[digits:]))
	switch unit {
	case "m", "min", "minute", "minutes", "h", "hour", "hours", "d", "day", "days":
	default:
		return ""
	}
	if digits == 0 {
		return ""
	}
	return s[:digits] + unit[:1]
}
