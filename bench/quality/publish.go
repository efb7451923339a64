package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Marks between which quality.md holds the table.
const (
	begin = "<!-- begin: written by bench/quality -->\n"
	end   = "<!-- end -->\n"
)

// table is Markdown: one row for each set, protocol and method; means over the seeds and, where they differ, the standard deviation.
func table(all []figures) string {
	var b strings.Builder
	b.WriteString("| set | protocol | method | NDCG@10 | NDCG@20 | Recall@20 | coverage@10 | settings |\n|---|---|---|---|---|---|---|---|\n")
	for _, f := range all {
		cell := func(of func(r result) float64) string {
			s := f.summary(of)
			if s.deviation == 0 {
				return fmt.Sprintf("%.4f", s.mean)
			}
			return fmt.Sprintf("%.4f ± %.4f", s.mean, s.deviation)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %.3f | %s |\n", f.Set, f.Protocol, f.Method,
			cell(func(r result) float64 { return r.NDCG10 }), cell(func(r result) float64 { return r.NDCG20 }),
			cell(func(r result) float64 { return r.Recall20 }), f.summary(func(r result) float64 { return r.Coverage }).mean, f.Settings)
	}
	return b.String()
}

func (f *figures) summary(of func(r result) float64) summary {
	var values []float64
	for _, r := range f.Results {
		values = append(values, of(r))
	}
	return summarize(values)
}

// publish puts figures into quality.json, in the place of those of the same method on the same set under the same protocol, so that a table can be made in many runs. From all that
// is there it writes the table in quality.md and draws quality.svg.
func publish(dir string, measured []figures) error {
	all, err := record(filepath.Join(dir, "quality.json"), measured)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "quality.md")
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(old), begin)
	_, after, ended := strings.Cut(rest, end)
	if !ok || !ended {
		return fmt.Errorf("%s: no place marked for the table", path)
	}
	if err := os.WriteFile(path, []byte(before+begin+table(all)+end+after), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "quality.svg"), []byte(plot(all)), 0o644)
}

func record(path string, measured []figures) ([]figures, error) {
	var all []figures
	old, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(old, &all)
	} else if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, m := range measured {
		all = slices.DeleteFunc(all, func(f figures) bool { return f.Set == m.Set && f.Protocol == m.Protocol && f.Method == m.Method })
		all = append(all, m)
	}
	methods := contenders()
	named := func(name string) int {
		return slices.IndexFunc(protocols, func(p protocol) bool { return p.name == name })
	}
	place := func(f figures) int {
		return slices.IndexFunc(methods, func(c contender) bool { return c.name == f.Method })
	}
	slices.SortFunc(all, func(a, b figures) int {
		return cmp.Or(cmp.Compare(a.Set, b.Set), cmp.Compare(named(a.Protocol), named(b.Protocol)), cmp.Compare(place(a), place(b)))
	})
	text, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		return nil, err
	}
	return all, os.WriteFile(path, append(text, '\n'), 0o644)
}

// Sizes of the plot in pixels.
const (
	barHeight  = 14
	groupGap   = 14
	labelWidth = 290
	barWidth   = 460
	margin     = 20
)

var colors = map[string]string{"popularity": "#bbbbbb", "item-kNN": "#88aacc", "iALS": "#5577aa", "user-personalization": "#cc5533"}

// plot draws NDCG@10 as bars, a group for each set and protocol, whiskers of one standard deviation to both sides.
func plot(all []figures) string {
	ndcg := func(r result) float64 { return r.NDCG10 }
	high := 0.0
	groups := 0
	for i := range all {
		s := all[i].summary(ndcg)
		high = max(high, s.mean+s.deviation)
		if i == 0 || all[i].Set != all[i-1].Set || all[i].Protocol != all[i-1].Protocol {
			groups++
		}
	}
	height := 3*margin + groups*groupGap + len(all)*(barHeight+2)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">`+"\n", labelWidth+barWidth+5*margin, height)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/><text x="%d" y="%d" font-size="13">NDCG@10 by set, protocol and method</text>`+"\n", margin, margin)
	y := 2 * margin
	for i, f := range all {
		if i == 0 || f.Set != all[i-1].Set || f.Protocol != all[i-1].Protocol {
			y += groupGap
			fmt.Fprintf(&b, `<text x="%d" y="%d">%s, %s</text>`+"\n", margin, y+barHeight-3, f.Set, f.Protocol)
		}
		s := f.summary(ndcg)
		x := func(v float64) float64 { return labelWidth + barWidth*v/high }
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"><title>%s</title></rect>`, labelWidth, y, x(s.mean)-labelWidth, barHeight, colors[f.Method], f.Method)
		if s.deviation > 0 {
			fmt.Fprintf(&b, `<path d="M%.1f %.1fH%.1f" stroke="black"/>`, x(s.mean-s.deviation), float64(y)+barHeight/2, x(s.mean+s.deviation))
		}
		fmt.Fprintf(&b, `<text x="%.1f" y="%d">%.4f %s</text>`+"\n", x(s.mean+s.deviation)+4, y+barHeight-3, s.mean, f.Method)
		y += barHeight + 2
	}
	b.WriteString("</svg>\n")
	return b.String()
}
