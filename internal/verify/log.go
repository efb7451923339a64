package verify

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
)

// The event log as FORMAT.md of package dataset describes it, read with code of its own.
const (
	segmentMagic  = "PALLOG01"
	segmentHeader = 20
	frameMagic    = "PFRM"
	frameHeader   = 32
	rowsRecord    = 1
)

var errSegment = errors.New("is damaged")

// segment is the look at one segment of the log.
func (s *search) segment(f file) error {
	data, err := os.ReadFile(f.path)
	if err != nil {
		return err
	}
	if len(data) < segmentHeader || string(data[:8]) != segmentMagic {
		return errSegment
	}
	for b := data[segmentHeader:]; len(b) > 0; {
		payload, size := frame(b)
		if size == 0 {
			if s.lastSegment(f.path) {
				return nil // being written; what stands there is newer than the cut
			}
			return errSegment
		}
		if err := s.payload(payload); err != nil {
			return err
		}
		b = b[size:]
	}
	return nil
}

// lastSegment tells whether a segment is the one that is being written.
func (s *search) lastSegment(path string) bool {
	names, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*.log"))
	return err == nil && len(names) > 0 && slices.Max(names) == path
}

// frame returns the payload at the beginning of b and the size of the frame, 0 if there is no whole one.
func frame(b []byte) (payload []byte, size int) {
	table := crc32.MakeTable(crc32.Castagnoli)
	if len(b) < frameHeader || string(b[:4]) != frameMagic || crc32.Checksum(b[:28], table) != binary.LittleEndian.Uint32(b[28:]) {
		return nil, 0
	}
	n := int(binary.LittleEndian.Uint32(b[4:]))
	if n > len(b)-frameHeader {
		return nil, 0
	}
	payload = b[frameHeader : frameHeader+n]
	if crc32.Checksum(payload, table) != binary.LittleEndian.Uint32(b[24:]) {
		return nil, 0
	}
	return payload, frameHeader + n
}

// payload checks the records of a frame.
func (s *search) payload(b []byte) (err error) {
	defer func() {
		if r := recover(); r != nil {
			if r != errSegment {
				panic(r)
			}
			err = errSegment
		}
	}()
	for all := (cursor{b}); len(all.b) > 0; {
		rec := cursor{all.text()}
		whole := rec.b
		kind, first := rec.uvarint(), rec.uvarint()
		if kind != rowsRecord {
			continue
		}
		key, known := s.keys[string(rec.text())]
		switch {
		case !known: // of a table that is being dropped, or of one too new to have rows from before the cut
			if int64(first) <= s.Cut && s.finder().in(whole) != "" {
				return errListed
			}
		case key >= 0:
			if err := s.rows(rec, int64(first), uint64(key)); err != nil {
				return err
			}
		}
	}
	return nil
}

// rows checks the rows of a record, whose key is the field of that id.
func (s *search) rows(r cursor, seq int64, key uint64) error {
	ids, kinds := make([]uint64, 0, 16), make([]uint64, 0, 16)
	for range r.uvarint() {
		ids, kinds = append(ids, r.uvarint()), append(kinds, r.uvarint())
	}
	for range r.uvarint() {
		session := string(r.text())
		r.text() // event id
		user := ""
		bitmap := r.take(uint64(len(ids)+7) / 8)
		for c := range ids {
			if bitmap[c/8]>>(c%8)&1 == 0 {
				continue
			}
			if value := r.value(kinds[c]); ids[c] == key {
				user = string(value)
			}
		}
		if s.covers(user, session, seq) {
			return errListed
		}
		seq++
	}
	return nil
}

// cursor decodes; it panics with errSegment.
type cursor struct{ b []byte }

func (c *cursor) take(n uint64) []byte {
	if n > uint64(len(c.b)) {
		panic(errSegment)
	}
	out := c.b[:n]
	c.b = c.b[n:]
	return out
}

func (c *cursor) uvarint() uint64 {
	v, n := binary.Uvarint(c.b)
	if n <= 0 {
		panic(errSegment)
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) text() []byte { return c.take(c.uvarint()) }

// value passes over a value of one of the kinds of FORMAT.md, and returns a string's bytes.
func (c *cursor) value(kind uint64) []byte {
	switch kind {
	case 0:
		return c.text()
	case 1, 2:
		c.uvarint()
	case 3, 4:
		c.take(8)
	case 5:
		c.take(1)
	default:
		panic(errSegment)
	}
	return nil
}
