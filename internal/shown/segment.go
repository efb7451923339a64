package shown

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// The files; FORMAT.md has the tables.
const (
	segmentSuffix = ".shown"
	magic         = "PALSHOW1"
	frameHeader   = 8

	targetRecord     = 1
	answerRecord     = 2
	impressionRecord = 3
	forgottenRecord  = 4
)

// target is whom answers are of.
type target struct{ arn, group string }

// segment is one file, and what is known of its contents.
type segment struct {
	path    string
	number  uint64
	file    *os.File
	size    int64            // of the file, with what is being written
	answers map[uint64]int64 // where an answer stands, by the short form of its id
	targets map[target]uint64
	byCode  []target
	shows   map[string]bool // groups of which it has items
	newest  time.Time
	torn    bool // a write to it has failed: bytes behind the last whole frame may be left
}

func newSegment(path string) *segment {
	return &segment{path: path, answers: map[uint64]int64{}, targets: map[target]uint64{}, shows: map[string]bool{}}
}

// createSegment makes an empty segment.
func createSegment(path string) (*segment, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err := f.WriteString(magic); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(path))
	}
	s := newSegment(path)
	s.file, s.size = f, int64(len(magic))
	return s, nil
}

// readSegment reads the index of a segment, as far as its file is sound.
func readSegment(path string) (*segment, error) {
	number, err := strconv.ParseUint(strings.TrimSuffix(filepath.Base(path), segmentSuffix), 16, 64)
	if err != nil {
		return nil, fmt.Errorf("%s is not a segment", filepath.Base(path))
	}
	s := newSegment(path)
	s.number = number
	if s.file, err = os.OpenFile(path, os.O_RDWR, 0); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(s.file)
	if err != nil {
		return nil, errors.Join(err, s.file.Close())
	}
	valid := walk(data, func(at int64, kind uint64, body reader) {
		switch kind {
		case targetRecord:
			if t := (target{string(body.text()), string(body.text())}); !body.bad {
				s.define(t)
			}
		case answerRecord:
			key := body.id()
			code, when, n := body.uvarint(), body.time(), body.uvarint()
			if !body.bad && code < uint64(len(s.byCode)) {
				s.add(key, at, s.byCode[code].group, when, n > 0)
			}
		case impressionRecord:
			group := string(body.text())
			s.saw(group, body.time(), true)
		}
	})
	if s.size = int64(valid); valid < len(data) { // the process was killed while it wrote
		if err := errors.Join(wipe(s.file, s.size), s.file.Truncate(s.size)); err != nil {
			return nil, errors.Join(err, s.file.Close())
		}
	}
	return s, nil
}

// weight is what a segment counts for.
func (s *segment) weight() int64 { return max(s.size, leastBytes*int64(len(s.answers))) }

func (s *segment) define(t target) (code uint64) {
	code = uint64(len(s.byCode))
	s.byCode = append(s.byCode, t)
	s.targets[t] = code
	return code
}

func (s *segment) add(id uuid.UUID, at int64, group string, when time.Time, items bool) {
	s.answers[short(id)] = at
	s.saw(group, when, items)
}

func (s *segment) saw(group string, when time.Time, items bool) {
	if items {
		s.shows[group] = true
	}
	if when.After(s.newest) {
		s.newest = when
	}
}

// answer decodes an answer, which must have that id.
func (s *segment) answer(kind uint64, body reader, id uuid.UUID) (a Answer, ok bool) {
	if kind != answerRecord || body.id() != id {
		return a, false
	}
	code := body.uvarint()
	a.At = body.time()
	for n := body.uvarint(); n > 0 && !body.bad; n-- {
		a.Items = append(a.Items, string(body.text()))
	}
	if body.bad || code >= uint64(len(s.byCode)) {
		return Answer{}, false
	}
	a.Target, a.Group = s.byCode[code].arn, s.byCode[code].group
	return a, true
}

// read returns the bytes from an offset on, at least one record.
func (s *segment) read(at int64) ([]byte, error) {
	buf := make([]byte, 1024)
	for {
		n, err := s.file.ReadAt(buf, at)
		if err != nil && err != io.EOF {
			return nil, err
		}
		r := reader{b: buf[:n]}
		if r.record(); !r.bad {
			return buf[:n], nil
		}
		if err == io.EOF || len(buf) > 1<<24 {
			return nil, errors.New("a record is cut off")
		}
		buf = make([]byte, 4*len(buf))
	}
}

// eachRecord yields the records of a file as far as it is sound.
func eachRecord(path string, yield func(kind uint64, body reader)) error {
	data, err := os.ReadFile(path)
	if err == nil {
		walk(data, func(_ int64, kind uint64, body reader) { yield(kind, body) })
	}
	return err
}

// walk yields the records of a segment's bytes, each with its offset, as far as frames are whole, and returns where the last whole one ends.
func walk(data []byte, yield func(at int64, kind uint64, body reader)) (at int) {
	if len(data) < len(magic) || string(data[:len(magic)]) != magic {
		return 0
	}
	for at = len(magic); at+frameHeader <= len(data); {
		n := int(binary.LittleEndian.Uint32(data[at:]))
		if n > len(data)-at-frameHeader {
			return at
		}
		payload := data[at+frameHeader : at+frameHeader+n]
		if checksum(payload) != binary.LittleEndian.Uint32(data[at+4:]) {
			return at
		}
		for r := (reader{b: payload}); len(r.b) > 0; {
			from := int64(at + frameHeader + n - len(r.b))
			kind, body := r.record()
			if r.bad {
				return at
			}
			yield(from, kind, body)
		}
		at += frameHeader + n
	}
	return at
}

// without returns the bytes of a segment as they are without the items of a group. What it noted of the group's impressions goes, its answers lose their items.
func without(path, group string) ([]byte, error) {
	var out []byte
	var targets []target
	err := eachRecord(path, func(kind uint64, body reader) {
		whole := body
		switch kind {
		case targetRecord:
			targets = append(targets, target{string(body.text()), string(body.text())})
		case answerRecord:
			id := body.id()
			code, at := body.uvarint(), body.time()
			if code < uint64(len(targets)) && targets[code].group == group {
				out = appendAnswer(out, id, code, at, appendItems(nil, nil))
				return
			}
		case impressionRecord:
			if string(body.text()) == group {
				return
			}
		}
		out = appendRecord(out, kind, whole.b)
	})
	if err != nil {
		return nil, err
	}
	return appendFrame([]byte(magic), appendRecord(out, forgottenRecord, appendText(nil, group))), nil
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// appendFrame puts records behind one header.
func appendFrame(b, payload []byte) []byte { return append(appendHeader(b, payload), payload...) }

func appendHeader(b, payload []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	return binary.LittleEndian.AppendUint32(b, checksum(payload))
}

// writeFrame writes a frame at an offset of a file.
func writeFrame(f *os.File, payload []byte, at int64) error {
	if _, err := f.WriteAt(appendHeader(nil, payload), at); err != nil {
		return err
	}
	_, err := f.WriteAt(payload, at+frameHeader)
	return err
}

func appendRecord(b []byte, kind uint64, body []byte) []byte {
	b = binary.AppendUvarint(b, kind)
	b = binary.AppendUvarint(b, uint64(len(body)))
	return append(b, body...)
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendTarget(b []byte, t target) []byte {
	return appendRecord(b, targetRecord, appendText(appendText(nil, t.arn), t.group))
}

// appendAnswer appends an answer whose items are encoded already.
func appendAnswer(b []byte, id uuid.UUID, code uint64, at time.Time, items []byte) []byte {
	b = binary.AppendUvarint(b, answerRecord)
	size := len(id) + uvarintSize(code) + uvarintSize(uint64(at.Unix())) + len(items)
	b = binary.AppendUvarint(b, uint64(size))
	b = append(b, id[:]...)
	b = binary.AppendUvarint(b, code)
	b = binary.AppendUvarint(b, uint64(at.Unix()))
	return append(b, items...)
}

func appendImpression(b []byte, group string, at time.Time, items []string) []byte {
	body := binary.AppendUvarint(appendText(nil, group), uint64(at.Unix()))
	return appendRecord(b, impressionRecord, appendItems(body, items))
}

func appendItems(b []byte, items []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(items)))
	for _, id := range items {
		b = appendText(b, id)
	}
	return b
}

func uvarintSize(x uint64) (n int) {
	for n = 1; x >= 0x80; n++ {
		x >>= 7
	}
	return n
}

// reader decodes; bad says that there was not enough.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.b, r.bad = nil, true
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) uvarint() uint64 {
	x, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[n:]
	return x
}

func (r *reader) text() []byte { return r.take(r.uvarint()) }

func (r *reader) time() time.Time { return time.Unix(int64(r.uvarint()), 0) }

func (r *reader) id() (id uuid.UUID) {
	copy(id[:], r.take(uint64(len(id))))
	return id
}

func (r *reader) record() (kind uint64, body reader) {
	kind = r.uvarint()
	return kind, reader{b: r.text()}
}
