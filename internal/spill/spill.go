// Package spill keeps rows by bucket while they wait to be sorted: in memory up to a limit, then in files.
//
// The files are encrypted with a key that only this process knows, so that removing them is enough to destroy what was in them; bytes that the disk changes are
// noticed. Which rows make a run follows from the rows and the spans of the input that they come from, never from the workers or their timing.
package spill

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/palate-dev/palate/internal/blob"
)

// Spill takes chunks from any number of workers, then gives them back as runs.
type Spill struct {
	dir       string
	block     cipher.Block
	limit     int64
	chunkSize int          // bytes of rows that are worth handing over
	used      atomic.Int64 // bytes in memory
	buckets   []bucketFile

	mu   sync.Mutex
	free [][]byte // buffers whose rows are in a file
}

type bucketFile struct {
	mu     sync.Mutex
	file   *os.File
	size   int64
	chunks []Chunk
}

// Chunk is some whole rows that one worker has read from one span of the input.
type Chunk struct {
	Data   []byte // encoded rows, in a buffer that Buffer has returned; nil when they are in a file
	Rows   int
	Weight int   // what the rows take in memory while they are sorted, about; it must depend on the rows alone
	Span   int64 // of the input
	Worker int

	offset int64
	size   int
	sum    uint32 // CRC-32C of the rows, once they are in the file
}

const (
	maxChunk   = 64 << 10 // how many bytes of rows a worker collects for a bucket before it hands them over
	minChunk   = 8 << 10
	chunkBytes = 16 << 20 // what all workers together collect, if chunks of the least size allow it
)

// New returns an empty spill whose files will stand in dir. The workers that fill it collect some more memory than limit: ChunkSize for each of their buckets.
func New(dir string, buckets, workers int, limit int64) (*Spill, error) {
	key := make([]byte, 16)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	chunk := min(max(chunkBytes/(buckets*workers), minChunk), maxChunk)
	return &Spill{dir: dir, block: block, limit: limit, chunkSize: chunk, buckets: make([]bucketFile, buckets)}, nil
}

func checksum(p []byte) uint32 { return crc32.Checksum(p, crc32.MakeTable(crc32.Castagnoli)) }

// stream is the key stream of one place of one file; no place is written twice.
func (s *Spill) stream(bucket int, offset int64) cipher.Stream {
	var iv [aes.BlockSize]byte
	binary.BigEndian.PutUint32(iv[:], uint32(bucket))
	binary.BigEndian.PutUint64(iv[4:], uint64(offset)) // the last four bytes count the blocks of a chunk
	return cipher.NewCTR(s.block, iv[:])
}

// ChunkSize is how many bytes of rows a worker collects for a bucket before it adds them.
func (s *Spill) ChunkSize() int { return s.chunkSize }

// Buffer returns an empty buffer for the rows of a chunk.
func (s *Spill) Buffer() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.free); n > 0 {
		b := s.free[n-1]
		s.free = s.free[:n-1]
		return b
	}
	return make([]byte, 0, s.chunkSize+s.chunkSize/8)
}

func (s *Spill) recycle(b []byte) {
	if cap(b) > 4*s.chunkSize { // held a giant row
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, b[:0])
}

// Add takes over a chunk and its buffer.
func (s *Spill) Add(bucket int, c Chunk) error {
	b := &s.buckets[bucket]
	b.mu.Lock()
	defer b.mu.Unlock()
	c.size = len(c.Data)
	b.chunks = append(b.chunks, c)
	if s.used.Add(int64(cap(c.Data))) <= s.limit {
		return nil
	}
	for i := len(b.chunks) - 1; i >= 0 && b.chunks[i].Data != nil; i-- { // those before were flushed together
		if err := s.flush(bucket, b, &b.chunks[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *Spill) flush(bucket int, b *bucketFile, c *Chunk) error {
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
	s.stream(bucket, b.size).XORKeyStream(c.Data, c.Data)
	c.sum = checksum(c.Data)
	if _, err := b.file.WriteAt(c.Data, b.size); err != nil {
		return fmt.Errorf("spill: %w", err)
	}
	s.used.Add(-int64(cap(c.Data)))
	s.recycle(c.Data)
	c.Data, c.offset = nil, b.size
	b.size += int64(c.size)
	return nil
}

// Load appends the rows of all chunks of a run to out, in the order of its chunks, and takes them out of memory. What comes from a file stands in memory, which is
// returned, grown if need be.
func (s *Spill) Load(run Run, out [][]byte, memory []byte) ([][]byte, []byte, error) {
	size := 0
	for _, c := range run.Chunks {
		if c.Data == nil {
			size += c.size
		}
	}
	memory = slices.Grow(memory[:0], size)
	at := 0
	for _, c := range run.Chunks {
		stored := c.Data == nil
		data, err := s.take(run.Bucket, c, memory[at:at:size])
		if err != nil {
			return nil, memory, err
		}
		if stored {
			at += len(data)
		}
		out = append(out, data)
	}
	return out, memory, nil
}

// take returns the rows of a chunk, in out if they stand in the file.
func (s *Spill) take(bucket int, c *Chunk, out []byte) ([]byte, error) {
	if data := c.Data; data != nil {
		s.used.Add(-int64(cap(data)))
		c.Data = nil
		return data, nil
	}
	out = out[:c.size]
	if _, err := s.buckets[bucket].file.ReadAt(out, c.offset); err != nil {
		return nil, fmt.Errorf("read spill: %w", err)
	}
	if checksum(out) != c.sum {
		return nil, errors.New("read spill: the disk returned other bytes than were written")
	}
	s.stream(bucket, c.offset).XORKeyStream(out, out)
	return out, nil
}

// Run is what is sorted at once: some chunks of one bucket.
type Run struct {
	Bucket int
	Chunks []*Chunk
	Rows   int
	Weight int
}

// Runs puts all chunks into runs of up to the given weight, each of whole spans of the input: which rows make a run does not depend on who has read them.
func (s *Spill) Runs(weight int) (runs []Run) {
	for bucket := range s.buckets {
		chunks := s.buckets[bucket].chunks
		slices.SortStableFunc(chunks, func(a, b Chunk) int { return int(a.Span - b.Span) })
		run := Run{Bucket: bucket}
		for len(chunks) > 0 {
			span := Run{}
			for len(chunks) > 0 && (span.Rows == 0 || chunks[0].Span == span.Chunks[0].Span) {
				span.Chunks = append(span.Chunks, &chunks[0])
				span.Rows += chunks[0].Rows
				span.Weight += chunks[0].Weight
				chunks = chunks[1:]
			}
			if run.Rows > 0 && run.Weight+span.Weight > weight {
				runs = append(runs, run)
				run = Run{Bucket: bucket}
			}
			run.Chunks = append(run.Chunks, span.Chunks...)
			run.Rows += span.Rows
			run.Weight += span.Weight
		}
		if run.Rows > 0 {
			runs = append(runs, run)
		}
	}
	return runs
}

// Close removes the files.
func (s *Spill) Close() error {
	var err error
	for i := range s.buckets {
		if f := s.buckets[i].file; f != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}
	return err
}
