package recipe

import (
	"maps"
	"strconv"
	"strings"
)

// ExplorationConfig is an itemExplorationConfig with its defaults filled in. Zero is no exploration.
type ExplorationConfig struct {
	Weight float64 // 0..1
	CutOff float64 // days
}

// Exploration reads an itemExplorationConfig for the entry: names in the API's spelling or in the recipe's own (explorationWeight, exploration_weight).
func (e *Entry) Exploration(given map[string]string) (c ExplorationConfig, err error) {
	if !e.Has(Exploration) {
		return c, nil
	}
	fold := func(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }
	texts := map[string]string{}
	for _, p := range e.Params {
		if p.Kind == ExplorationParam {
			texts[fold(p.Name)] = p.Default
		}
	}
	for name, text := range maps.All(given) {
		texts[fold(name)] = text
	}
	if c.Weight, err = strconv.ParseFloat(texts[fold("explorationWeight")], 64); err != nil {
		return ExplorationConfig{}, err
	}
	if c.CutOff, err = strconv.ParseFloat(texts[fold("explorationItemAgeCutOff")], 64); err != nil {
		return ExplorationConfig{}, err
	}
	return c, nil
}

// Reasons tells whether answers say why an unusual item is in them.
func (e *Entry) Reasons() bool { return e.Name == personalizationV2 }
