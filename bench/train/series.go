package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/palate-dev/palate/bench/internal/plot"
)

// series measures trainings on data of growing size and plots what they cost.
func (b *bench) series(dir string) error {
	b.rebuild = false
	var events, items []shape
	for n := 125_000; n <= 2_000_000; n *= 2 {
		events = append(events, shape{events: n, users: n / 100, items: 4_000, fewest: 10})
	}
	for n := 1_000; n <= 32_000; n *= 2 {
		items = append(items, shape{events: 1_000_000, users: 10_000, items: n, fewest: 10})
	}
	for _, c := range []struct {
		file, title, x string
		shapes         []shape
		of             func(shape) int
	}{
		{"training-events.svg", "training with 4,000 items", "events", events, func(s shape) int { return s.events }},
		{"training-items.svg", "training on a million events", "items", items, func(s shape) int { return s.items }},
	} {
		fmt.Printf("\n| %s | elapsed s | CPU s | peak MB |\n|---|---|---|---|\n", c.x)
		lines := []plot.Line{{Name: "CPU seconds"}, {Name: "peak memory, GB"}}
		for _, s := range c.shapes {
			r, err := b.measure(s)
			if err != nil {
				return err
			}
			for k, y := range []float64{r.train.CPU, r.train.Peak / 1024} {
				lines[k].X, lines[k].Y = append(lines[k].X, float64(c.of(s))), append(lines[k].Y, y)
			}
			fmt.Printf("| %d | %.1f | %.1f | %.0f |\n", c.of(s), r.train.Wall, r.train.CPU, r.train.Peak)
		}
		if err := os.WriteFile(filepath.Join(dir, c.file), []byte(plot.Log(c.title, c.x, lines)), 0o644); err != nil {
			return err
		}
	}
	return nil
}
