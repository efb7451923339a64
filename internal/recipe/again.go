package recipe

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Again is what a rebuild may take over of earlier ones. The zero value takes nothing.
type Again struct {
	Resume // what an interrupted search for the same model has kept

	// Equal finds a model that has been made already of the same data by a configuration that comes to the same: of is the digest of both, equal for equal ones
	// made by one build. It returns "" if there is none, else the directory, which must not change until release is called. One that is damaged or gone is not used.
	Equal func(of string) (dir string, release func())

	// Hold waits until there is memory for a training by cfg on data of that size, at most, and keeps it until release is called. Nil: there is.
	Hold func(cfg Config, s Size) (release func(), err error)

	// Choices are shared by the rebuilds of one deletion, nil for none.
	Choices Choices
}

// Choices remembers what data have decided (choose.go), for models that are not equal but ask the same data.
type Choices map[string]choice

// contentOf is a digest of all that decides what is learnt: the input as it has been written, the configuration, with defaults in place of what it leaves
// open, and the program.
func (in *input) contentOf(m *Manifest, input []Array) (string, error) {
	bare := *m
	bare.Config.Params = maps.Clone(m.Config.Params)
	for _, p := range in.entry.Params {
		if _, given := bare.Config.Params[p.Name]; !given && p.Kind != ExplorationParam {
			if bare.Config.Params == nil {
				bare.Config.Params = map[string]string{}
			}
			bare.Config.Params[p.Name] = p.Default
		}
	}
	return digest(&bare, input)
}

// chooseOnce is choose, unless the same data has been asked by the same seed.
func (in *input) chooseOnce(ctx context.Context, again *Again, build string, input []Array, progress Progress) error {
	if again == nil || again.Choices == nil {
		return in.choose(ctx, progress)
	}
	asked := Config{EventType: in.cfg.EventType, EventValueThreshold: in.cfg.EventValueThreshold, EventsConfig: in.cfg.EventsConfig, Excludes: in.cfg.Excludes, Seed: in.cfg.Seed}
	asked.Params = map[string]string{}
	for _, name := range []string{shortestHistory, longestHistory} {
		if p, ok := in.param(name); ok {
			asked.Params[name] = p
		}
	}
	of, err := digest(&Manifest{Config: asked, Build: build}, input)
	if err != nil {
		return err
	}
	if c, ok := again.Choices[of]; ok {
		in.choice = &c
		return nil
	}
	if err := in.choose(ctx, progress); err != nil {
		return err
	}
	again.Choices[of] = *in.choice
	return nil
}

// digest names what a training starts from.
func digest(m *Manifest, input []Array) (string, error) {
	text, err := json.Marshal(struct {
		Build, Recipe string
		Config        Config
		Input         []Array
	}{m.Build, m.Recipe, m.Config, input})
	if err != nil {
		return "", fmt.Errorf("encode what a training starts from: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// takeOver completes a model, whose input is written, by what an equal one has learnt. done is false if there is none.
func (a *Again) takeOver(of string, m *Manifest, w *modelWriter) (done bool, err error) {
	if a.Equal == nil {
		return false, nil
	}
	dir, release := a.Equal(of)
	if dir == "" {
		return false, nil
	}
	defer release()
	equal, err := openMapping(dir)
	if errors.Is(err, ErrCorrupt) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer equal.close()
	m.Settings, m.Metrics, m.Tuned = equal.manifest.Settings, equal.manifest.Metrics, equal.manifest.Tuned
	for _, a := range equal.manifest.Arrays {
		if !slices.ContainsFunc(w.arrays, func(have Array) bool { return have.Name == a.Name }) {
			w.copy(a, equal.data[a.Name])
		}
	}
	return true, w.err
}
