// Package userset keeps sets of user ids, such as those that an erasure must remove, without a string for each, and writes them so that damage is noticed.
//
// A Set never changes; ids are compared byte for byte. Its serial form is one and the same for the same ids.
package userset

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/maphash"
	"io"
	"iter"
	"math"
	"slices"
	"unsafe"
)

// Set is an immutable set of user ids, compared byte for byte and kept in sorted order. It costs the bytes of the ids and about 12 bytes more for each.
type Set struct {
	text  string   // the ids, sorted, one after the other
	ends  []uint32 // the end of each in text
	slots []uint32 // open addressing by hash: 0 is free, else 1 + rank
	seed  maphash.Seed
}

// New returns the set of ids, in which duplicates count once.
func New(ids []string) *Set {
	b := NewBuilder()
	for _, id := range ids {
		b.Add(id)
	}
	return b.Set()
}

// Builder collects the ids of a set without holding each as a string of its own.
type Builder struct {
	text []byte
	ends []uint32
}

// NewBuilder returns an empty builder.
func NewBuilder() *Builder { return &Builder{} }

// Add adds an id, which is copied.
func (b *Builder) Add(id string) {
	if uint64(len(b.text))+uint64(len(id)) > math.MaxUint32 {
		panic("userset: set larger than 4 GiB") // forty times the largest deletion list
	}
	b.text = append(b.text, id...)
	b.ends = append(b.ends, uint32(len(b.text)))
}

// Set returns the set of what was added, and empties the builder.
func (b *Builder) Set() *Set {
	text, ends := b.text, b.ends
	*b = Builder{}
	sorted := make([]byte, 0, len(text))
	u := &Set{ends: make([]uint32, 0, len(ends))}
	var last []byte
	for _, k := range sortedIDs(text, ends) {
		id := text[idStart(ends, int(k.at)):ends[k.at]]
		if len(u.ends) > 0 && bytes.Equal(last, id) {
			continue
		}
		sorted = append(sorted, id...)
		u.ends = append(u.ends, uint32(len(sorted)))
		last = id
	}
	u.text = unsafe.String(unsafe.SliceData(sorted), len(sorted))
	u.index()
	return u
}

// idKey stands for an id in a sort: eight of its bytes decide nearly every comparison without touching the text.
type idKey struct {
	key uint64
	at  uint32
}

// sortedIDs orders ids by their bytes. The keys start after the prefix that all ids share ("user-").
func sortedIDs(text []byte, ends []uint32) []idKey {
	id := func(i uint32) []byte { return text[idStart(ends, int(i)):ends[i]] }
	order := make([]idKey, len(ends))
	shared := 0
	for i := range ends {
		if i == 0 {
			shared = len(id(0))
		}
		for shared > 0 && !bytes.HasPrefix(id(uint32(i)), id(0)[:shared]) {
			shared--
		}
	}
	for i := range order {
		var head [8]byte
		copy(head[:], id(uint32(i))[shared:])
		order[i] = idKey{binary.BigEndian.Uint64(head[:]), uint32(i)}
	}
	slices.SortFunc(order, func(a, b idKey) int {
		if a.key != b.key {
			return cmp.Compare(a.key, b.key)
		}
		return bytes.Compare(id(a.at), id(b.at))
	})
	return order
}

func idStart(ends []uint32, i int) uint32 {
	if i == 0 {
		return 0
	}
	return ends[i-1]
}

func (u *Set) id(rank int) string { return u.text[idStart(u.ends, rank):u.ends[rank]] }

// index fills the hash table, at most three quarters full.
func (u *Set) index() {
	size := 4
	for size*3 < len(u.ends)*4 {
		size *= 2
	}
	u.seed = maphash.MakeSeed()
	u.slots = make([]uint32, size)
	for rank := range u.ends {
		slot := u.slot(u.id(rank))
		for u.slots[slot] != 0 {
			slot = (slot + 1) & (size - 1)
		}
		u.slots[slot] = uint32(rank) + 1
	}
}

func (u *Set) slot(id string) int {
	return int(maphash.String(u.seed, id) & uint64(len(u.slots)-1))
}

// Has reports whether id is in the set.
func (u *Set) Has(id string) bool {
	if u.Len() == 0 {
		return false
	}
	for slot := u.slot(id); u.slots[slot] != 0; slot = (slot + 1) & (len(u.slots) - 1) {
		if u.id(int(u.slots[slot]-1)) == id {
			return true
		}
	}
	return false
}

// Len returns the number of ids.
func (u *Set) Len() int {
	if u == nil {
		return 0
	}
	return len(u.ends)
}

// All yields the ids in sorted order.
func (u *Set) All() iter.Seq[string] {
	return func(yield func(string) bool) {
		for rank := range u.Len() {
			if !yield(u.id(rank)) {
				return
			}
		}
	}
}

// The serial form of a Set. Numbers are little-endian, lengths are unsigned varints.
//
//	"PALUSER1"                 magic and version
//	uint64  count
//	count * (length, bytes)    the ids in strictly ascending order
//	uint32  CRC-32C            of all bytes before it
const magic = "PALUSER1"

func newChecksum() hash.Hash32 { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) }

// AppendBinary appends the serial form of the set: the same bytes for the same ids.
func (u *Set) AppendBinary(dst []byte) ([]byte, error) {
	start := len(dst)
	dst = append(dst, magic...)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(u.Len()))
	for id := range u.All() {
		dst = binary.AppendUvarint(dst, uint64(len(id)))
		dst = append(dst, id...)
	}
	sum := newChecksum()
	sum.Write(dst[start:])
	return binary.LittleEndian.AppendUint32(dst, sum.Sum32()), nil
}

// Read reads the serial form of a set, to the end of r, and checks all of it.
func Read(r io.Reader) (*Set, error) {
	in := &summedReader{r: bufio.NewReaderSize(r, 1<<16), sum: newChecksum()}
	var head [16]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return nil, fmt.Errorf("read user set: %w", err)
	}
	if string(head[:8]) != magic {
		return nil, errors.New("read user set: not a user set of this version")
	}
	u := &Set{}
	var text []byte
	for range binary.LittleEndian.Uint64(head[8:]) {
		n, err := in.length()
		if err != nil {
			return nil, fmt.Errorf("read user set: %w", err)
		}
		start := len(text)
		if n > math.MaxUint32-uint64(start) {
			return nil, errors.New("read user set: id too long")
		}
		text, err = appendFrom(text, in, int(n))
		if err != nil {
			return nil, fmt.Errorf("read user set: %w", err)
		}
		if k := len(u.ends); k > 0 && bytes.Compare(text[idStart(u.ends, k-1):u.ends[k-1]], text[start:]) >= 0 {
			return nil, errors.New("read user set: ids out of order")
		}
		u.ends = append(u.ends, uint32(len(text)))
	}
	want := in.sum.Sum32()
	var tail [4]byte
	if _, err := io.ReadFull(in, tail[:]); err != nil {
		return nil, fmt.Errorf("read user set: %w", err)
	}
	if binary.LittleEndian.Uint32(tail[:]) != want {
		return nil, errors.New("read user set: wrong checksum")
	}
	if _, err := in.ReadByte(); err != io.EOF {
		return nil, errors.Join(errors.New("read user set: something stands behind its end"), err)
	}
	u.text = unsafe.String(unsafe.SliceData(text), len(text))
	u.index()
	return u, nil
}

// appendFrom appends n bytes of r without trusting n: a damaged length must not allocate gigabytes.
func appendFrom(dst []byte, r io.Reader, n int) ([]byte, error) {
	for n > 0 {
		step := min(n, 1<<16)
		dst = slices.Grow(dst, step)
		m, err := io.ReadFull(r, dst[len(dst):len(dst)+step])
		dst = dst[:len(dst)+m]
		if err != nil {
			return dst, err
		}
		n -= step
	}
	return dst, nil
}

// summedReader keeps the checksum of what was read through it.
type summedReader struct {
	r   *bufio.Reader
	sum hash.Hash32
	one [1]byte
}

func (s *summedReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.sum.Write(p[:n])
	return n, err
}

func (s *summedReader) ReadByte() (byte, error) {
	_, err := io.ReadFull(s, s.one[:])
	return s.one[0], err
}

// length reads an unsigned varint in its shortest form.
func (s *summedReader) length() (n uint64, err error) {
	for shift := 0; ; shift += 7 {
		b, err := s.ReadByte()
		switch {
		case err == io.EOF:
			return 0, io.ErrUnexpectedEOF
		case err != nil:
			return 0, err
		case shift == 63 && b > 1 || shift > 0 && b == 0:
			return 0, errors.New("a length is not in its shortest form")
		}
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return n, nil
		}
	}
}
