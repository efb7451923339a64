// Package plot draws measurements as SVG.
package plot

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// Line is one kind of measurement: what was measured at each X, all above zero.
type Line struct {
	Name string
	X, Y []float64
}

// colours of the lines, in their order.
var colours = [...]string{"#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e"}

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

// Log draws lines over x, with logarithmic axes.
func Log(title, x string, lines []Line) string {
	var xs, ys []float64
	for _, l := range lines {
		xs, ys = append(xs, l.X...), append(ys, l.Y...)
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
	for k, l := range lines {
		colour, path := colours[k%len(colours)], "M"
		for i := range l.X {
			if i > 0 {
				path += "L"
			}
			path += fmt.Sprintf("%.1f %.1f", across.at(l.X[i]), up.at(l.Y[i]))
			fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", across.at(l.X[i]), up.at(l.Y[i]), colour)
		}
		fmt.Fprintf(&b, `<path d="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", path, colour)
		fmt.Fprintf(&b, `<g fill="%s">`, colour)
		text(left+10, float64(top+16+16*k), "start", l.Name)
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	return b.String()
}
