package main

import (
	"fmt"
	"html"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// series measures data of growing size and plots what it costs.
func (b *bench) series(dir string) error {
	var events, items []point
	for n := 125_000; n <= 4_000_000; n *= 2 {
		events = append(events, point{x: float64(n), shape: shape{events: n, users: n / 100, items: 4_000, fewest: 10}})
	}
	for n := 1_000; n <= 64_000; n *= 2 {
		items = append(items, point{x: float64(n), shape: shape{events: 1_000_000, users: 10_000, items: n, fewest: 10}})
	}
	for _, c := range []struct {
		file, title, x string
		points         []point
	}{
		{"training-events.svg", "training with 4,000 items", "events", events},
		{"training-items.svg", "training on a million events", "items", items},
	} {
		fmt.Printf("\n| %s | elapsed s | CPU s | peak MB | without 1 %% of users, CPU s |\n|---|---|---|---|---|\n", c.x)
		for i := range c.points {
			p := &c.points[i]
			r, err := b.measure(p.shape)
			if err != nil {
				return err
			}
			p.y = [2]float64{r.train.CPU, r.train.Peak / 1024}
			fmt.Printf("| %.0f | %.1f | %.1f | %.0f | %.1f |\n", p.x, r.train.Wall, r.train.CPU, r.train.Peak, r.rebuild.CPU)
		}
		if err := os.WriteFile(filepath.Join(dir, c.file), []byte(plot(c.title, c.x, c.points)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// point is a measurement: the processor time in seconds and the peak of memory in GB at x events or items.
type point struct {
	x     float64
	y     [2]float64
	shape shape
}

// Size of a plot and of the space around its axes, in pixels.
const (
	plotWidth, plotHeight = 640, 400
	left, right           = 60, 20
	top, bottom           = 40, 50
)

// scale maps numbers to pixels by their logarithms; its ends are whole powers of ten.
type scale struct{ low, high, from, to float64 }

func newScale(values []float64, from, to float64) scale {
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		low, high = min(low, math.Floor(math.Log10(v))), max(high, math.Ceil(math.Log10(v)))
	}
	return scale{low, max(high, low+1), from, to}
}

func (s scale) at(v float64) float64 {
	return s.from + (math.Log10(v)-s.low)/(s.high-s.low)*(s.to-s.from)
}

// plot draws both measurements of the points over x as SVG, with logarithmic axes.
func plot(title, x string, points []point) string {
	var xs, ys []float64
	for _, p := range points {
		xs, ys = append(xs, p.x), append(ys, p.y[:]...)
	}
	across, up := newScale(xs, left, plotWidth-right), newScale(ys, plotHeight-bottom, top)
	var b strings.Builder
	text := func(x, y float64, anchor, s string) {
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>`+"\n", x, y, anchor, html.EscapeString(s))
	}
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", plotWidth, plotHeight)
	text(left, 20, "start", title)
	for e := across.low; e <= across.high; e++ {
		at := across.at(math.Pow(10, e))
		fmt.Fprintf(&b, `<path d="M%.1f %dV%d" stroke="#ddd"/>`+"\n", at, top, plotHeight-bottom)
		text(at, plotHeight-bottom+18, "middle", fmt.Sprintf("%g", math.Pow(10, e)))
	}
	for e := up.low; e <= up.high; e++ {
		at := up.at(math.Pow(10, e))
		fmt.Fprintf(&b, `<path d="M%d %.1fH%d" stroke="#ddd"/>`+"\n", left, at, plotWidth-right)
		text(left-6, at+4, "end", fmt.Sprintf("%g", math.Pow(10, e)))
	}
	text((left+plotWidth-right)/2, plotHeight-12, "middle", x)
	for k, line := range []struct{ name, colour string }{{"CPU seconds", "#1f77b4"}, {"peak memory, GB", "#d62728"}} {
		path := "M"
		for i, p := range points {
			if i > 0 {
				path += "L"
			}
			path += fmt.Sprintf("%.1f %.1f", across.at(p.x), up.at(p.y[k]))
			fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", across.at(p.x), up.at(p.y[k]), line.colour)
		}
		fmt.Fprintf(&b, `<path d="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", path, line.colour)
		fmt.Fprintf(&b, `<g fill="%s">`, line.colour)
		text(left+10, float64(top+16+16*k), "start", line.name)
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	return b.String()
}
