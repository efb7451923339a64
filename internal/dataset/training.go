package dataset

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"

	"github.com/palate-dev/palate/internal/pace"
)

// Events reads an event log for training: the effective view, in which anonymous events of a session that somebody signed in with are his. If several did,
// they belong to the one whose event came in first. columns names the string fields that the result's Context is to have, in that order.
func (e *Engine) Events(ctx context.Context, t Table, columns ...string) (*Events, error) {
	return e.events(ctx, t, math.MaxInt64, columns)
}

// EventsSince is Events for whoever works with a model that knows everything up to a sequence number: anonymous events that came later, and those whose user
// signed in later, stay with their session until the next training.
func (e *Engine) EventsSince(ctx context.Context, t Table, trained int64) (*Events, error) {
	return e.events(ctx, t, trained, nil)
}

// events joins the anonymous events up to a sequence number with the users who had signed in by then.
func (e *Engine) events(ctx context.Context, t Table, joined int64, columns []string) (*Events, error) {
	state, err := e.find(t)
	if err != nil {
		return nil, err
	}
	if !t.Schema.Type.IsLog() {
		return nil, fmt.Errorf("read events: %s is not an event log", t.Schema.Type)
	}
	s := state.snapshot()
	defer s.release()
	mem, err := s.mem.blocks(s.layout)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	r, err := newTraining(ctx, s, mem, joined, columns)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	ev, err := r.read(ctx, mem)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	ev.Seq = s.seq
	return ev, nil
}

// inParallel calls f(0) to f(n-1) on all cores and returns the error of the lowest index that failed.
func inParallel(ctx context.Context, n int, f func(i int) error) error {
	errs := make([]error, n)
	next := make(chan int)
	var failed sync.Once
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var work sync.WaitGroup
	workers := min(n, pace.Cores())
	for range workers {
		work.Go(func() {
			budget := pace.Process.Worker(workers)
			for i := range next {
				if errs[i] = f(i); errs[i] != nil {
					failed.Do(stop)
				}
				budget.Step()
			}
		})
	}
	for i := range n {
		select {
		case next <- i:
			continue
		case <-ctx.Done():
		}
		errs[i] = ctx.Err()
		break
	}
	close(next)
	work.Wait()
	var first error
	for _, err := range errs {
		if err != nil && (first == nil || errors.Is(first, context.Canceled)) {
			first = err
		}
	}
	return first
}

// training is one read of events. It reads the users of every bucket first and makes room for what each may have; then it goes bucket by bucket again: the
// files become runs, flat arrays in sort order (trainingrun.go), which are merged into the room of their users; and then it brings the whole into canonical
// form (assemble.go). So nothing as large as the result stands beside it.
type training struct {
	s        *snapshot
	item     int // columns; -1 if the table has none
	kind     int
	value    int
	context  []int
	columns  []EventColumn     // of context, without values
	repeated map[int64]bool    // streamed events whose eventId an earlier one has, by sequence number
	joined   int64             // later events stay with their session
	signedIn map[string]signIn // session -> who signed in, for the sessions that have anonymous events
	joins    map[string]int    // who signed in -> how many anonymous events may become his
	unseen   map[string]int64  // session of a hidden user -> anonymous events up to here are hidden too
}

type signIn struct {
	user string
	seq  int64
}

func newTraining(ctx context.Context, s *snapshot, mem map[int]*block, joined int64, columns []string) (*training, error) {
	r := &training{s: s, joined: joined, item: s.layout.column("ITEM_ID"), kind: s.layout.column("EVENT_TYPE"), value: s.layout.column("EVENT_VALUE")}
	if r.item < 0 {
		r.item = s.layout.column("ACTION_ID")
	}
	if r.item < 0 {
		return nil, errors.New("the table has no items")
	}
	for _, name := range columns {
		c := s.layout.column(name)
		if c < 0 {
			return nil, fmt.Errorf("the table has no column %s", name)
		}
		r.context, r.columns = append(r.context, c), append(r.columns, EventColumn{Name: name, Numeric: s.layout.cols[c].kind.Numeric()})
	}
	streamed, err := s.surveyStreamed(ctx, mem)
	if err != nil {
		return nil, err
	}
	r.repeated = streamed.ids.repeated()
	if r.signedIn, err = s.signIns(ctx, mem, joined, streamed.anonymous); err != nil {
		return nil, err
	}
	r.joins = make(map[string]int)
	for session, who := range r.signedIn {
		r.joins[who.user] += streamed.anonymous[session]
	}
	return r, r.findUnseen(ctx)
}

// read returns the events of all buckets.
func (r *training) read(ctx context.Context, mem map[int]*block) (*Events, error) {
	numbers := r.s.buckets(mem)
	buckets := make([]*bucketRead, len(numbers))
	readers := make(chan *bucketReader, pace.Cores()) // one for each core; which bucket gets which does not show in the result
	var all []*bucketReader
	for i := range cap(readers) {
		b := &bucketReader{training: r, number: uint16(i), codes: newCodes(len(r.context))}
		all = append(all, b)
		readers <- b
	}
	each := func(f func(*bucketReader, *bucketRead) error) error {
		return inParallel(ctx, len(buckets), func(i int) error {
			b := <-readers
			defer func() { readers <- b }()
			return f(b, buckets[i])
		})
	}

	for i, n := range numbers {
		buckets[i] = &bucketRead{files: r.s.bucketFiles(n, true, true), mem: mem[n]}
	}
	if err := each(func(b *bucketReader, in *bucketRead) error { return b.readUsers(ctx, in) }); err != nil {
		return nil, err
	}
	a := newAssembly(buckets, r.joins, r.columns)
	if err := each(func(b *bucketReader, in *bucketRead) error { return b.readEvents(ctx, in, a) }); err != nil {
		return nil, err
	}
	return a.finish(ctx, all)
}

// streamed is what a read must know of all streamed rows before it reads any.
type streamed struct {
	ids       eventCollector
	anonymous map[string]int // how many events the sessions have that nobody had signed in with yet
}

// surveyStreamed looks through the streamed rows that are not hidden.
func (s *snapshot) surveyStreamed(ctx context.Context, mem map[int]*block) (streamed, error) {
	var mu sync.Mutex
	all := streamed{anonymous: make(map[string]int)}
	err := s.eachPutBlock(ctx, mem, func(b *block) error {
		seen, anonymous := make([]seenEvent, 0, b.n), make(map[string]int)
		hidden := s.hider()
		for i := range b.n {
			if hidden.hides(b, i) {
				continue
			}
			seen = seeEvent(seen, b, i)
			if session := b.session(i); session != "" && session == b.key(i) {
				anonymous[session]++
			}
		}
		mu.Lock()
		defer mu.Unlock()
		all.ids.add(seen)
		for session, n := range anonymous {
			all.anonymous[strings.Clone(session)] += n // also where it is known: an assignment replaces the key
		}
		return b.err
	})
	return all, err
}

// signIns finds the first user of each of the sessions who has signed in by then.
func (s *snapshot) signIns(ctx context.Context, mem map[int]*block, by int64, sessions map[string]int) (map[string]signIn, error) {
	signedIn := make(map[string]signIn)
	if len(sessions) == 0 {
		return signedIn, nil
	}
	var mu sync.Mutex
	return signedIn, s.eachPutBlock(ctx, mem, func(b *block) error {
		hidden := s.hider()
		for i := range b.n {
			session := b.session(i)
			if sessions[session] == 0 || session == b.key(i) || b.seq(i) > by || hidden.hides(b, i) {
				continue
			}
			mu.Lock()
			if first, ok := signedIn[session]; !ok || b.seq(i) < first.seq {
				signedIn[strings.Clone(session)] = signIn{user: strings.Clone(b.key(i)), seq: b.seq(i)}
			}
			mu.Unlock()
		}
		return b.err
	})
}

// findUnseen collects the sessions that hidden users signed in with: their anonymous events will be erased with the users.
func (r *training) findUnseen(ctx context.Context) error {
	r.unseen = make(map[string]int64)
	for _, m := range r.s.masks {
		if err := r.s.sessionsOf(ctx, m, func(session string) {
			r.unseen[strings.Clone(session)] = max(r.unseen[session], m.cut)
		}); err != nil {
			return err
		}
	}
	return nil
}

// movedEvent is an anonymous event that belongs to somebody who may be in another bucket.
type movedEvent struct {
	user, item, kind string
	from             string // the session
	time             int64
	value            float32
	context          []string
}

// codes are the codes of items, types and levels of context columns that one core gives.
type codes struct {
	items, kinds *names
	untyped      bool                // there are events without a type
	levels       []*names            // by context column
	numbers      []map[float64]int32 // by context column: the codes of numbers that it has met
}

func newCodes(columns int) *codes {
	c := &codes{items: newNames(), kinds: newNames()}
	for range columns {
		c.levels, c.numbers = append(c.levels, newNames()), append(c.numbers, map[float64]int32{})
	}
	return c
}

var errTypes = errors.New("more than 65536 event types")
