package recipe

import (
	"bufio"
	"compress/gzip"
	"context"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/quota"
	"github.com/palate-dev/palate/internal/recipe/vec"
)

// TestQuality trains on a CSV file of real interactions, given by PALATE_QUALITY, and prints how good and how fast that was. It claims nothing:
// it is the workbench of those who change an algorithm.
func TestQuality(t *testing.T) {
	path := os.Getenv("PALATE_QUALITY")
	if path == "" {
		t.Skip("PALATE_QUALITY names no interactions CSV")
	}
	ev := readInteractions(t, path)
	for _, name := range []string{popularityCount, personalizationV2} {
		start := time.Now()
		m, err := Train(context.Background(), Data{Events: ev}, Config{Recipe: name, Seed: 1}, quota.Limits{}, t.TempDir()+"/m", nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %.1f s, %v", name, time.Since(start).Seconds(), m.Settings)
		for _, k := range slices.Sorted(maps.Keys(m.Metrics)) {
			t.Logf("    %-50s %v", k, m.Metrics[k])
		}
	}
	leaveOneOut(t, ev)
}

// leaveOneOut ranks each user's last item among all, with those of the history left out, after training on everything before the last two.
func leaveOneOut(t *testing.T, ev *dataset.Events) {
	train := ev.Filter(func(i int) bool {
		u, _ := slices.BinarySearch(ev.Offsets, int64(i)+1)
		return int64(i) < ev.Offsets[u]-2
	})
	cfg := Config{Recipe: personalizationV2, Seed: 1}
	entry, _ := Find(cfg.Recipe)
	in := newInput(&cfg, entry, newAdmission(&cfg, entry), Data{Events: train})
	f, err := in.fit(context.Background(), func(int) bool { return true }, func(string, int64, int64) {})
	if err != nil {
		t.Fatal(err)
	}
	k := f.ranker(len(in.items))
	k.demote = true
	whole := newInput(&cfg, entry, newAdmission(&cfg, entry), Data{Events: ev})
	code := func(i int32) int32 {
		at, ok := slices.BinarySearch(in.items, whole.items[i])
		if !ok {
			return -1
		}
		return int32(at)
	}
	type score struct{ hit, ndcg, pop float64 }
	var users []int
	for u := range ev.Users {
		if ev.Offsets[u+1]-ev.Offsets[u] >= 3 {
			users = append(users, u)
		}
	}
	scores := make([]score, len(users))
	_ = vec.Parallel(context.Background(), len(users), func(n, _ int) {
		u := users[n]
		length := int(ev.Offsets[u+1] - ev.Offsets[u])
		all := whole.history(nil, u, length)
		truth := code(all[len(all)-1].item)
		var history []step
		for _, h := range all[:len(all)-1] {
			if h.item = code(h.item); h.item >= 0 && f.count[h.item] > 0 {
				history = append(history, h)
			}
		}
		s := k.acquire()
		k.relevance(s, history)
		for place, r := range k.top(s, 10, nil) {
			if r.item == truth {
				scores[n].hit, scores[n].ndcg = 1, 1/math.Log2(float64(place)+2)
			}
		}
		k.release(s)
		place := 0
		for _, i := range k.order { // the prior alone, history left out
			if slices.ContainsFunc(history, func(h step) bool { return h.item == i }) {
				continue
			}
			if i == truth {
				scores[n].pop = 1 / math.Log2(float64(place)+2)
			}
			if place++; place == 10 {
				break
			}
		}
	})
	var sum score
	for _, s := range scores {
		sum.hit, sum.ndcg, sum.pop = sum.hit+s.hit, sum.ndcg+s.ndcg, sum.pop+s.pop
	}
	n := float64(len(users))
	t.Logf("leave one out: HR@10 %.4f NDCG@10 %.4f, prior alone NDCG@10 %.4f, %d users", sum.hit/n, sum.ndcg/n, sum.pop/n, len(users))
}

func readInteractions(t *testing.T, path string) *dataset.Events {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	var events []testEvent
	scan := bufio.NewScanner(r)
	for scan.Scan() {
		p := strings.Split(scan.Text(), ",")
		at, err := strconv.ParseInt(p[2], 10, 64)
		if err != nil {
			continue
		}
		events = append(events, testEvent{user: p[0], item: p[1], time: at})
	}
	return makeEvents(events)
}
