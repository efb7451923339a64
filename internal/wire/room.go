package wire

import (
	"sync/atomic"
	"time"
)

// room bounds how many calls of an operation are under way. Whoever finds it full is refused at once, before anybody looks at who he is: a client that is told to come
// again costs little, one that waits in an endless queue gives up and asks again, and then everybody waits longer than he will.
//
// There is room for as many calls as end in fifty milliseconds, which is how long the last of them waits, but for least of them in any case and for no more than most.
type room struct {
	least, most int64
	bound       atomic.Int64 // on the calls under way
	under       atomic.Int64 // calls under way
	ended       atomic.Int64 // calls that have ended since began
	began       atomic.Int64 // nanoseconds since epoch
}

const (
	roomWork   = 50 * time.Millisecond
	roomWindow = 100 * time.Millisecond // over which it is counted how many end
	roomGrowth = 8                      // most by least
)

func newRoom(calls int) *room {
	r := &room{least: int64(calls), most: roomGrowth * int64(calls)}
	r.bound.Store(r.least)
	return r
}

// enter takes a place and tells whether there was one. Whoever got one calls leave.
func (r *room) enter() bool {
	if r.under.Add(1) <= r.bound.Load() {
		return true
	}
	r.under.Add(-1)
	return false
}

func (r *room) leave() {
	r.under.Add(-1)
	if r.ended.Add(1)%32 == 0 { // so seldom that the clock costs nothing
		r.measure(time.Now().UnixNano())
	}
}

// measure sets the bound, if it is time.
func (r *room) measure(now int64) {
	began := r.began.Load()
	took := now - began
	if took < int64(roomWindow) || !r.began.CompareAndSwap(began, now) {
		return
	}
	ended := r.ended.Swap(0)
	r.bound.Store(min(max(r.least, ended*int64(roomWork)/took), r.most))
}
