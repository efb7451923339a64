package wire

import "sync/atomic"

// room bounds how many calls of an operation are under way. Whoever finds it full is refused at once, before his request is read: a client that is told to come
// again costs little, one that waits in an endless queue gives up and asks again, and then everybody waits longer than he will.
type room struct {
	left atomic.Int64
}

func newRoom(calls int) *room {
	r := new(room)
	r.left.Store(int64(calls))
	return r
}

// enter takes a place and tells whether there was one. Whoever got one calls leave.
func (r *room) enter() bool {
	if r.left.Add(-1) >= 0 {
		return true
	}
	r.left.Add(1)
	return false
}

// full tells whether the next one would be refused.
func (r *room) full() bool { return r.left.Load() <= 0 }

func (r *room) leave() { r.left.Add(1) }
