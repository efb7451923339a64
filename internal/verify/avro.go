package verify

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

var errAvro = errors.New("is not an Avro file that can be understood")

// readAvro decodes an object container file: its records as maps, and every text and bytes in it, header included, through text.
func readAvro(data []byte, text func([]byte)) (records []any, err error) {
	defer func() {
		if r := recover(); r != nil {
			if r != errAvro {
				panic(r)
			}
			err = errAvro
		}
	}()
	r := &avroReader{b: data, text: text, named: map[string]any{}}
	if string(r.take(4)) != "Obj\x01" {
		return nil, errAvro
	}
	meta, _ := r.value(map[string]any{"type": "map", "values": "bytes"}).(map[string]any)
	sync := r.take(16)
	written, _ := meta["avro.schema"].([]byte)
	var schema any
	if json.Unmarshal(written, &schema) != nil {
		return nil, errAvro
	}
	codec, _ := meta["avro.codec"].([]byte)
	for len(r.b) > 0 {
		n, size := r.long(), r.long()
		block, err := inflate(string(codec), r.take(size))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errAvro, err)
		}
		in := &avroReader{b: block, text: text, named: r.named}
		for range n {
			records = append(records, in.value(schema))
		}
		if len(in.b) > 0 || !bytes.Equal(r.take(16), sync) {
			return nil, errAvro
		}
	}
	return records, nil
}

const maxAvroBlock = 1 << 30

func inflate(codec string, block []byte) ([]byte, error) {
	switch codec {
	case "", "null":
		return block, nil
	case "deflate":
		return io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(block)), maxAvroBlock))
	case "zstandard":
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxAvroBlock))
		if err != nil {
			return nil, err
		}
		defer d.Close()
		return d.DecodeAll(block, nil)
	}
	return nil, errors.New("unknown codec")
}

// avroReader decodes binary Avro; it panics with errAvro.
type avroReader struct {
	b     []byte
	text  func([]byte)
	named map[string]any
}

func (r *avroReader) take(n int64) []byte {
	if n < 0 || n > int64(len(r.b)) {
		panic(errAvro)
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *avroReader) long() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		panic(errAvro)
	}
	r.b = r.b[n:]
	return v
}

func (r *avroReader) bytes() []byte {
	out := r.take(r.long())
	r.text(out)
	return out
}

// value decodes one value of a schema: records and maps to map[string]any, arrays to []any, numbers to int64, text and bytes to []byte.
func (r *avroReader) value(schema any) any {
	switch s := schema.(type) {
	case []any:
		n := r.long()
		if n < 0 || n >= int64(len(s)) {
			panic(errAvro)
		}
		return r.value(s[n])
	case string:
		return r.primitive(s)
	case map[string]any:
		return r.complex(s)
	}
	panic(errAvro)
}

func (r *avroReader) primitive(name string) any {
	switch name {
	case "null":
		return nil
	case "boolean":
		return r.take(1)[0] == 1
	case "int", "long":
		return r.long()
	case "float":
		r.take(4)
		return nil
	case "double":
		r.take(8)
		return nil
	case "bytes", "string":
		return r.bytes()
	}
	if s, ok := r.named[name]; ok {
		return r.value(s)
	}
	panic(errAvro)
}

func (r *avroReader) complex(s map[string]any) any {
	if name, ok := s["name"].(string); ok {
		r.named[name] = s
	}
	switch kind := s["type"].(type) {
	case string:
		switch kind {
		case "record":
			return r.record(s)
		case "enum":
			return r.long()
		case "fixed":
			n, _ := s["size"].(float64)
			out := r.take(int64(n))
			r.text(out)
			return out
		case "array":
			var out []any
			r.blocks(func() { out = append(out, r.value(s["items"])) })
			return out
		case "map":
			out := map[string]any{}
			r.blocks(func() { out[string(r.bytes())] = r.value(s["values"]) })
			return out
		}
		return r.primitive(kind)
	default:
		return r.value(kind)
	}
}

func (r *avroReader) record(s map[string]any) any {
	fields, ok := s["fields"].([]any)
	if !ok {
		panic(errAvro)
	}
	out := map[string]any{}
	for _, f := range fields {
		field, ok := f.(map[string]any)
		if !ok {
			panic(errAvro)
		}
		name, _ := field["name"].(string)
		out[name] = r.value(field["type"])
	}
	return out
}

// blocks reads the items of an array or a map.
func (r *avroReader) blocks(item func()) {
	for {
		n := r.long()
		if n == 0 {
			return
		}
		if n < 0 {
			n = -n
			r.long()
		}
		if n > int64(len(r.b)) { // an item is at least a byte here: no array of ours has items without content
			panic(errAvro)
		}
		for range n {
			item()
		}
	}
}
