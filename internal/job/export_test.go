package job

import "time"

// SetPause sets the wait before the second attempt.
func (q *Queue) SetPause(d time.Duration) { q.pause = d }
