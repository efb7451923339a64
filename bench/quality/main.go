// Command quality measures how well the lists of user-personalization meet what users do next, beside popularity, item-kNN and implicit alternating
// least squares. All methods answer the same questions over the whole catalogue. The settings of the baselines are chosen on a validation task that
// is cut out of the training data; user-personalization has none to choose. Everything is decided by the seeds.
//
//	go run ./bench/quality -data DIR -sets movietweetings-138k,msweb -write docs
//
// A set is a folder of DIR with interactions.csv or interactions.csv.gz (USER_ID, ITEM_ID, TIMESTAMP), or with a split of its own: train.csv and
// test.csv, or LightGCN's train.txt and test.txt.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
)

// figures are the results of one method on one set under one protocol, one for each seed.
type figures struct {
	Set      string   `json:"set"`
	Protocol string   `json:"protocol"`
	Method   string   `json:"method"`
	Settings string   `json:"settings,omitempty"`
	Results  []result `json:"results"`
}

func main() {
	data := flag.String("data", "data", "folder with one folder for each set")
	sets := flag.String("sets", "", "names of the sets, with commas between")
	only := flag.String("protocols", "", "names of the protocols, with commas between; empty for all that make sense")
	methods := flag.String("methods", "", "names of the methods, with commas between; empty for all")
	seeds := flag.Int("seeds", 3, "number of seeds")
	write := flag.String("write", "", "folder whose quality.json takes the figures beside those of other runs; quality.svg and the marked place of quality.md are written from it")
	flag.Parse()
	var all []figures
	for _, name := range strings.Split(*sets, ",") {
		c, err := load(filepath.Join(*data, name))
		if err != nil {
			log.Fatal(err)
		}
		for _, p := range c.protocols() {
			if *only != "" && !listed(*only, p.name) {
				continue
			}
			f, err := compare(c, p, *methods, *seeds)
			if err != nil {
				log.Fatal(err)
			}
			all = append(all, f...)
		}
	}
	fmt.Print(table(all))
	if *write == "" {
		return
	}
	if err := publish(*write, all); err != nil {
		log.Fatal(err)
	}
}

func listed(list, name string) bool {
	for _, n := range strings.Split(list, ",") {
		if n == name {
			return true
		}
	}
	return false
}

// contender is a method with the settings it may choose among.
type contender struct {
	name    string
	options []option
}

type option struct {
	settings string
	make     func(seed uint64) method
}

func contenders() []contender {
	all := []contender{
		{"popularity", []option{{"", func(uint64) method { return popularity{} }}}},
		{"item-kNN", nil},
		{"iALS", nil},
		{"user-personalization", []option{{"", func(seed uint64) method { return &palate{seed: seed} }}}},
	}
	for _, k := range []int{50, 200, 1000} {
		for _, shrink := range []float64{0, 10, 100} {
			all[1].options = append(all[1].options, option{fmt.Sprintf("k %d, shrink %g", k, shrink), func(uint64) method { return itemKNN{k, shrink} }})
		}
	}
	for _, unobserved := range []float64{0.01, 0.03, 0.1, 0.3, 1} {
		for _, regular := range []float64{0.001, 0.003, 0.01, 0.03} {
			all[2].options = append(all[2].options, option{fmt.Sprintf("d 64, w₀ %g, λ %g", unobserved, regular), func(seed uint64) method {
				return ials{dimension: 64, unobserved: unobserved, regular: regular, epochs: 12, seed: seed}
			}})
		}
	}
	return all
}

// compare runs all methods on one set under one protocol. Settings are chosen once, under the first seed.
func compare(c *collection, p protocol, only string, seeds int) ([]figures, error) {
	var all []figures
	for _, m := range contenders() {
		if only != "" && !listed(only, m.name) {
			continue
		}
		f := figures{Set: c.name, Protocol: p.name, Method: m.name}
		chosen, err := choose(c, p, m)
		if err != nil {
			return nil, fmt.Errorf("%s, %s, %s: %w", c.name, p.name, m.name, err)
		}
		f.Settings = chosen.settings
		for seed := range uint64(seeds) {
			test, _ := c.split(p, seed+1)
			method := chosen.make(seed + 1)
			r, err := measure(method, &test)
			if err != nil {
				return nil, fmt.Errorf("%s, %s, %s: %w", c.name, p.name, m.name, err)
			}
			f.Results = append(f.Results, r)
			if d, ok := method.(interface{ describe() string }); ok && seed == 0 {
				f.Settings = d.describe()
			}
			fmt.Fprintf(os.Stderr, "%s, %s, %s %s, seed %d: %+v\n", f.Set, f.Protocol, f.Method, f.Settings, seed+1, r)
		}
		all = append(all, f)
	}
	return all, nil
}

// choose takes the option with the best NDCG@10 on the validation task.
func choose(c *collection, p protocol, m contender) (option, error) {
	if len(m.options) == 1 {
		return m.options[0], nil
	}
	_, task := c.split(p, 1)
	var best option
	high := -1.0
	for _, o := range m.options {
		r, err := measure(o.make(1), &task)
		if err != nil {
			return o, err
		}
		if r.NDCG10 > high {
			best, high = o, r.NDCG10
		}
	}
	return best, nil
}
