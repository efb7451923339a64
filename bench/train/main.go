// Command train measures the training of models on generated data: time, processor time, peak of resident memory and where they go; then the rebuild of the
// same model without one per cent of its users, as a data deletion does it.
//
//	go run ./bench/train                 # the data sets of docs/benchmarks.md
//	go run ./bench/train -only 'ml-20m'  # one of them; -rebuild=false leaves its rebuild out
//	go run ./bench/train -plot docs      # cost against events and against items, as training-events.svg and training-items.svg
//
// It prints a table in Markdown. CPU s is user and system time of the process over all threads; a machine with two free cores takes a little more than half of it.
// The peak includes the events themselves and, as Go collects its heap when it has doubled, some garbage.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"

	"github.com/palate-dev/palate/bench/internal/measure"
	"github.com/palate-dev/palate/internal/quota"
	"github.com/palate-dev/palate/internal/recipe"
	"github.com/palate-dev/palate/internal/recipe/vec"
	"github.com/palate-dev/palate/internal/userset"
)

// shapes are the sizes of well-known data sets, and data that is out of shape.
var shapes = []shape{
	{name: "beauty", events: 198_000, users: 22_363, items: 12_101, fewest: 5},
	{name: "gowalla", events: 810_000, users: 29_858, items: 40_981, fewest: 8},
	{name: "gowalla without times", events: 810_000, users: 29_858, items: 40_981, fewest: 8, unordered: true},
	{name: "ml-1m", events: 1_000_000, users: 6_040, items: 3_706, fewest: 20},
	{name: "ml-20m", events: 20_000_000, users: 138_000, items: 27_000, fewest: 20},
	{name: "one user", events: 100_000, users: 1, items: 20_000, fewest: 1},
	{name: "a million users", events: 1_000_000, users: 1_000_000, items: 1_000, fewest: 1},
	{name: "a million items", events: 1_000_000, users: 50_000, items: 1_000_000, fewest: 1},
	{name: "all users equal", events: 1_000_000, users: 10_000, items: 5_000, fewest: 1, equal: true},
}

func main() {
	only := flag.String("only", "", "measure only the data sets whose names match this regular expression")
	name := flag.String("recipe", "aws-user-personalization-v2", "recipe to train")
	profile := flag.String("profile", "", "write a CPU profile of each training to a file with this prefix")
	rebuild := flag.Bool("rebuild", true, "measure the rebuild as well")
	plot := flag.String("plot", "", "measure series of events and of items instead, and write their plots into this directory")
	flag.Parse()
	b := bench{recipe: *name, profile: *profile, rebuild: *rebuild}
	var err error
	if *plot != "" {
		err = b.series(*plot)
	} else {
		err = b.table(*only)
	}
	if err != nil {
		log.Fatal(err)
	}
}

type bench struct {
	recipe, profile string
	rebuild         bool
}

func (b *bench) table(only string) error {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	fmt.Printf("%s, %d cores, %s, %s kernels\n\n", b.recipe, runtime.NumCPU(), runtime.Version(), vec.Body())
	fmt.Println("| data | events | users | items | elapsed s | CPU s | peak MB | planned MB | without 1 % of users, CPU s | ratio | phases, CPU s |\n|---|---|---|---|---|---|---|---|---|---|---|")
	for _, s := range shapes {
		if !wanted.MatchString(s.name) {
			continue
		}
		r, err := b.measure(s)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Printf("| %s | %d | %d | %d | %.1f | %.1f | %.0f | %.0f | %.1f | %.2f | %s |\n",
			s.name, r.events, r.users, r.items, r.train.Wall, r.train.CPU, r.train.Peak, r.planned, r.rebuild.CPU, r.rebuild.CPU/r.train.CPU, r.phases)
	}
	return nil
}

// result is what was measured of one data set.
type result struct {
	events, users, items int64
	train, rebuild       measure.Cost
	planned              float64 // MB
	phases               string
}

// measure trains and rebuilds a model of generated data.
func (b *bench) measure(s shape) (r result, err error) {
	dir, err := os.MkdirTemp("", "bench-train-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	data := recipe.Data{Events: generate(s)}
	var gone []string
	for u := 0; u < len(data.Events.Users); u += 100 {
		gone = append(gone, data.Events.Users[u])
	}
	config := recipe.Config{Recipe: b.recipe, Seed: 1}
	planned, err := recipe.Memory(config, data.Size(), quota.Limits{})
	if err != nil {
		return r, err
	}
	r.planned = float64(planned) / (1 << 20)
	var p phases
	if b.profile != "" {
		out, err := os.Create(b.profile + strings.ReplaceAll(s.name, " ", "-") + ".pprof")
		if err != nil {
			return r, err
		}
		defer out.Close()
		if err := pprof.StartCPUProfile(out); err != nil {
			return r, err
		}
	}
	p.last = measure.CPU()
	var m *recipe.Manifest
	r.train, err = measure.Step(func() (err error) {
		m, err = recipe.Train(context.Background(), data, config, quota.Limits{}, filepath.Join(dir, "model"), p.report)
		return err
	})
	pprof.StopCPUProfile()
	if err != nil {
		return r, err
	}
	r.events, r.users, r.items, r.phases = m.Events, m.Users, m.Items, p.String()
	data = recipe.Data{}
	if !b.rebuild {
		return r, nil
	}
	r.rebuild, err = measure.Step(func() error {
		_, _, err := recipe.Retrain(context.Background(), filepath.Join(dir, "model"), userset.New(gone), filepath.Join(dir, "rebuilt"), nil)
		return err
	})
	return r, err
}

// phases adds up the processor time between reports to the phase that was reported.
type phases struct {
	mutex sync.Mutex
	last  float64
	names []string
	spent map[string]float64
}

func (p *phases) report(phase string, done, total int64) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	now := measure.CPU()
	if p.spent == nil {
		p.spent = map[string]float64{}
	}
	if !slices.Contains(p.names, phase) {
		p.names = append(p.names, phase)
	}
	p.spent[phase] += now - p.last
	p.last = now
}

func (p *phases) String() string {
	var parts []string
	slices.SortStableFunc(p.names, func(a, b string) int { return cmp.Compare(p.spent[b], p.spent[a]) })
	for _, name := range p.names {
		if p.spent[name] >= 0.05 {
			parts = append(parts, fmt.Sprintf("%s %.1f", name, p.spent[name]))
		}
	}
	return strings.Join(parts, ", ")
}
