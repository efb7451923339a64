package main

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// interaction is one user taking one item for the first time. Times without meaning are all zero.
type interaction struct {
	user, item string
	time       int64
}

// collection is a data set: training data, and test data if the set comes with a split of its own.
type collection struct {
	name     string
	all      []interaction // everything, or the training part of a given split
	test     []interaction // the test part of a given split
	given    bool
	ordered  bool // times have meaning
	revisits int  // events dropped because the user had the item before
}

// load reads a folder: interactions.csv[.gz], or train.csv and test.csv, or LightGCN's train.txt and test.txt.
func load(dir string) (*collection, error) {
	c := &collection{name: filepath.Base(dir)}
	for _, name := range []string{"interactions.csv", "interactions.csv.gz"} {
		rows, err := readCSV(filepath.Join(dir, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		c.all = rows
		c.finish()
		return c, nil
	}
	c.given = true
	read := readCSV
	ext := ".csv"
	if _, err := os.Stat(filepath.Join(dir, "train.txt")); err == nil {
		read, ext = readLists, ".txt"
	}
	var err error
	if c.all, err = read(filepath.Join(dir, "train"+ext)); err != nil {
		return nil, err
	}
	if c.test, err = read(filepath.Join(dir, "test"+ext)); err != nil {
		return nil, err
	}
	c.finish()
	if c.overlaps() {
		for _, e := range c.test {
			c.all = append(c.all, interaction{user: "test " + e.user, item: e.item, time: e.time})
		}
		c.given, c.test = false, nil
		c.finish()
	}
	return c, nil
}

// overlaps reports whether somebody has an item in both parts. Then they are no split of users' items but two groups of people, whose ids only look alike.
func (c *collection) overlaps() bool {
	have := make(map[interaction]bool, len(c.all))
	for _, e := range c.all {
		have[interaction{user: e.user, item: e.item}] = true
	}
	return slices.ContainsFunc(c.test, func(e interaction) bool { return have[interaction{user: e.user, item: e.item}] })
}

// finish keeps the first event of each user with each item, in order of time within a user, and looks at whether there is an order. Equal times keep the
// order of the file.
func (c *collection) finish() {
	slices.SortStableFunc(c.all, func(a, b interaction) int { return cmp.Or(cmp.Compare(a.user, b.user), cmp.Compare(a.time, b.time)) })
	seen := map[string]bool{}
	var kept []interaction
	for i, e := range c.all {
		if i > 0 && c.all[i-1].user != e.user {
			clear(seen)
		}
		if seen[e.item] {
			c.revisits++
			continue
		}
		seen[e.item] = true
		kept = append(kept, e)
		c.ordered = c.ordered || e.time != c.all[0].time
	}
	c.all = kept
}

// readCSV reads USER_ID, ITEM_ID and, if there, TIMESTAMP by the names in the header.
func readCSV(path string) ([]interaction, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	rows := csv.NewReader(r)
	rows.ReuseRecord = true
	header, err := rows.Read()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	header = slices.Clone(header)
	user, item, at := slices.Index(header, "USER_ID"), slices.Index(header, "ITEM_ID"), slices.Index(header, "TIMESTAMP")
	if user < 0 || item < 0 {
		return nil, fmt.Errorf("%s: the header lacks USER_ID or ITEM_ID", path)
	}
	var out []interaction
	for {
		row, err := rows.Read()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		e := interaction{user: strings.Clone(row[user]), item: strings.Clone(row[item])}
		if at >= 0 {
			seconds, err := strconv.ParseFloat(row[at], 64)
			if err != nil {
				return nil, fmt.Errorf("%s: TIMESTAMP: %w", path, err)
			}
			e.time = int64(seconds)
		}
		out = append(out, e)
	}
}

// readLists reads the files of LightGCN: in each line a user and that user's items.
func readLists(path string) ([]interaction, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []interaction
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		for i := 1; i < len(fields); i++ {
			out = append(out, interaction{user: fields[0], item: fields[i]})
		}
	}
	return out, lines.Err()
}

// task is what a method has to do: train on train, then name the items of truth, which the user does not have in known.
type task struct {
	train []interaction // sorted by user, then time
	truth map[string][]string
	known map[string][]string // the user's history at the time of the question
}

// protocol makes a task out of data. It is applied to the data for the test and, to choose settings, to the training data of that task once more.
type protocol struct {
	name  string
	apply func(rows []interaction, rng *rand.Rand) task
}

// protocols are all there are, those that ask for an order first.
var protocols = []protocol{{"leave one out", leaveOneOut}, {"by time", byTime}, {"random split", randomSplit}}

// protocols are those that make sense for the data.
func (c *collection) protocols() []protocol {
	if !c.ordered {
		return protocols[2:]
	}
	return protocols
}

// split makes the test task and the one on which settings are chosen. What is known of a user in a question is everything trained on.
func (c *collection) split(p protocol, seed uint64) (test, choice task) {
	rng := rand.New(rand.NewPCG(seed, 1))
	if c.given {
		test = task{train: c.all, truth: group(c.test), known: group(c.all)}
	} else {
		test = p.apply(c.shuffled(rng), rng)
	}
	return test, p.apply(test.train, rng)
}

// shuffled puts events of one user at the same time into random order, so that what is held out of them is no matter of how they stand in the file.
func (c *collection) shuffled(rng *rand.Rand) []interaction {
	rows := slices.Clone(c.all)
	for i := 0; i < len(rows); {
		j := i + 1
		for j < len(rows) && rows[j].user == rows[i].user && rows[j].time == rows[i].time {
			j++
		}
		rng.Shuffle(j-i, func(a, b int) { rows[i+a], rows[i+b] = rows[i+b], rows[i+a] })
		i = j
	}
	return rows
}

func group(rows []interaction) map[string][]string {
	m := map[string][]string{}
	for _, e := range rows {
		m[e.user] = append(m[e.user], e.item)
	}
	return m
}

// users calls do with the rows of each user.
func users(rows []interaction, do func(own []interaction)) {
	for i := 0; i < len(rows); {
		j := i + 1
		for j < len(rows) && rows[j].user == rows[i].user {
			j++
		}
		do(rows[i:j])
		i = j
	}
}

// leaveOneOut asks for the last item of everybody with at least three.
func leaveOneOut(rows []interaction, _ *rand.Rand) task {
	t := task{truth: map[string][]string{}}
	users(rows, func(own []interaction) {
		if n := len(own) - 1; n >= 2 {
			t.truth[own[n].user] = []string{own[n].item}
			own = own[:n]
		}
		t.train = append(t.train, own...)
	})
	t.known = group(t.train)
	return t
}

// randomSplit hides a fifth of everybody's items, drawn by lot, and all times.
func randomSplit(rows []interaction, rng *rand.Rand) task {
	t := task{truth: map[string][]string{}}
	users(rows, func(own []interaction) {
		own = slices.Clone(own)
		rng.Shuffle(len(own), func(a, b int) { own[a], own[b] = own[b], own[a] })
		n := len(own) - len(own)/5
		for _, e := range own[n:] {
			t.truth[e.user] = append(t.truth[e.user], e.item)
		}
		for _, e := range own[:n] {
			t.train = append(t.train, interaction{user: e.user, item: e.item})
		}
	})
	t.known = group(t.train)
	return t
}

// byTime trains on what was before the moment that four fifths of the events precede, and asks those with a history for what they took afterwards.
func byTime(rows []interaction, _ *rand.Rand) task {
	times := make([]int64, len(rows))
	for i, e := range rows {
		times[i] = e.time
	}
	slices.Sort(times)
	cut := times[len(times)*4/5]
	t := task{truth: map[string][]string{}}
	users(rows, func(own []interaction) {
		n, _ := slices.BinarySearchFunc(own, cut, func(e interaction, cut int64) int { return cmp.Compare(e.time, cut) })
		t.train = append(t.train, own[:n]...)
		for _, e := range own[n:] {
			if n > 0 {
				t.truth[e.user] = append(t.truth[e.user], e.item)
			}
		}
	})
	t.known = group(t.train)
	return t
}
