package job

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/palate-dev/palate/internal/meta"
)

// A second attempt shows where the first one was until it has come by there, and the time left is that of the whole job at its own rate.
func TestProgressNeverGoesBack(t *testing.T) {
	first := &Task{row: &meta.Resource{}}
	first.Progress(Progress{Phase: "a", Overall: 0.1})
	first.Progress(Progress{Phase: "b", Done: 5, Total: 10, Overall: 0.5})
	first.Progress(Progress{Phase: "b", Done: 4, Total: 10, Overall: 0.4})
	if first.progress.Done != 5 {
		t.Errorf("went back to %d", first.progress.Done)
	}
	second := &Task{row: &meta.Resource{Job: meta.Job{Progress: first.encodedProgress()}}}
	second.Progress(Progress{Phase: "a", Overall: 0.1})
	if second.encodedProgress() != nil {
		t.Errorf("a restart shows %s", second.encodedProgress())
	}
	second.Progress(Progress{Phase: "b", Done: 5, Total: 10, Overall: 0.5})
	second.fromAt = second.fromAt.Add(-10 * time.Second) // ten seconds later
	second.Progress(Progress{Phase: "c", Overall: 0.75})
	var shown Progress
	if err := json.Unmarshal(second.encodedProgress(), &shown); err != nil {
		t.Fatal(err)
	}
	if left := shown.TimeLeft(); shown.Phase != "c" || left < 10*time.Second || left > 40*time.Second {
		t.Errorf("%+v, %v left; a quarter took ten seconds or a little more, and a quarter is left", shown, left)
	}
}

func TestJobsThatCannotTellTheirWholeSayWhatIsLeftOfThePhase(t *testing.T) {
	task := &Task{row: &meta.Resource{}}
	task.Progress(Progress{Phase: "read", Done: 1, Total: 4, Started: time.Now().Add(-time.Minute)})
	if left := task.progress.TimeLeft(); left < 3*time.Minute {
		t.Errorf("%v left", left)
	}
	task.Progress(Progress{Phase: "write", Done: 0, Total: 4})
	if task.progress.Phase != "write" || task.progress.TimeLeft() != 0 {
		t.Errorf("%+v", task.progress)
	}
}

// Why a job waits is shown until it goes on, also while it repeats what an earlier attempt had done.
func TestAWaitingJobSaysWhyUntilItGoesOn(t *testing.T) {
	first := &Task{row: &meta.Resource{}}
	first.Progress(Progress{Phase: "erase", Done: 5, Total: 10, Overall: 0.5})
	first.wait("the disk is full")
	var shown Progress
	if err := json.Unmarshal(first.encodedProgress(), &shown); err != nil {
		t.Fatal(err)
	}
	if shown.Waiting != "the disk is full" || shown.Phase != "erase" || shown.Done != 5 || shown.TimeLeft() != 0 {
		t.Errorf("waits as %+v", shown)
	}
	second := &Task{row: &meta.Resource{Job: meta.Job{Progress: first.encodedProgress()}}}
	second.Progress(Progress{Phase: "erase", Overall: 0.4})
	if p := second.progress; p == nil || p.Waiting != "" || p.Done != 5 {
		t.Errorf("goes on as %+v", p)
	}
	second.Progress(Progress{Phase: "erase", Done: 6, Total: 10, Overall: 0.6})
	second.fromAt = second.fromAt.Add(-time.Second)
	second.Progress(Progress{Phase: "erase", Done: 7, Total: 10, Overall: 0.7})
	if left := second.progress.TimeLeft(); left < 2*time.Second || left > 10*time.Second {
		t.Errorf("%v left; a tenth took a second or a little more, and three are left", left)
	}
}
