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
	"sync"
	"sync/atomic"
)

// spill holds the encoded rows of an import by bucket: in memory up to a limit, then in files. The files are encrypted with a key that only this process
// knows, so that removing them is enough to destroy them.
type spill struct {
	dir     string
	block   cipher.Block
	limit   int64
	used    atomic.Int64 // bytes in memory
	buckets []spillBucket
}

type spillBucket struct {
	mu     sync.Mutex
	file   *os.File
	size   int64
	chunks []spillChunk
}

// spillChunk is some whole rows. data is nil when they are in the file.
type spillChunk struct {
	data   []byte
	offset int64
	size   int
	rows   int
}

// chunkBytes is how many rows a worker collects for a bucket before it hands them over.
const chunkBytes = 64 << 10

func newSpill(dir string, buckets int, limit int64) (*spill, error) {
	key := make([]byte, 16)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return &spill{dir: dir, block: block, limit: limit, buckets: make([]spillBucket, buckets)}, nil
}

// stream is the key stream of one place of one file; no place is written twice.
func (s *spill) stream(bucket int, offset int64) cipher.Stream {
	var iv [aes.BlockSize]byte
	binary.BigEndian.PutUint32(iv[:], uint32(bucket))
	binary.BigEndian.PutUint64(iv[4:], uint64(offset)) // the last four bytes count the blocks of a chunk
	return cipher.NewCTR(s.block, iv[:])
}

// add takes over a chunk.
func (s *spill) add(bucket int, data []byte, rows int) error {
	b := &s.buckets[bucket]
	b.mu.Lock()
	defer b.mu.Unlock()
	b.chunks = append(b.chunks, spillChunk{data: data, size: len(data), rows: rows})
	if s.used.Add(int64(cap(data))) <= s.limit {
		return nil
	}
	for i := range b.chunks {
		if err := s.flush(bucket, b, &b.chunks[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *spill) flush(bucket int, b *spillBucket, c *spillChunk) error {
	if c.data == nil {
		return nil
	}
	if b.file == nil {
		f, err := os.OpenFile(filepath.Join(s.dir, fmt.Sprintf("%04d.spill", bucket)), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return fmt.Errorf("spill: %w", err)
		}
		b.file = f
	}
	s.stream(bucket, b.size).XORKeyStream(c.data, c.data)
	if _, err := b.file.WriteAt(c.data, b.size); err != nil {
		return fmt.Errorf("spill: %w", err)
	}
	s.used.Add(-int64(cap(c.data)))
	c.data, c.offset = nil, b.size
	b.size += int64(c.size)
	return nil
}

// take returns the rows of a range of chunks, which leave the memory.
func (s *spill) take(r spillRun) ([]byte, error) {
	b := &s.buckets[r.bucket]
	out := make([]byte, 0, r.size)
	for i := r.from; i < r.to; i++ {
		c := &b.chunks[i]
		if c.data != nil {
			out = append(out, c.data...)
			s.used.Add(-int64(cap(c.data)))
			c.data = nil
			continue
		}
		at := len(out)
		out = out[:at+c.size]
		if _, err := b.file.ReadAt(out[at:], c.offset); err != nil {
			return nil, fmt.Errorf("read spill: %w", err)
		}
		s.stream(r.bucket, c.offset).XORKeyStream(out[at:], out[at:])
	}
	return out, nil
}

// spillRun is what is sorted at once: a range of chunks of one bucket.
type spillRun struct{ bucket, from, to, size, rows int }

// runs cuts all chunks into runs of about the given size.
func (s *spill) runs(size int) (runs []spillRun) {
	for bucket := range s.buckets {
		run := spillRun{bucket: bucket}
		for i, c := range s.buckets[bucket].chunks {
			if run.size > 0 && run.size+c.size > size {
				runs = append(runs, run)
				run = spillRun{bucket: bucket, from: i}
			}
			run.to = i + 1
			run.size += c.size
			run.rows += c.rows
		}
		if run.size > 0 {
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
