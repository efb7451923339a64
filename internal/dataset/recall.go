package dataset

import (
	"slices"
	"sync"
)

// recallBytes is about what one table may remember of what Imported found.
const recallBytes = 128 << 20

// recall remembers the imported events of users who were asked for, because reading them takes a thousand times as long as the rest of a request. Whatever changes the
// imported files of the table empties it, and so does the beginning of an erasure in the group; while one runs nothing is remembered.
type recall struct {
	mu    sync.Mutex
	epoch uint64 // counts how often it was emptied
	of    map[string][]LiveEvent
	bytes int
}

// get returns what is remembered of a user, which must not be changed, and otherwise the epoch that set wants.
func (r *recall) get(user string) (events []LiveEvent, known bool, epoch uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	events, known = r.of[user]
	return events, known, r.epoch
}

// set remembers what was read of a user, unless it was emptied since the epoch.
func (r *recall) set(user string, events []LiveEvent, epoch uint64) {
	size := recallSize(user, events)
	if size > recallBytes/16 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.of[user]; known || r.epoch != epoch {
		return
	}
	for other, events := range r.of { // in no order: as good as any for requests of everybody
		if r.bytes+size <= recallBytes {
			break
		}
		r.bytes -= recallSize(other, events)
		delete(r.of, other)
	}
	if r.of == nil {
		r.of = map[string][]LiveEvent{}
	}
	r.of[user] = slices.Clip(events)
	r.bytes += size
}

func (r *recall) empty() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.of, r.bytes = nil, 0
	r.epoch++
}

// each yields the users of whom something is remembered, with the least sequence number of their events.
func (r *recall) each(yield func(user string, seq int64)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for user, events := range r.of {
		seq := int64(0)
		for i, e := range events {
			if i == 0 || e.Seq < seq {
				seq = e.Seq
			}
		}
		yield(user, seq)
	}
}

// recallSize is about the memory of an entry.
func recallSize(user string, events []LiveEvent) int {
	n := 64 + len(user)
	for i := range events {
		n += 64 + len(events[i].Item) + len(events[i].Type)
	}
	return n
}
