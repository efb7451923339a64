package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/palate-dev/palate/test/seeds"
	"github.com/palate-dev/palate/test/server"
	"github.com/palate-dev/palate/test/shop"
)

// The process is killed at every point that a job comes by: which there are a first run of the job tells, so that none can be forgotten.
func TestAKillAtEveryCrashPoint(t *testing.T) {
	for name, w := range works {
		t.Run(name, func(t *testing.T) {
			r := seeds.Random(t)
			b := &bench{r: r, data: shop.Generate(200, 20, 1200, r.Uint64())}
			b.Shop = shop.Open(t, server.Start(t, "--hold", "50ms")) // so that the call is answered before the job goes on
			b.rows = b.data.Interactions
			b.LoadAll(b.data)

			b.tracking = b.Tracker()

			passed := filepath.Join(t.TempDir(), "passed")
			b.put()
			b.again("PALATE_CRASH_LOG=" + passed)
			arn, check := w.start(b)
			b.finish(name, w, arn, check)
			log, err := os.ReadFile(passed)
			if err != nil || len(log) == 0 {
				t.Fatalf("no crash point was passed (%v)", err)
			}
			hits := map[string]int{}
			for _, point := range strings.Fields(strings.ReplaceAll(string(log), " ", "\x00")) {
				hits[strings.ReplaceAll(point, "\x00", " ")]++
			}
			var plans []string
			for point, n := range hits {
				for hit := range min(n, 3) {
					plans = append(plans, point+":"+string(rune('1'+hit)))
				}
			}
			slices.Sort(plans)
			if n := seeds.Rounds(t, 2, len(plans)); n < len(plans) {
				r.Shuffle(len(plans), func(i, j int) { plans[i], plans[j] = plans[j], plans[i] })
				plans = plans[:n]
			}
			for _, plan := range plans {
				t.Logf("PALATE_CRASH=%s", plan)
				b.put()
				b.again("PALATE_CRASH=" + plan)
				arn, check := w.start(b)
				b.settle(w.noun, arn)
				if !b.Running() {
					b.again("")
				}
				b.finish(name, w, arn, check)
				b.check()
			}
		})
	}
}

// put stores an event that no other is equal to: jobs meet a log that a start has read again, and deletions fold it.
func (b *bench) put() {
	b.T.Helper()
	b.events++
	at := 1_700_000_000 + b.events
	user := b.data.Users[b.r.IntN(len(b.data.Users))]
	b.Must("PutEvents", server.M{"trackingId": b.tracking, "userId": user, "sessionId": "s", "eventList": []server.M{{"eventType": "put", "itemId": "item-0001", "sentAt": at}}})
	b.rows = append(b.rows, []string{user, "item-0001", fmt.Sprint(at), "put", ""})
}

// again starts the server anew with one more line in its environment.
func (b *bench) again(env string) {
	b.T.Helper()
	b.Kill()
	b.Env = nil
	if env != "" {
		b.Env = []string{env}
	}
	b.Restart()
}
