package faults

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palate-dev/palate/test/faultdisk"
	"github.com/palate-dev/palate/test/seeds"
	"github.com/palate-dev/palate/test/server"
	"github.com/palate-dev/palate/test/shop"
)

// bench is a shop on a disk that fails, and what must be in it.
type bench struct {
	*shop.Shop
	disk *faultdisk.Disk
	r    *rand.Rand
	data shop.Data
	rows [][]string // of the interactions, with header
	hit  []string   // what the faults met before the last power cut

	tracking string // of put
	events   int    // that put has stored
}

func openBench(t *testing.T, r *rand.Rand) *bench {
	return openBenchOf(t, r, 600)
}

func openBenchOf(t *testing.T, r *rand.Rand, events int) *bench {
	disk := faultdisk.New(t)
	b := &bench{disk: disk, r: r, data: shop.Generate(40, 20, events, r.Uint64())}
	b.Shop = shop.Open(t, server.StartAt(t, filepath.Join(disk.Dir, "data")))
	b.rows = b.data.Interactions
	t.Cleanup(func() { t.Log(disk.Hit(), b.hit) })
	b.LoadAll(b.data)
	return b
}

// restart starts the server again after the disk has failed, on what a power cut left if there was one.
func (b *bench) restart() {
	b.T.Helper()
	b.Kill()
	b.disk.Heal()
	if b.disk.Dead() {
		b.hit = append(b.hit, b.disk.Hit()...)
		b.disk.PowerOn()
	}
	b.Restart()
}

// work is one kind of job: start begins it, and the returned function checks what must be true once it has ended with success.
type work struct {
	noun  string
	start func(b *bench) (arn string, check func())
}

var works = map[string]work{
	"import": {"datasetImportJob", func(b *bench) (string, func()) {
		next := shop.Generate(40, 20, 500, b.r.Uint64()).Interactions
		return b.StartImport(b.Interactions, next, "FULL"), func() { b.rows = slices.Concat(next, b.streamed()) }
	}},
	"incremental import": {"datasetImportJob", func(b *bench) (string, func()) {
		more := shop.Generate(10, 20, 50, b.r.Uint64()).Interactions
		return b.StartImport(b.Interactions, more, "INCREMENTAL"), func() { b.rows = slices.Concat(b.rows, more[1:]) }
	}},
	"export": {"datasetExportJob", func(b *bench) (string, func()) {
		arn, prefix := b.StartExport(b.Interactions, "ALL")
		return arn, func() {
			if got := shop.FromCSV(b.T, b.Download(b.Objects, prefix)); !slices.Equal(shop.Lines(got), shop.Lines(b.rows)) {
				b.T.Errorf("the export has %d rows, want %d", len(got)-1, len(b.rows)-1)
			}
		}
	}},
	"deletion": {"dataDeletionJob", func(b *bench) (string, func()) {
		gone := b.data.Users[:3]
		b.data.Users = b.data.Users[3:]
		arn := b.StartDeletion(gone...)
		return arn, func() {
			kept := shop.Without(b.rows, gone...)
			d, err := b.Describe("dataDeletionJob", arn)
			if want := float64(len(b.rows) - len(kept) + len(gone)); err != nil || d["numDeleted"] != want {
				b.T.Errorf("numDeleted is %v (%v), want %v", d["numDeleted"], err, want)
			}
			b.rows = kept
			b.AssertNoBytesOf(gone...)
		}
	}},
}

// streamed are the rows that put has stored and nobody has erased: a bulk import leaves them.
func (b *bench) streamed() (rows [][]string) {
	for _, row := range b.rows[1:] {
		if row[3] == "put" {
			rows = append(rows, row)
		}
	}
	return rows
}

// check compares what an export gives with what must be there.
func (b *bench) check() {
	b.T.Helper()
	if got := b.Export(b.Interactions, "ALL"); !slices.Equal(shop.Lines(got), shop.Lines(b.rows)) {
		b.T.Fatalf("%d rows are stored, want %d", len(got)-1, len(b.rows)-1)
	}
}

// settle waits until a job has ended, the process has, or the power has failed.
func (b *bench) settle(noun, arn string) {
	b.T.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; <-time.After(5 * time.Millisecond) {
		d, err := b.Describe(noun, arn)
		status, _ := d["status"].(string)
		ended := err == nil && (status == "ACTIVE" || status == "COMPLETED" || strings.HasSuffix(status, "FAILED"))
		if ended || !b.Running() || b.disk != nil && b.disk.Dead() {
			return
		}
		if time.Now().After(deadline) {
			b.T.Fatalf("%s neither ended nor failed: %v %v", noun, status, err)
		}
	}
}

// finish waits for the success of a job, after a fault.
func (b *bench) finish(name string, w work, arn string, check func()) {
	b.T.Helper()
	if d := b.Wait(w.noun, arn); d["status"] != "ACTIVE" && d["status"] != "COMPLETED" {
		b.T.Fatalf("%s ended %v: %v", name, d["status"], d["failureReason"])
	}
	check()
}

func eachWork(t *testing.T, few, many int, run func(b *bench, name string, w work)) {
	for name, w := range works {
		t.Run(name, func(t *testing.T) {
			seeds.Each(t, few, many, func(t *testing.T, r *rand.Rand) {
				b := openBench(t, r)
				run(b, name, w)
				b.check()
			})
		})
	}
}

func TestAPowerCutBelowARunningJob(t *testing.T) {
	eachWork(t, 1, 250, func(b *bench, name string, w work) {
		arn, check := w.start(b)
		op := faultdisk.Op(b.r.IntN(3))
		b.disk.CutAt(op, 1+b.r.IntN(40), []float64{0, 0.5, 1}[b.r.IntN(3)], b.r)
		b.settle(w.noun, arn)
		b.disk.Cut(0, b.r) // of a job that was faster
		b.restart()
		b.finish(name, w, arn, check)
	})
}

func TestAnIOErrorBelowARunningJob(t *testing.T) {
	eachWork(t, 1, 250, func(b *bench, name string, w work) {
		arn, check := w.start(b)
		b.disk.FailAt(faultdisk.Op(b.r.IntN(2)), 1+b.r.IntN(40), 1)
		b.settle(w.noun, arn)
		if !b.Running() {
			b.restart()
			b.settle(w.noun, arn)
		}
		// What a failed sync has dropped is gone now: nobody may have taken it for durable.
		b.disk.Cut(0, b.r)
		b.restart()
		b.finish(name, w, arn, check)
	})
}

func TestNoAcknowledgedEventIsLostToTheDisk(t *testing.T) {
	seeds.Each(t, 2, 250, func(t *testing.T, r *rand.Rand) {
		b := openBench(t, r)
		tracking := b.Tracker()
		acked, unknown := map[string]bool{}, map[string]bool{}
		for round := range 3 {
			switch r.IntN(3) {
			case 0:
				b.disk.CutAt(faultdisk.Op(r.IntN(2)), 1+r.IntN(30), []float64{0, 0.5, 1}[r.IntN(3)], r)
			case 1:
				b.disk.FailAt(faultdisk.Sync, 1+r.IntN(20), 1)
			default:
				b.disk.FailAt(faultdisk.Write, 1+r.IntN(20), 1+r.IntN(3))
			}
			for n := range 40 {
				user := fmt.Sprintf("event-user-%d-%03d", round, n)
				_, err := b.Call("PutEvents", server.M{"trackingId": tracking, "userId": user, "sessionId": "s",
					"eventList": []server.M{{"eventType": "view", "itemId": "item-0001", "sentAt": 1_700_000_000}}})
				if err == nil {
					acked[user] = true
				} else {
					unknown[user] = true
				}
				if !b.Running() || b.disk.Dead() {
					break
				}
			}
			b.disk.Cut(0, r)
			b.restart()
		}
		stored := map[string]int{}
		for _, row := range b.Export(b.Interactions, "PUT")[1:] {
			stored[row[0]]++
		}
		for user := range acked {
			if stored[user] != 1 {
				t.Errorf("an acknowledged event is stored %d times", stored[user])
			}
		}
		for user, n := range stored {
			if !acked[user] && !unknown[user] || n > 1 {
				t.Errorf("an event is stored %d times that was not sent so", n)
			}
		}
		t.Logf("%d acknowledged, %d not", len(acked), len(unknown))
		b.rows = nil
	})
}
