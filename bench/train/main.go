// Command train measures the training of models on generated data: time, processor time, peak of resident memory and where they go; then the rebuild of the
// same model without one per cent of its users, as a data deletion does it.
//
//	go run ./bench/train                 # the data sets of docs/benchmarks.md
//	go run ./bench/train -only 'ml-20m'  # one of them
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
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

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
	plot := flag.String("plot", "", "measure series of events and of items instead, and write their plots into this directory")
	flag.Parse()
	b := bench{recipe: *name, profile: *profile}
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
			s.name, r.events, r.users, r.items, r.train.wall, r.train.cpu, r.train.peak, r.planned, r.rebuild.cpu, r.rebuild.cpu/r.train.cpu, r.phases)
	}
	return nil
}

// result is what was measured of one data set.
type result struct {
	events, users, items int64
	train, rebuild       cost
	planned              float64 // MB
	phases               string
}

// cost is elapsed and processor time in seconds, and the peak of resident memory in MB.
type cost struct{ wall, cpu, peak float64 }

func timed(f func() error) (cost, error) {
	debug.FreeOSMemory()
	resetPeak()
	start, before := time.Now(), cpu()
	err := f()
	return cost{time.Since(start).Seconds(), cpu() - before, peak()}, err
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
	planned, err := recipe.Memory(config, data.Size())
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
	var m *recipe.Manifest
	r.train, err = timed(func() (err error) {
		m, err = recipe.Train(context.Background(), data, config, quota.Limits{}, filepath.Join(dir, "model"), p.report)
		return err
	})
	pprof.StopCPUProfile()
	if err != nil {
		return r, err
	}
	r.events, r.users, r.items, r.phases = m.Events, m.Users, m.Items, p.String()
	data = recipe.Data{}
	r.rebuild, err = timed(func() error {
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
	now := cpu()
	if p.spent == nil {
		p.spent, p.last = map[string]float64{}, now
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

// cpu is the processor time of this process in seconds.
func cpu() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

// resetPeak makes Linux forget the peak of resident memory; elsewhere the peak is that of the whole run.
func resetPeak() { _ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }

// peak is the peak of resident memory in MB, 0 if the system does not say.
func peak() float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		var kb float64
		if n, _ := fmt.Sscanf(line, "VmHWM: %f kB", &kb); n == 1 {
			return kb / 1024
		}
	}
	return 0
}
