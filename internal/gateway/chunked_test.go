package gateway_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/palate-dev/palate/internal/gateway"
)

const signature = ";chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"

// chunked wraps data as clients do: in chunks of the given sizes (the last one repeats), signed or not, with or without a checksum behind.
func chunked(data []byte, sizes []int, signed, checksum bool) []byte {
	var b bytes.Buffer
	suffix := ""
	if signed {
		suffix = signature
	}
	sum := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(data)))
	for i := 0; len(data) > 0; i++ {
		n := min(max(1, sizes[min(i, len(sizes)-1)]), len(data))
		fmt.Fprintf(&b, "%x%s\r\n%s\r\n", n, suffix, data[:n])
		data = data[n:]
	}
	fmt.Fprintf(&b, "0%s\r\n", suffix)
	if checksum {
		fmt.Fprintf(&b, "x-amz-checksum-crc32:%s\r\n", sum)
		if signed {
			b.WriteString("x-amz-trailer-signature:63bddb248ad2590c92712055f51b8e78ab024eead08276b24f010b0efd74843f\r\n")
		}
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

func TestEveryChunkedFormIsDecoded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "data")
		data = bytes.Repeat(data, rapid.IntRange(1, 600).Draw(t, "times"))
		sizes := rapid.SliceOfN(rapid.IntRange(1, 100_000), 1, 5).Draw(t, "sizes")
		checksum := rapid.Bool().Draw(t, "checksum")
		body := chunked(data, sizes, rapid.Bool().Draw(t, "signed"), checksum)
		read := io.Reader(bytes.NewReader(body))
		if rapid.Bool().Draw(t, "slowly") {
			read = iotest.HalfReader(read)
		}
		got, trailers, err := gateway.Decode(read, int64(len(data)))
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%d of %d bytes, %v", len(got), len(data), err)
		}
		if (len(trailers) == 1) != checksum {
			t.Fatalf("trailers: %v", trailers)
		}
		if !checksum {
			return
		}
		encoded, announced, err := gateway.Reencode(bytes.NewReader(body), int64(len(data)), "x-amz-checksum-crc32")
		if err != nil || int64(len(encoded)) != announced {
			t.Fatalf("%d bytes encoded, %d announced, %v", len(encoded), announced, err)
		}
		again, _, err := gateway.Decode(bytes.NewReader(encoded), int64(len(data)))
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("encoded anew: %d of %d bytes, %v", len(again), len(data), err)
		}
	})
}

func TestDamagedChunksAreRefused(t *testing.T) {
	whole := string(chunked([]byte("0123456789"), []int{4}, true, true))
	for cut := range len(whole) - 4 { // without the last line end it is still complete
		got, _, err := gateway.Decode(strings.NewReader(whole[:cut]), 10)
		if err == nil && cut < strings.Index(whole, "\r\n0;")+4 {
			t.Errorf("cut after %d bytes: %q", cut, got)
		}
	}
	for name, body := range map[string]string{
		"too much data":     strings.Replace(whole, "0;chunk", "1;chunk", 1),
		"size is no number": "zz\r\n0\r\n\r\n",
		"negative size":     "-4\r\n0123\r\n0\r\n\r\n",
		"size overflows":    "ffffffffffffffffff\r\n",
		"chunk runs on":     "2\r\n0123456789\r\n0\r\n\r\n",
		"endless header":    strings.Repeat("1", 1<<16),
		"trailer, no colon": "a\r\n0123456789\r\n0\r\nnonsense\r\n\r\n",
		"endless trailer":   "a\r\n0123456789\r\n0\r\n" + strings.Repeat("a:b\r\n", 10_000),
		"short":             "4\r\n0123\r\n0\r\n\r\n",
		"empty":             "",
	} {
		if got, _, err := gateway.Decode(strings.NewReader(body), 10); err == nil {
			t.Errorf("%s: %q", name, got)
		}
	}
	if _, _, err := gateway.Reencode(strings.NewReader("0\r\n\r\n"), 0, "x-amz-checksum-crc32"); err == nil {
		t.Error("a promised checksum may be missing")
	}
}

func FuzzDecode(f *testing.F) {
	for _, signed := range []bool{false, true} {
		f.Add(chunked([]byte("0123456789"), []int{3}, signed, true), int64(10))
		f.Add(chunked(nil, []int{3}, signed, false), int64(0))
	}
	f.Fuzz(func(t *testing.T, body []byte, length int64) {
		if length < 0 {
			return
		}
		got, _, err := gateway.Decode(bytes.NewReader(body), length)
		if int64(len(got)) > length || err == nil && int64(len(got)) != length {
			t.Errorf("%d bytes for a length of %d, %v", len(got), length, err)
		}
	})
}
