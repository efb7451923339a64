package mainjob

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/test/server"
)

// kills is how often each kind of job is killed. The release gate raises it.
var kills = flag.Int("kills", 30, "kill -9 this many times for each kind of job")

// seeded returns the random source of a kill test and prints its seed; PALATE_KILL_SEED replays one.
func seeded(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("PALATE_KILL_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("PALATE_KILL_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// interrupt kills the server at a random moment of the next span, which begins now, and starts it again.
func (h *shop) interrupt(r *rand.Rand, span time.Duration) {
	h.t.Helper()
	time.Sleep(time.Duration(r.Int64N(int64(span)))) // the random moment is what is tested
	h.Kill()
	h.Restart()
}

// span measures how long something takes undisturbed, with some margin to hit what comes after it as well.
func span(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)*5/4 + 20*time.Millisecond
}

func rounds(t *testing.T) int {
	if testing.Short() {
		return 3
	}
	return *kills
}

func TestAnImportThatIsKilledFinishesOnce(t *testing.T) {
	r := seeded(t)
	h := openShop(t, server.Start(t))
	versions := [][][]string{generate(500, 100, 20_000, 3).interactions, generate(400, 90, 15_000, 4).interactions}
	length := span(func() { h.load(h.interactions, versions[1]) })
	for round := range rounds(t) {
		rows := versions[round%2]
		arn := h.startImport(h.interactions, rows, "FULL")
		h.interrupt(r, length)
		if d := h.Wait("datasetImportJob", arn); d["status"] != "ACTIVE" {
			t.Fatalf("round %d ended %v: %v", round, d["status"], d["failureReason"])
		}
		if got := h.export(h.interactions, "BULK"); !slices.Equal(lines(got), lines(rows)) {
			t.Fatalf("round %d: %d rows after the import, want %d", round, len(got)-1, len(rows)-1)
		}
	}
}

func TestAnIncrementalImportThatIsKilledAddsItsRowsOnce(t *testing.T) {
	r := seeded(t)
	h := openShop(t, server.Start(t))
	all := generate(300, 80, 2_000+500*rounds(t), 5).interactions
	h.load(h.interactions, all[:2001])
	const step = 500
	length := 150 * time.Millisecond
	for end := 2001 + step; end <= len(all); end += step {
		rows := append([][]string{all[0]}, all[end-step:end]...)
		var arn string
		length = max(length, span(func() { arn = h.startImport(h.interactions, rows, "INCREMENTAL") }))
		h.interrupt(r, length)
		if d := h.Wait("datasetImportJob", arn); d["status"] != "ACTIVE" {
			t.Fatalf("import ended %v: %v", d["status"], d["failureReason"])
		}
	}
	if diff := cmp.Diff(lines(all), lines(h.export(h.interactions, "BULK"))); diff != "" {
		t.Errorf("rows after all imports:\n%s", diff)
	}
}

func TestAnExportThatIsKilledFinishesWhole(t *testing.T) {
	r := seeded(t)
	h := openShop(t, server.Start(t))
	rows := generate(500, 100, 20_000, 6).interactions
	h.load(h.interactions, rows)
	length := span(func() { h.export(h.interactions, "BULK") })
	for round := range rounds(t) {
		arn, prefix := h.startExport(h.interactions, "BULK")
		h.interrupt(r, length)
		if d := h.Wait("datasetExportJob", arn); d["status"] != "ACTIVE" {
			t.Fatalf("round %d ended %v: %v", round, d["status"], d["failureReason"])
		}
		if got := fromCSV(t, h.Download(h.bucket, prefix)); !slices.Equal(lines(got), lines(rows)) {
			t.Fatalf("round %d exported %d rows, want %d", round, len(got)-1, len(rows)-1)
		}
	}
}

func TestADeletionThatIsKilledForgetsTheSameRows(t *testing.T) {
	r := seeded(t)
	h := openShop(t, server.Start(t))
	d := generate(400, 90, 8_000, 7)
	h.loadAll(d)
	h.version(h.solution("aws-user-personalization-v2"))
	left, profiles := d.interactions, d.profiles
	forget := func(n int, wait func(arn string) M) {
		gone := d.users[:n]
		d.users = d.users[n:]
		kept, keptProfiles := without(left, gone...), without(profiles, gone...)
		done := wait(h.startDeletion(gone...))
		if want := len(left) - len(kept) + n; done["status"] != "COMPLETED" || done["numDeleted"] != float64(want) {
			t.Fatalf("ended %v (%v) with %v rows deleted, want %d", done["status"], done["failureReason"], done["numDeleted"], want)
		}
		left, profiles = kept, keptProfiles
	}
	length := span(func() { forget(2, func(arn string) M { return h.Wait("dataDeletionJob", arn) }) })
	for range rounds(t) {
		forget(1+r.IntN(4), func(arn string) M {
			h.interrupt(r, length)
			return h.Wait("dataDeletionJob", arn)
		})
		if got := h.export(h.interactions, "ALL"); !slices.Equal(lines(got), lines(left)) {
			t.Fatalf("%d rows are left, want %d", len(got)-1, len(left)-1)
		}
	}
	if diff := cmp.Diff(lines(profiles), lines(h.export(h.people, "ALL"))); diff != "" {
		t.Errorf("profiles that are left:\n%s", diff)
	}
	all := generate(400, 90, 8_000, 7)
	h.assertNoBytesOf(all.users[:len(all.users)-len(d.users)]...)

	never := openShop(t, server.Start(t))
	never.load(never.interactions, left)
	never.load(never.items, all.items)
	never.version(never.solution("aws-user-personalization-v2"))
	if diff := cmp.Diff(never.modelBytes(), h.modelBytes()); diff != "" {
		t.Errorf("the model differs from one that never saw the users:\n%s", diff)
	}
}

func TestATrainingThatIsKilledGivesTheSameModel(t *testing.T) {
	r := seeded(t)
	h := openShop(t, server.Start(t))
	d := generate(400, 300, 20_000, 8)
	h.loadAll(d)
	solution := h.solution("aws-user-personalization-v2")
	var want string
	length := span(func() { want = h.metrics(h.version(solution)) })
	reference := h.modelBytesOfNewest()
	for round := range rounds(t) {
		arn := h.Must("CreateSolutionVersion", M{"solutionArn": solution})["solutionVersionArn"].(string)
		h.interrupt(r, length)
		if d := h.Wait("solutionVersion", arn); d["status"] != "ACTIVE" {
			t.Fatalf("round %d ended %v: %v", round, d["status"], d["failureReason"])
		}
		if got := h.metrics(arn); got != want {
			t.Fatalf("round %d: metrics are %s, want %s", round, got, want)
		}
		if diff := cmp.Diff(reference, h.modelBytesOfNewest()); diff != "" {
			t.Fatalf("round %d: the model differs from one that was not interrupted:\n%s", round, diff)
		}
	}
}

func (h *shop) metrics(version string) string {
	return fmt.Sprint(h.Must("GetSolutionMetrics", M{"solutionVersionArn": version})["metrics"])
}

func TestNoAcknowledgedEventIsLost(t *testing.T) {
	r := seeded(t)
	h := openShop(t, server.Start(t))
	tracking := h.tracker()
	type sent struct {
		mu    sync.Mutex
		acked map[string]bool
		tried int
	}
	s := sent{acked: map[string]bool{}}
	send := func(until <-chan struct{}) {
		for {
			select {
			case <-until:
				return
			default:
			}
			s.mu.Lock()
			s.tried++
			user := fmt.Sprintf("user-%06d", s.tried)
			s.mu.Unlock()
			_, err := h.Call("PutEvents", M{"trackingId": tracking, "userId": user, "sessionId": "s",
				"eventList": []M{{"eventType": "view", "itemId": "item-1", "sentAt": 1_700_000_000}}})
			var refused *server.APIError
			if errors.As(err, &refused) {
				t.Errorf("PutEvents was refused: %v", err)
				return
			}
			if err != nil {
				return // the connection went with the server: not acknowledged
			}
			s.mu.Lock()
			s.acked[user] = true
			s.mu.Unlock()
		}
	}
	for range rounds(t) {
		until := make(chan struct{})
		var senders sync.WaitGroup
		for range 8 {
			senders.Go(func() { send(until) })
		}
		time.Sleep(time.Duration(r.Int64N(int64(150 * time.Millisecond)))) // the random moment is what is tested
		h.Kill()
		close(until)
		senders.Wait()
		h.Restart()
	}
	times := map[string]int{}
	for _, row := range h.export(h.interactions, "ALL")[1:] {
		times[row[0]]++
	}
	lost := 0
	for user := range s.acked {
		if times[user] == 0 {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d acknowledged events are lost", lost, len(s.acked))
	}
	for _, n := range times {
		if n > 1 {
			t.Error("an event that was sent once is stored twice")
			break
		}
	}
	t.Logf("%d events sent, %d acknowledged, %d stored", s.tried, len(s.acked), len(times))
}
