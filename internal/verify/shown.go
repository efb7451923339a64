package verify

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
)

// The record of answers, as FORMAT.md of package shown describes it.
const (
	shownMagic       = "PALSHOW1"
	shownTarget      = 1
	shownAnswer      = 2
	shownImpression  = 3
	shownForgotten   = 4
	shownFrameHeader = 8
)

var errShown = errors.New("items that a user may have been shown")

// shown is the look at a file of the record of answers: once a group was forgotten, nothing before that has its items.
func (s *search) shown(f file) (err error) {
	defer func() {
		if r := recover(); r != nil {
			if r != errSegment {
				panic(r)
			}
			err = errSegment
		}
	}()
	data, err := os.ReadFile(f.path)
	if err != nil {
		return err
	}
	if len(data) < len(shownMagic) || string(data[:len(shownMagic)]) != shownMagic {
		return errSegment
	}
	var groups []string // by code of a target
	held := false       // items of the group
	for b := data[len(shownMagic):]; len(b) > 0; {
		payload, size := shownFrame(b)
		if size == 0 {
			return nil // being written, or cut off: what stands there is newer than the mask, and the next start takes it away
		}
		for all := (cursor{payload}); len(all.b) > 0; {
			kind, rec := all.uvarint(), cursor{all.text()}
			switch kind {
			case shownTarget:
				rec.text()
				groups = append(groups, string(rec.text()))
			case shownAnswer:
				rec.take(16)
				code := rec.uvarint()
				rec.uvarint()
				if code >= uint64(len(groups)) {
					return errSegment
				}
				held = held || groups[code] == s.Group && rec.uvarint() > 0
			case shownImpression:
				held = held || string(rec.text()) == s.Group
			case shownForgotten:
				if held && string(rec.text()) == s.Group {
					return errShown
				}
			default:
				return errSegment
			}
		}
		b = b[size:]
	}
	return nil
}

// shownFrame returns the payload at the beginning of b and the size of the frame, 0 if there is no whole one.
func shownFrame(b []byte) (payload []byte, size int) {
	if len(b) < shownFrameHeader {
		return nil, 0
	}
	n := int(binary.LittleEndian.Uint32(b))
	if n > len(b)-shownFrameHeader {
		return nil, 0
	}
	payload = b[shownFrameHeader : shownFrameHeader+n]
	if crc32.Checksum(payload, crc32.MakeTable(crc32.Castagnoli)) != binary.LittleEndian.Uint32(b[4:]) {
		return nil, 0
	}
	return payload, shownFrameHeader + n
}
