package dataset

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/palate-dev/palate/internal/blob"
)

// spill holds the encoded rows of an import by bucket: in memory up to a limit, then in files. The files are encrypted with a key that only this process
// knows, so that removing them is enough to destroy them.
type spill struct {
	dir     string
	block   cipher.Block
	limit   int64
	chunk   int          // size of the buffers that buffer gives out
	used    atomic.Int64 // bytes in memory
	buckets []spillBucket

	mu   sync.Mutex
	free [][]byte // buffers whose rows are in a file
}

type spillBucket struct {
	mu     sync.Mutex
	file   *os.File
	size   int64
	chunks []spillChunk
}

// spillChunk is some whole rows that one worker has read from one span of the input. data is nil when they are in the file.
type spillChunk struct {
	data   []byte
	offset int64
	size   int
	sum    uint32 // CRC-32C of the rows, once they are in the file
	rows   int
	weight int   // what the rows take in memory while they are sorted, about; it depends on the rows alone
	span   int64 // of the input
	worker int
}

const (
	maxChunk   = 64 << 10 // how many bytes of rows a worker collects for a bucket before it hands them over
	minChunk   = 8 << 10
	chunkBytes = 16 << 20 // what all workers together collect, if chunks of the least size allow it
)

func newSpill(dir string, buckets, workers int, limit int64) (*spill, error) {
	key := make([]byte, 16)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	chunk := min(max(chunkBytes/(buckets*workers), minChunk), maxChunk)
	return &spill{dir: dir, block: block, limit: limit, chunk: chunk, buckets: make([]spillBucket, buckets)}, nil
}

// stream is the key stream of one place of one file; no place is written twice.
func (s *spill) stream(bucket int, offset int64) cipher.Stream {
	var iv [aes.BlockSize]byte
	binary.BigEndian.PutUint32(iv[:], uint32(bucket))
	binary.BigEndian.PutUint64(iv[4:], uint64(offset)) // the last four bytes count the blocks of a chunk
	return cipher.NewCTR(s.block, iv[:])
}

// buffer returns an empty buffer for the rows of a chunk.
func (s *spill) buffer() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.free); n > 0 {
		b := s.free[n-1]
		s.free = s.free[:n-1]
		return b
	}
	return make([]byte, 0, s.chunk+s.chunk/8)
}

func (s *spill) recycle(b []byte) {
	if cap(b) > 4*s.chunk { // held a giant row
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, b[:0])
}

// add takes over a chunk.
func (s *spill) add(bucket int, c spillChunk) error {
	b := &s.buckets[bucket]
	b.mu.Lock()
	defer b.mu.Unlock()
	c.size = len(c.data)
	b.chunks = append(b.chunks, c)
	if s.used.Add(int64(cap(c.data))) <= s.limit {
		return nil
	}
	for i := len(b.chunks) - 1; i >= 0 && b.chunks[i].data != nil; i-- { // those before were flushed together
		if err := s.flush(bucket, b, &b.chunks[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *spill) flush(bucket int, b *spillBucket, c *spillChunk) error {
	if b.file == nil {
		f, err := os.OpenFile(filepath.Join(s.dir, fmt.Sprintf("%04d.spill", bucket)), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return fmt.Errorf("spill: %w", err)
		}
		b.file = f
	}
	if err := blob.CheckRoom(s.dir, blob.Reserve); err != nil {
		return fmt.Errorf("spill: %w", err)
	}
	s.stream(bucket, b.size).XORKeyStream(c.data, c.data)
	c.sum = castagnoli(c.data)
	if _, err := b.file.WriteAt(c.data, b.size); err != nil {
		return fmt.Errorf("spill: %w", err)
	}
	s.used.Add(-int64(cap(c.data)))
	s.recycle(c.data)
	c.data, c.offset = nil, b.size
	b.size += int64(c.size)
	return nil
}

// take returns the rows of a chunk, in out if it has room; the chunk leaves the memory.
func (s *spill) take(bucket int, c *spillChunk, out []byte) ([]byte, error) {
	if data := c.data; data != nil {
		s.used.Add(-int64(cap(data)))
		c.data = nil
		return data, nil
	}
	out = resized(out, c.size)
	if _, err := s.buckets[bucket].file.ReadAt(out, c.offset); err != nil {
		return nil, fmt.Errorf("read spill: %w", err)
	}
	if castagnoli(out) != c.sum {
		return nil, errors.New("read spill: the disk returned other bytes than were written")
	}
	s.stream(bucket, c.offset).XORKeyStream(out, out)
	return out, nil
}

// spillRun is what is sorted at once: some chunks of one bucket.
type spillRun struct {
	bucket       int
	chunks       []*spillChunk
	rows, weight int
}

// runs puts all chunks into runs of up to the given weight, each of whole spans of the input: which rows make a run does not depend on who has read them.
func (s *spill) runs(weight int) (runs []spillRun) {
	for bucket := range s.buckets {
		chunks := s.buckets[bucket].chunks
		slices.SortStableFunc(chunks, func(a, b spillChunk) int { return int(a.span - b.span) })
		run := spillRun{bucket: bucket}
		for len(chunks) > 0 {
			span := spillRun{}
			for len(chunks) > 0 && (span.rows == 0 || chunks[0].span == span.chunks[0].span) {
				span.chunks = append(span.chunks, &chunks[0])
				span.rows += chunks[0].rows
				span.weight += chunks[0].weight
				chunks = chunks[1:]
			}
			if run.rows > 0 && run.weight+span.weight > weight {
				runs = append(runs, run)
				run = spillRun{bucket: bucket}
			}
			run.chunks = append(run.chunks, span.chunks...)
			run.rows += span.rows
			run.weight += span.weight
		}
		if run.rows > 0 {
			runs = append(runs, run)
		}
	}
	return runs
}

// close removes the files.
func (s *spill) close() error {
	var err error
	for i := range s.buckets {
		if f := s.buckets[i].file; f != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}
	return err
}
