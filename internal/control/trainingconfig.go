package control

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/recipe"
	"github.com/palate-dev/palate/internal/schema"
)

// unsupported is the answer to what the API offers and this build does not do yet: refused, never pretended.
func unsupported(what string) error {
	return api.Errorf(api.InvalidInput, "This build of palate does not support %s.", what)
}

// checkParams checks hyperparameters of one kind and returns them under their plain names, in the spelling that trainers read.
func checkParams(e *recipe.Entry, kind recipe.ParamKind, given map[string]string) (map[string]string, error) {
	if given == nil {
		return nil, nil
	}
	checked := make(map[string]string, len(given))
	for _, name := range slices.Sorted(maps.Keys(given)) {
		p, ok := e.Param(kind, name)
		if !ok {
			return nil, api.Errorf(api.InvalidInput, "Recipe %s has no %s named %s.", e.Name, kindWord(kind), name)
		}
		if _, twice := checked[p.Name]; twice {
			return nil, api.Errorf(api.InvalidInput, "%s is given twice.", p.Name)
		}
		value, err := p.Check(given[name])
		if err != nil {
			return nil, api.Errorf(api.InvalidInput, "Invalid hyperparameter: %v.", err)
		}
		checked[p.Name] = value
	}
	return checked, checkBounds(e, kind, checked)
}

// checkBounds refuses percentiles between which nobody is: a min_... that is greater than the max_... of the same, given or by default.
func checkBounds(e *recipe.Entry, kind recipe.ParamKind, given map[string]string) error {
	for _, low := range e.Params {
		what, bounds := strings.CutPrefix(low.Name, "min_")
		high, paired := e.Param(kind, "max_"+what)
		if low.Kind != kind || !bounds || !paired {
			continue
		}
		least, err := strconv.ParseFloat(cmp.Or(given[low.Name], low.Default), 64)
		if err != nil {
			return err
		}
		most, err := strconv.ParseFloat(cmp.Or(given[high.Name], high.Default), 64)
		if err != nil {
			return err
		}
		if least > most {
			return api.Errorf(api.InvalidInput, "Invalid hyperparameter: %s must not be greater than %s, which is %v.", low.Name, high.Name, most)
		}
	}
	return nil
}

func kindWord(kind recipe.ParamKind) string {
	switch kind {
	case recipe.FeatureParam:
		return "feature transformation parameter"
	case recipe.ExplorationParam:
		return "item exploration parameter"
	}
	return "algorithm hyperparameter"
}

// checkExploration checks an itemExplorationConfig and returns it under plain names.
func checkExploration(e *recipe.Entry, given map[string]string) (map[string]string, error) {
	if len(given) > 0 && !e.Has(recipe.Exploration) {
		return nil, api.Errorf(api.InvalidInput, "itemExplorationConfig is not supported by recipe %s.", e.Name)
	}
	return checkParams(e, recipe.ExplorationParam, given)
}

// checkRankingInfluence checks to whom the influence of popularity and freshness is open. The weights are bounded by their shape.
func checkRankingInfluence(e *recipe.Entry, given map[string]float64) error {
	if len(given) > 0 && !e.Has(recipe.RankingInfluence) {
		return api.Errorf(api.InvalidInput, "rankingInfluence is not supported by recipe %s.", e.Name)
	}
	return nil
}

// checkMetadata checks that there is item metadata to answer with.
func checkMetadata(e *recipe.Entry, enabled *bool, data groupData) error {
	if !isTrue(enabled) {
		return nil
	}
	if !e.Has(recipe.MetadataOptIn) && !e.Has(recipe.MetadataAlways) {
		return api.Errorf(api.InvalidInput, "enableMetadataWithRecommendations is not supported by recipe %s.", e.Name)
	}
	if items := data.schemas[schema.Items]; items == nil || len(items.Fields) < 2 {
		return api.Errorf(api.InvalidInput, "enableMetadataWithRecommendations requires an Items dataset with a metadata column.")
	}
	return nil
}

// checkColumnMaps checks what a trainingDataConfig says by itself.
func checkColumnMaps(c *api.TrainingDataConfig) error {
	if c != nil && len(c.ExcludedDatasetColumns) > 0 && len(c.IncludedDatasetColumns) > 0 {
		return api.Errorf(api.InvalidInput, "Only one of excludedDatasetColumns and includedDatasetColumns can be given.")
	}
	return nil
}

// checkColumns checks the columns that a trainingDataConfig names against the group's schemas.
func checkColumns(c *api.TrainingDataConfig, data groupData) error {
	if c == nil {
		return nil
	}
	if err := checkColumnMap("excludedDatasetColumns", c.ExcludedDatasetColumns, data); err != nil {
		return err
	}
	for name, columns := range c.ExcludedDatasetColumns {
		if t, _ := schema.ParseType(name); t == schema.Interactions && slices.ContainsFunc(columns, data.isEventType) {
			return api.Errorf(api.InvalidInput, "EVENT_TYPE cannot be excluded from training.")
		}
	}
	return checkColumnMap("includedDatasetColumns", c.IncludedDatasetColumns, data)
}

func checkColumnMap(member string, given map[string][]string, data groupData) error {
	var seen []schema.Type
	for _, name := range slices.Sorted(maps.Keys(given)) {
		t, ok := schema.ParseType(name)
		if !ok {
			return api.Errorf(api.InvalidInput, "%s: %s is not a type of dataset.", member, name)
		}
		if slices.Contains(seen, t) {
			return api.Errorf(api.InvalidInput, "%s: %s is given twice.", member, t)
		}
		seen = append(seen, t)
		if data.schemas[t] == nil {
			return api.Errorf(api.InvalidInput, "%s: Dataset group does not have a dataset of type %s.", member, t)
		}
		for _, column := range given[name] {
			if !data.has(t, column) {
				return api.Errorf(api.InvalidInput, "%s: dataset %s has no column %s.", member, t, column)
			}
		}
	}
	return nil
}

// checkEventsConfig checks what an eventsConfig says by itself: types named once, and at least one that counts.
func checkEventsConfig(c *api.EventsConfig) error {
	if c == nil || len(c.EventParametersList) == 0 {
		return nil
	}
	var seen []string
	counts := false
	for _, p := range c.EventParametersList {
		if p.EventType == "" {
			return api.Errorf(api.InvalidInput, "eventsConfig: every entry needs an eventType.")
		}
		if slices.ContainsFunc(seen, func(s string) bool { return strings.EqualFold(s, p.EventType) }) {
			return api.Errorf(api.InvalidInput, "eventsConfig: event type %s is given twice.", p.EventType)
		}
		seen = append(seen, p.EventType)
		counts = counts || p.Weight == nil || *p.Weight > 0
	}
	if !counts {
		return api.Errorf(api.InvalidInput, "eventsConfig: at least one event type needs a weight greater than 0.")
	}
	return nil
}

// checkEventsConfigUse checks an eventsConfig against the recipe and the group's Interactions dataset.
func checkEventsConfigUse(c *api.EventsConfig, e *recipe.Entry, data groupData) error {
	if c == nil || len(c.EventParametersList) == 0 {
		return nil
	}
	if !e.Has(recipe.EventWeights) {
		return api.Errorf(api.InvalidInput, "eventsConfig is not supported by recipe %s.", e.Name)
	}
	if !data.has(schema.Interactions, "EVENT_TYPE") {
		return api.Errorf(api.InvalidInput, "eventsConfig requires an EVENT_TYPE column in the Interactions dataset.")
	}
	thresholds := slices.ContainsFunc(c.EventParametersList, func(p api.EventParameters) bool { return p.EventValueThreshold != nil })
	if thresholds && !data.has(schema.Interactions, "EVENT_VALUE") {
		return api.Errorf(api.InvalidInput, "eventValueThreshold requires an EVENT_VALUE column in the Interactions dataset.")
	}
	return nil
}

var scheduleForm = regexp.MustCompile(`^rate\((\d+) days?\)$`)

// defaultTrainingPeriod is the period of automatic training when a solution does not say.
const defaultTrainingPeriod = 7 * 24 * time.Hour

// trainingPeriod reads a schedulingExpression.
func trainingPeriod(c *api.AutoTrainingConfig) (time.Duration, error) {
	if c == nil || c.SchedulingExpression == "" {
		return defaultTrainingPeriod, nil
	}
	m := scheduleForm.FindStringSubmatch(c.SchedulingExpression)
	if m == nil {
		return 0, api.Errorf(api.InvalidInput, "schedulingExpression must have the form rate(N days).")
	}
	days, err := strconv.Atoi(m[1])
	if err != nil || days < 1 || days > 30 {
		return 0, api.Errorf(api.InvalidInput, "schedulingExpression must name a rate from 1 to 30 days.")
	}
	return time.Duration(days) * 24 * time.Hour, nil
}

// checkAutoTraining checks that a schedule is readable and given only where automatic training is on.
func checkAutoTraining(on bool, c *api.AutoTrainingConfig) error {
	if c == nil {
		return nil
	}
	if _, err := trainingPeriod(c); err != nil {
		return err
	}
	if !on && c.SchedulingExpression != "" {
		return api.Errorf(api.InvalidInput, "autoTrainingConfig can only be given when performAutoTraining is true.")
	}
	return nil
}

const (
	maxHPOJobs         = 40
	maxParallelHPOJobs = 10
)

// checkHPOConfig checks what an hpoConfig says by itself.
func checkHPOConfig(c *api.HPOConfig) error {
	if c == nil {
		return nil
	}
	if c.HPOObjective != nil {
		return api.Errorf(api.InvalidInput, "hpoObjective is not supported.")
	}
	if r := c.HPOResourceConfig; r != nil {
		if err := checkCount("maxNumberOfTrainingJobs", r.MaxNumberOfTrainingJobs, maxHPOJobs); err != nil {
			return err
		}
		if err := checkCount("maxParallelTrainingJobs", r.MaxParallelTrainingJobs, maxParallelHPOJobs); err != nil {
			return err
		}
	}
	if r := c.AlgorithmHyperParameterRanges; r != nil {
		if r.IntegerHyperParameterRanges == nil || r.ContinuousHyperParameterRanges == nil || r.CategoricalHyperParameterRanges == nil {
			return api.Errorf(api.InvalidInput, "algorithmHyperParameterRanges must have integerHyperParameterRanges, "+
				"continuousHyperParameterRanges and categoricalHyperParameterRanges; each may be empty.")
		}
	}
	return nil
}

func checkCount(member, value string, most int) error {
	if value == "" {
		return nil
	}
	if n, err := strconv.Atoi(value); err != nil || n < 1 || n > most {
		return api.Errorf(api.InvalidInput, "%s must be an integer between 1 and %d.", member, most)
	}
	return nil
}

// checkHPO checks the use of hyperparameter optimization: that the recipe has something to tune, and that every range lies within the recipe's own.
func checkHPO(e *recipe.Entry, c *api.HPOConfig) error {
	if !e.Has(recipe.HPO) {
		return api.Errorf(api.InvalidInput, "Hyperparameter optimization is not supported by recipe %s.", e.Name)
	}
	if c == nil || c.AlgorithmHyperParameterRanges == nil {
		return nil
	}
	if err := checkRangeNames(e, c.AlgorithmHyperParameterRanges); err != nil {
		return err
	}
	for _, r := range c.AlgorithmHyperParameterRanges.IntegerHyperParameterRanges {
		if err := checkRange(e, recipe.Integer, r.Name, floatOf(r.MinValue), floatOf(r.MaxValue)); err != nil {
			return err
		}
	}
	for _, r := range c.AlgorithmHyperParameterRanges.ContinuousHyperParameterRanges {
		if err := checkRange(e, recipe.Continuous, r.Name, r.MinValue, r.MaxValue); err != nil {
			return err
		}
	}
	for _, r := range c.AlgorithmHyperParameterRanges.CategoricalHyperParameterRanges {
		p, err := tunable(e, recipe.Categorical, r.Name)
		if err != nil {
			return err
		}
		if len(r.Values) == 0 {
			return api.Errorf(api.InvalidInput, "The range of %s needs values.", p.Name)
		}
		for _, v := range r.Values {
			if _, err := p.Check(v); err != nil {
				return api.Errorf(api.InvalidInput, "Invalid hyperparameter range: %v.", err)
			}
		}
	}
	return nil
}

// checkRangeNames checks that no hyperparameter has two ranges.
func checkRangeNames(e *recipe.Entry, r *api.HyperParameterRanges) error {
	var seen []string
	for _, name := range slices.Concat(
		rangeNames(r.IntegerHyperParameterRanges, func(r api.IntegerHyperParameterRange) string { return r.Name }),
		rangeNames(r.ContinuousHyperParameterRanges, func(r api.ContinuousHyperParameterRange) string { return r.Name }),
		rangeNames(r.CategoricalHyperParameterRanges, func(r api.CategoricalHyperParameterRange) string { return r.Name }),
	) {
		if p, ok := e.Param(recipe.AlgorithmParam, name); ok {
			name = p.Name
		}
		if slices.Contains(seen, name) {
			return api.Errorf(api.InvalidInput, "Invalid hyperparameter range: %s is given twice.", name)
		}
		seen = append(seen, name)
	}
	return nil
}

func rangeNames[T any](ranges []T, name func(T) string) []string {
	var names []string
	for _, r := range ranges {
		names = append(names, name(r))
	}
	return names
}

// fullNames returns the configuration with the names of ranges as descriptions show them: bptt as training.bptt.
func fullNames(c *api.HPOConfig, e *recipe.Entry) *api.HPOConfig {
	if c == nil || c.AlgorithmHyperParameterRanges == nil {
		return c
	}
	full := func(name string) string {
		p, ok := e.Param(recipe.AlgorithmParam, name)
		if !ok {
			return name // checkHPO has refused it
		}
		return p.FullName()
	}
	named, r := *c, *c.AlgorithmHyperParameterRanges
	r.IntegerHyperParameterRanges = slices.Clone(r.IntegerHyperParameterRanges)
	for i := range r.IntegerHyperParameterRanges {
		r.IntegerHyperParameterRanges[i].Name = full(r.IntegerHyperParameterRanges[i].Name)
	}
	r.ContinuousHyperParameterRanges = slices.Clone(r.ContinuousHyperParameterRanges)
	for i := range r.ContinuousHyperParameterRanges {
		r.ContinuousHyperParameterRanges[i].Name = full(r.ContinuousHyperParameterRanges[i].Name)
	}
	r.CategoricalHyperParameterRanges = slices.Clone(r.CategoricalHyperParameterRanges)
	for i := range r.CategoricalHyperParameterRanges {
		r.CategoricalHyperParameterRanges[i].Name = full(r.CategoricalHyperParameterRanges[i].Name)
	}
	named.AlgorithmHyperParameterRanges = &r
	return &named
}

// checkAutoML checks that AutoML is left something to choose: e, or a recipe of the first generation, for which e stands.
func checkAutoML(c *api.SolutionConfig, e *recipe.Entry) error {
	if c == nil || c.AutoMLConfig == nil {
		return nil
	}
	if m := c.AutoMLConfig.MetricName; m != "" && !recipe.Measures(m) {
		return api.Errorf(api.InvalidInput, "autoMLConfig: %s is not a metric of recipe %s.", m, e.Name)
	}
	for _, arn := range c.AutoMLConfig.RecipeList {
		if arn != e.ARN() && !recipe.Retired(arn) {
			return api.Errorf(api.InvalidInput, "autoMLConfig: recipe %s cannot be chosen by AutoML.", arn)
		}
	}
	return nil
}

// autoMLOnly is what AutoML uses of a configuration.
func autoMLOnly(c *api.SolutionConfig) *api.SolutionConfig {
	if c == nil || c.AutoMLConfig == nil {
		return nil
	}
	return &api.SolutionConfig{AutoMLConfig: c.AutoMLConfig}
}

func checkRange(e *recipe.Entry, t recipe.ParamType, name string, low, high *float64) error {
	p, err := tunable(e, t, name)
	if err != nil {
		return err
	}
	if low == nil || high == nil {
		return api.Errorf(api.InvalidInput, "The range of %s needs minValue and maxValue.", p.Name)
	}
	if err := p.CheckRange(*low, *high); err != nil {
		return api.Errorf(api.InvalidInput, "Invalid hyperparameter range: %v.", err)
	}
	return nil
}

func tunable(e *recipe.Entry, t recipe.ParamType, name string) (recipe.Param, error) {
	p, ok := e.Param(recipe.AlgorithmParam, name)
	if !ok || !p.Tunable || p.Type != t {
		return recipe.Param{}, api.Errorf(api.InvalidInput, "Recipe %s has no tunable hyperparameter %s of that type.", e.Name, name)
	}
	return p, nil
}

func floatOf(n *int) *float64 {
	if n == nil {
		return nil
	}
	return new(float64(*n))
}

func isTrue(b *bool) bool { return b != nil && *b }
