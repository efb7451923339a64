package recipe

import "sync/atomic"

// meter counts the progress of a phase that several workers share, and passes on about every hundredth of it.
type meter struct {
	report Progress
	phase  string
	total  int64
	done   atomic.Int64
}

func newMeter(report Progress, phase string, total int) *meter {
	return &meter{report: report, phase: phase, total: int64(total)}
}

func (m *meter) add(n int64) {
	done := m.done.Add(n)
	if done*100/m.total != (done-n)*100/m.total {
		m.report(m.phase, done, m.total)
	}
}
