package dataset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/internal/crash"
	"github.com/palate-dev/palate/internal/metrics"
)

// write is the writer goroutine: the only one that appends to segments and that gives numbers to streamed rows.
func (l *eventLog) write() {
	defer close(l.done)
	defer func() { l.active.Close() }()
	for {
		r := <-l.queue
		if r == nil {
			return
		}
		if r.kind == rotateLog {
			l.rotate(r)
			continue
		}
		batch, next, stop := l.collect(r)
		l.commit(batch)
		if next != nil {
			l.rotate(next)
		}
		if stop {
			return
		}
	}
}

// gather waits until as many requests are there as the last batch had, or for a millisecond: they share a sync, and each sync saved is time for more of them, and for whoever
// asks for recommendations meanwhile. Whoever puts alone never waits, because his batches are of one.
func (l *eventLog) gather() {
	runtime.Gosched() // those that are about to come
	wanted := l.last - 1
	if wanted <= 0 {
		return
	}
	select {
	case <-l.enough: // of an earlier batch
	default:
	}
	l.wanted.Store(int32(wanted))
	defer l.wanted.Store(0)
	if len(l.queue) >= wanted {
		return
	}
	timer := time.NewTimer(gatherTime)
	defer timer.Stop()
	select {
	case <-l.enough:
	case <-timer.C:
	}
}

// collect takes what else waits in the queue, up to the size of a frame. A request to rotate ends the batch.
func (l *eventLog) collect(first *logRequest) (batch []*logRequest, rotate *logRequest, stop bool) {
	l.gather()
	defer func() { l.last = len(batch) }()
	batch = []*logRequest{first}
	for size := len(first.body); size < batchBytes && len(batch) < queueLength; {
		select {
		case r := <-l.queue:
			if r == nil {
				return batch, nil, true
			}
			if r.kind == rotateLog {
				return batch, r, false
			}
			batch = append(batch, r)
			size += len(r.body)
		default:
			return batch, nil, false
		}
	}
	return batch, nil, false
}

// commit writes a batch as one frame, makes it durable, shows it to readers and answers the callers.
func (l *eventLog) commit(batch []*logRequest) {
	l.number(batch)
	err := l.append(batch)
	if err == nil {
		l.publish(batch)
	}
	l.g.seqMu.Lock()
	l.g.inFlight = 0
	if err == nil {
		l.g.published = batch[len(batch)-1].seq
	}
	l.g.seqMu.Unlock()
	for _, r := range batch {
		r.err = err
		close(r.done)
	}
	if l.size >= l.g.e.limits.foldBytes {
		l.g.wantFold()
	}
}

// number gives each row its sequence number; a fence takes one of its own.
func (l *eventLog) number(batch []*logRequest) {
	l.g.seqMu.Lock()
	defer l.g.seqMu.Unlock()
	l.g.inFlight = l.g.next
	for _, r := range batch {
		l.g.next += int64(max(r.rows, 1)) // a fence takes one of its own
		r.seq = l.g.next - 1
	}
}

// append writes the frame. If the write fails the file is cut back to its last good frame; if that or a sync fails, the process must end.
func (l *eventLog) append(batch []*logRequest) error {
	b := append(l.buf[:0], make([]byte, frameHeader)...)
	var head []byte
	for _, r := range batch {
		head = binary.AppendUvarint(head[:0], uint64(r.kind))
		head = binary.AppendUvarint(head, uint64(r.first()))
		b = binary.AppendUvarint(b, uint64(len(head)+len(r.body)))
		b = append(append(b, head...), r.body...)
		if len(r.counts) > 0 {
			counts := binary.AppendUvarint(binary.AppendUvarint(nil, uint64(countRecord)), uint64(r.seq))
			counts = appendCounts(counts, r.counts)
			b = append(binary.AppendUvarint(b, uint64(len(counts))), counts...)
		}
	}
	l.buf = b
	binary.LittleEndian.PutUint32(b, frameMagic)
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-frameHeader))
	binary.LittleEndian.PutUint64(b[8:], uint64(batch[0].first()))
	binary.LittleEndian.PutUint64(b[16:], uint64(batch[len(batch)-1].seq))
	binary.LittleEndian.PutUint32(b[24:], castagnoli(b[frameHeader:]))
	binary.LittleEndian.PutUint32(b[28:], castagnoli(b[:28]))
	if _, err := l.active.WriteAt(b, l.size); err != nil {
		if cutErr := cutTail(l.active.Name(), l.size, l.size+int64(len(b))); cutErr != nil {
			l.g.e.fatal(errors.Join(err, cutErr))
		}
		return fmt.Errorf("append to event log: %w", err)
	}
	crash.Point("log/written")
	start := time.Now()
	if err := l.active.Sync(); err != nil {
		l.g.e.fatal(fmt.Errorf("sync event log: %w", err))
		return fmt.Errorf("sync event log: %w", err)
	}
	crash.Point("log/synced")
	metrics.LogFsync.Observe(time.Since(start).Seconds())
	metrics.LogBatch.Observe(float64(len(batch)))
	l.size += int64(len(b))
	share(b[frameHeader:], batch)
	l.mu.Lock()
	l.waiting += int64(len(b))
	if l.activeAt.IsZero() {
		l.activeAt = time.Now()
	}
	l.mu.Unlock()
	if cap(l.buf) > 2*batchBytes {
		l.buf = nil
	}
	return nil
}

// share gives each put its part of one copy of the frame: the bodies have room to spare, and together they are one object for the garbage collector.
func share(payload []byte, batch []*logRequest) {
	text := string(payload)
	end := 0
	for _, r := range batch {
		n, size := binary.Uvarint(payload[end:])
		end += size + int(n)
		r.text, r.body = text[end-len(r.body):end], nil
		if len(r.counts) > 0 {
			n, size := binary.Uvarint(payload[end:])
			end += size + int(n)
		}
	}
}

// first is the number of the request's first row.
func (r *logRequest) first() int64 { return r.seq - int64(max(r.rows, 1)) + 1 }

func (l *eventLog) publish(batch []*logRequest) {
	for _, r := range batch {
		if r.kind == putRecord {
			metrics.PutRows.Add(float64(r.rows))
			r.table.receive(memPut{first: r.first(), rows: r.rows, text: r.text})
			l.g.tally.count(r.counts)
		}
	}
}

// rotate closes the active segment, unless it is empty, and answers with all closed ones.
func (l *eventLog) rotate(r *logRequest) {
	defer close(r.done)
	if l.size > segmentHeader {
		old := l.active
		if r.err = l.begin(); r.err != nil {
			return
		}
		crash.Point("log/rotated")
		old.Close()
		l.mu.Lock()
		l.closed = append(l.closed, filepath.Base(old.Name()))
		l.activeAt = time.Time{}
		l.mu.Unlock()
	}
	l.g.tally.close()
	l.mu.Lock()
	r.segments = slices.Clone(l.closed)
	l.mu.Unlock()
	r.seq, _ = l.g.progress()
}

// forget destroys closed segments whose rows are all in data files. A segment that a crash has left half overwritten would pass for damage, so each loses
// its name first.
func (l *eventLog) forget(names []string) error {
	for _, name := range names {
		path := filepath.Join(l.dir, name)
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("forget segment: %w", err)
		}
		if err := blob.Discard(path); err != nil {
			return fmt.Errorf("forget segment: %w", err)
		}
		crash.Point("log/forgotten")
		l.mu.Lock()
		l.closed = slices.DeleteFunc(l.closed, func(s string) bool { return s == name })
		l.waiting -= info.Size() - segmentHeader
		l.mu.Unlock()
	}
	return nil
}
