package work

import "github.com/palate-dev/palate/internal/job"

// shares are the parts of a data deletion's time that its steps take, roughly, in order. What is told of the time left adapts to what really happens.
var shares = []struct {
	step  string
	share float64
}{{"pin", 0.05}, {"hide", 0.05}, {"erase", 0.35}, {"rebuild", 0.3}, {"sweep", 0.05}, {"verify", 0.18}, {"receipt", 0.02}}

// overall is the share of the whole deletion that is done when a step is at done of total; total 0: at its beginning.
func overall(step string, done, total int64) float64 {
	const begun = 0.001 // 0 would say that nothing is known
	sum := begun
	for _, s := range shares {
		if s.step == step {
			if total > 0 {
				sum += s.share * min(1, float64(done)/float64(total))
			}
			break
		}
		sum += s.share
	}
	return min(1, sum)
}

// advance reports how far the deletion is. Repeated steps are not shown before they come to what an earlier attempt had reached.
func (e *erasureRun) advance(step string, done, total int64, unit, detail string) {
	e.task.Progress(job.Progress{Phase: step, Done: done, Total: total, Unit: unit, Detail: detail, Overall: overall(step, done, total)})
}
