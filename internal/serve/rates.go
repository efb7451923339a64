package serve

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/palate-dev/palate/internal/api"
)

// rates bound the calls a second of each resource. Any second may begin with a burst of all that it admits.
type rates struct {
	clock func() time.Time
	each  sync.Map // key -> *atomic.Int64: when the calls that were admitted so far have used up what time gave them, in nanoseconds since 1970
}

// admit takes one call, or asks the client to come again. perSecond 0 admits all.
func (r *rates) admit(key string, perSecond int) error {
	if perSecond == 0 {
		return nil
	}
	v, ok := r.each.Load(key)
	if !ok {
		v, _ = r.each.LoadOrStore(key, new(atomic.Int64))
	}
	spent, now, share := v.(*atomic.Int64), r.clock().UnixNano(), int64(time.Second)/int64(perSecond)
	for {
		before := spent.Load()
		after := max(before, now) + share
		if after > now+int64(time.Second) {
			return api.Errorf(api.Throttling, "Rate exceeded.")
		}
		if spent.CompareAndSwap(before, after) {
			return nil
		}
	}
}
