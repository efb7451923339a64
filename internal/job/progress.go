package job

import (
	"encoding/json"
	"time"
)

// Progress tells people how far a job is. It is stored with the heartbeat and after each step.
type Progress struct {
	Phase   string    `json:"phase"`
	Done    int64     `json:"done"`
	Total   int64     `json:"total,omitempty"`  // 0 = unknown
	Unit    string    `json:"unit,omitempty"`   // "rows", "bytes", "users", "models"
	Detail  string    `json:"detail,omitempty"` // the same in other words: "12 of 64 buckets"
	Started time.Time `json:"started"`          // of the phase; set by Task.Progress if zero
	At      time.Time `json:"at"`               // when Done was true; set by Task.Progress

	Waiting string `json:"waiting,omitempty"` // why the job does not go on for now

	// Overall is the share of the whole job that is done, 0 to 1, for jobs that can tell; 0 = unknown. It never goes back: a job that repeats what an earlier
	// attempt had done shows where that one was until it has come by there.
	Overall float64 `json:"overall,omitempty"`
	Left    float64 `json:"left,omitempty"` // seconds that the whole job will take at the rate of this attempt; set by Task.Progress, 0 = unknown
}

// Rate is what the phase does in a second, 0 if unknown.
func (p Progress) Rate() float64 {
	elapsed := p.At.Sub(p.Started).Seconds()
	if elapsed <= 0 || p.Done <= 0 {
		return 0
	}
	return float64(p.Done) / elapsed
}

// TimeLeft is what remains of the job, or of the phase if the job cannot tell, at its rate so far; 0 if unknown.
func (p Progress) TimeLeft() time.Duration {
	if p.Overall > 0 {
		return time.Duration(p.Left * float64(time.Second))
	}
	rate := p.Rate()
	if rate == 0 || p.Total <= p.Done {
		return 0
	}
	return time.Duration(float64(p.Total-p.Done) / rate * float64(time.Second))
}

// Progress reports how far the job is. It is cheap: only the heartbeat and the steps write it down.
func (t *Task) Progress(p Progress) {
	p.At = time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	last := t.shown()
	if p.Overall > 0 && last != nil && p.Overall < last.Overall {
		if last.Waiting != "" { // it goes on
			again := *last
			again.Waiting = ""
			t.progress = &again
		}
		return
	}
	if p.Started.IsZero() {
		p.Started = p.At
		if last != nil && last.Phase == p.Phase {
			p.Started = last.Started
		}
	}
	if p.Overall > 0 {
		if t.fromAt.IsZero() {
			t.from, t.fromAt = p.Overall, p.At
		}
		if gain, elapsed := p.Overall-t.from, p.At.Sub(t.fromAt).Seconds(); gain > 0 {
			p.Left = (1 - p.Overall) * elapsed / gain
		}
	}
	t.progress = &p
}

// wait notes with the last report why the job does not go on.
func (t *Task) wait(reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var p Progress
	if last := t.shown(); last != nil {
		p = *last
	}
	p.Waiting, p.Left, p.At = reason, 0, time.Now()
	t.progress = &p
}

// shown is the last report: of this attempt, or else of the one before. The caller holds mu.
func (t *Task) shown() *Progress {
	if t.progress != nil {
		return t.progress
	}
	var p Progress
	if len(t.row.Job.Progress) == 0 || json.Unmarshal(t.row.Job.Progress, &p) != nil || p.Phase == "" {
		return nil
	}
	return &p
}

// encodedProgress returns the last report, nil if there was none.
func (t *Task) encodedProgress() json.RawMessage {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.progress == nil {
		return nil
	}
	text, err := json.Marshal(t.progress)
	if err != nil {
		return nil // a time outside of JSON's years: not worth an attempt
	}
	return text
}
