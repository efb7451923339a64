package job

import (
	"encoding/json"
	"time"
)

// Progress tells people how far a job is. It is stored with the heartbeat and after each step.
type Progress struct {
	Phase   string    `json:"phase"`
	Done    int64     `json:"done"`
	Total   int64     `json:"total,omitempty"` // 0 = unknown
	Unit    string    `json:"unit,omitempty"`  // "rows", "bytes", "users", "models"
	Started time.Time `json:"started"`         // of the phase; set by Task.Progress if zero
	At      time.Time `json:"at"`              // when Done was true; set by Task.Progress
}

// Rate is what the phase does in a second, 0 if unknown.
func (p Progress) Rate() float64 {
	elapsed := p.At.Sub(p.Started).Seconds()
	if elapsed <= 0 || p.Done <= 0 {
		return 0
	}
	return float64(p.Done) / elapsed
}

// TimeLeft is what remains of the phase at its rate so far, 0 if unknown.
func (p Progress) TimeLeft() time.Duration {
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
	if p.Started.IsZero() {
		p.Started = p.At
		if t.progress != nil && t.progress.Phase == p.Phase {
			p.Started = t.progress.Started
		}
	}
	t.progress = &p
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
