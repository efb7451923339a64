package dataset

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/palate-dev/palate/internal/schema"
)

// Rows in the log: a bitmap of the values that are not null, then those values in order.
//
//	String          uvarint length, bytes
//	Int, Long       zig-zag varint
//	Float, Double   8 bytes little-endian
//	Boolean         1 byte

func appendValues(dst []byte, kinds []schema.Kind, vals []schema.Value) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, (len(kinds)+7)/8)...)
	for i, k := range kinds {
		v := vals[i]
		if !v.Valid {
			continue
		}
		dst[at+i/8] |= 1 << (i % 8)
		switch k {
		case schema.String:
			dst = appendString(dst, v.Str)
		case schema.Float, schema.Double:
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v.Float))
		case schema.Boolean:
			dst = append(dst, byte(v.Int))
		default:
			dst = binary.AppendVarint(dst, v.Int)
		}
	}
	return dst
}

func appendString(dst []byte, s string) []byte {
	return append(appendUvarint(dst, uint64(len(s))), s...)
}

// appendUvarint is binary.AppendUvarint, inlined for numbers of one byte.
func appendUvarint(dst []byte, x uint64) []byte {
	if x < 0x80 {
		return append(dst, byte(x))
	}
	return binary.AppendUvarint(dst, x)
}

// textReader decodes from a string, so that strings in it need no copy. The first error stays.
type textReader struct {
	s   string
	err error
}

var errShort = errors.New("record ends too early")

func (r *textReader) uvarint() uint64 {
	var x uint64
	for i := 0; i < len(r.s) && i < binary.MaxVarintLen64; i++ {
		b := r.s[i]
		x |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			r.s = r.s[i+1:]
			return x
		}
	}
	r.fail()
	return 0
}

func (r *textReader) varint() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

func (r *textReader) bytes(n uint64) string {
	if n > uint64(len(r.s)) {
		r.fail()
		return ""
	}
	out := r.s[:n]
	r.s = r.s[n:]
	return out
}

func (r *textReader) string() string { return r.bytes(r.uvarint()) }

func (r *textReader) fail() {
	r.s = ""
	if r.err == nil {
		r.err = errShort
	}
}

// values decodes a row into vals, one for each kind.
func (r *textReader) values(kinds []schema.Kind, vals []schema.Value) {
	bitmap := r.bytes(uint64(len(kinds)+7) / 8)
	if r.err != nil {
		return
	}
	for i, k := range kinds {
		vals[i] = schema.Value{}
		if bitmap[i/8]>>(i%8)&1 == 0 {
			continue
		}
		v := schema.Value{Valid: true}
		switch k {
		case schema.String:
			v.Str = r.string()
		case schema.Float, schema.Double:
			if b := r.bytes(8); b != "" {
				v.Float = math.Float64frombits(binary.LittleEndian.Uint64([]byte(b)))
			}
		case schema.Boolean:
			if b := r.bytes(1); b != "" {
				v.Int = int64(b[0])
			}
		default:
			v.Int = r.varint()
		}
		vals[i] = v
	}
}
