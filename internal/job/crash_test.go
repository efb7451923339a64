package job_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/palate-dev/palate/internal/crash"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
)

// Crash tests run this test binary again as a worker process on a database, and kill it.
func TestMain(m *testing.M) {
	if dir := os.Getenv("JOB_TEST_WORKER"); dir != "" {
		if err := worker(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

var crashSteps = []string{"list", "encode", "commit"}

// worker runs the jobs of dir until none is left. Each step leaves a line in a log, so that the test can see which ran, and how often.
func worker(dir string) error {
	db, err := meta.Open(filepath.Join(dir, "meta.db"))
	if err != nil {
		return err
	}
	defer db.Close()
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	q := job.New(db, slog.New(slog.NewTextHandler(io.Discard, nil)), job.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	q.Handle(job.Import, job.Spec{Class: job.Heavy, Run: func(ctx context.Context, t *job.Task) error {
		if err := t.Status(ctx, meta.CreateInProgress); err != nil {
			return err
		}
		for _, name := range crashSteps {
			err := t.Step(ctx, name, func(ctx context.Context) error {
				_, err := fmt.Fprintf(log, "%s %s\n", t.Resource().Name, name)
				return errors.Join(err, t.Save(ctx, name))
			})
			if err != nil {
				return err
			}
		}
		crash.Point("import/end")
		return t.Done(ctx, toActive)
	}})
	go func() {
		defer cancel()
		for {
			changed := db.Changed()
			left := 0
			err := db.View(ctx, func(tx *meta.Tx) (err error) { left, err = tx.Count(meta.Query{JobKind: job.Import}); return err })
			if err != nil || left == 0 {
				return
			}
			<-changed
		}
	}()
	return q.Run(ctx)
}

// seedJobs writes the jobs of a crash test.
func seedJobs(t *testing.T, jobs int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	db, err := meta.Open(filepath.Join(dir, "meta.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(t.Context(), func(tx *meta.Tx) error {
		for i := range jobs {
			name := fmt.Sprint("job", i)
			r := &meta.Resource{ARN: "arn:" + name, Kind: meta.ImportJob, Name: name, Status: meta.CreatePending, Doc: json.RawMessage(`{}`), Job: meta.Job{Kind: job.Import}}
			if err := tx.Insert(r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func startWorker(t *testing.T, dir, crash string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "JOB_TEST_WORKER="+dir, "PALATE_CRASH="+crash)
	cmd.Stderr = new(bytes.Buffer)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func killed(t *testing.T, cmd *exec.Cmd) bool {
	t.Helper()
	err := cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signal() == syscall.SIGKILL {
			return true
		}
	}
	if err != nil {
		t.Fatal(err, cmd.Stderr)
	}
	return false
}

// checkFinished looks at everything that is left: all jobs ended well, and each step ran at least once and at most once more for each kill.
func checkFinished(t *testing.T, dir string, jobs, kills int) {
	t.Helper()
	db, err := meta.Open(filepath.Join(dir, "meta.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var rows []*meta.Resource
	if err := db.View(t.Context(), func(tx *meta.Tx) (err error) { rows, err = tx.Find(meta.Query{}); return err }); err != nil {
		t.Fatal(err)
	}
	if len(rows) != jobs {
		t.Errorf("%d rows of %d", len(rows), jobs)
	}
	for _, r := range rows {
		if r.Status != meta.Active || r.Job.Kind != "" {
			t.Errorf("%s ended as %q, job %+v", r.ARN, r.Status, r.Job)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if most := jobs*len(crashSteps) + jobs*kills; len(lines) < jobs*len(crashSteps) || len(lines) > most {
		t.Errorf("%d steps were run, at most %d could be", len(lines), most)
	}
	for i := range jobs {
		name := fmt.Sprint("job", i)
		var ran []string
		for _, line := range lines {
			if job, step, _ := strings.Cut(line, " "); job == name {
				ran = append(ran, step)
			}
		}
		if !slices.Equal(slices.Compact(ran), crashSteps) { // repeated, but never out of order
			t.Errorf("%s ran %v", name, ran)
		}
	}
}

func TestKilledAtEveryPointAJobFinishesAtTheNextStart(t *testing.T) {
	points := []string{"import/end"}
	for _, step := range crashSteps {
		points = append(points, job.Import+"/"+step)
	}
	for _, point := range points {
		for hit := 1; hit <= 3; hit++ {
			crash := fmt.Sprintf("%s:%d", point, hit)
			t.Run(crash, func(t *testing.T) {
				t.Parallel()
				dir, kills := seedJobs(t, 2), 0
				if killed(t, startWorker(t, dir, crash)) {
					kills++
				}
				if hit < 3 && kills == 0 { // two jobs pass each point of a step four times
					t.Error("the point was not reached")
				}
				if killed(t, startWorker(t, dir, "")) {
					t.Error("killed without being asked to")
				}
				checkFinished(t, dir, 2, kills)
			})
		}
	}
}

func TestKilledAtRandomMomentsJobsFinishByThemselves(t *testing.T) {
	const jobs, wanted = 60, 30
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir, kills := seedJobs(t, jobs), 0
	for range wanted {
		cmd := startWorker(t, dir, "")
		timer := time.AfterFunc(time.Duration(random.IntN(100))*time.Millisecond, func() { cmd.Process.Kill() })
		if killed(t, cmd) {
			kills++
		}
		timer.Stop()
	}
	if killed(t, startWorker(t, dir, "")) {
		t.Error("killed without being asked to")
	}
	t.Logf("%d kills", kills)
	checkFinished(t, dir, jobs, kills)
}
