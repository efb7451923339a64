package gateway

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// An aws-chunked body carries the object in chunks, each of which may be signed, and after them may carry trailing headers with a checksum:
//
//	body    = *chunk last trailers
//	chunk   = hex-size [";chunk-signature=" signature] CRLF data CRLF
//	last    = "0" [";chunk-signature=" signature] CRLF
//	trailers = *(name ":" value CRLF) ["x-amz-trailer-signature:" signature CRLF] CRLF
//
// The signatures cannot be re-made for another secret without the data of a whole chunk in hand, but the same framing exists without them
// (STREAMING-UNSIGNED-PAYLOAD-TRAILER). So a chunkDecoder takes any form apart and a chunkEncoder writes the unsigned one, chunk by chunk, with
// the client's checksum behind. Chunks are made anew rather than passed on because versitygw, as S3, refuses small ones that some clients send.

// errChunks says that a body is not what its headers promise.
var errChunks = errors.New("malformed aws-chunked body")

const (
	chunkSize     = 64 << 10
	maxChunkLine  = 1 << 10 // a size and a signature take about 100 bytes
	maxTrailers   = 8 << 10
	trailerSigned = "x-amz-trailer-signature"
)

// checksumLength is the length of each checksum that may trail, in base64.
var checksumLength = map[string]int{
	"x-amz-checksum-crc32":     8,
	"x-amz-checksum-crc32c":    8,
	"x-amz-checksum-crc64nvme": 12,
	"x-amz-checksum-md5":       24,
	"x-amz-checksum-sha1":      28,
	"x-amz-checksum-sha256":    44,
	"x-amz-checksum-sha512":    88,
	"x-amz-checksum-xxhash64":  12,
	"x-amz-checksum-xxhash3":   12,
	"x-amz-checksum-xxhash128": 24,
}

// chunkDecoder reads the object out of an aws-chunked body. It ends with io.EOF only after the last chunk and the trailers, and only if the object
// has the promised length.
type chunkDecoder struct {
	body     *bufio.Reader
	left     int64 // bytes of the current chunk not yet read
	missing  int64 // bytes of the object not yet announced by a chunk
	inChunk  bool  // the CRLF behind the current chunk is still to come
	trailers http.Header
	err      error // sticky
}

func newChunkDecoder(body io.Reader, length int64) *chunkDecoder {
	return &chunkDecoder{body: bufio.NewReaderSize(body, 32<<10), missing: length}
}

func (d *chunkDecoder) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for d.err == nil && d.left == 0 {
		d.err = d.next()
	}
	if d.err != nil {
		return 0, d.err
	}
	n, err := d.body.Read(p[:min(int64(len(p)), d.left)])
	d.left -= int64(n)
	if err != nil {
		d.err = truncated(err)
		return n, d.err
	}
	return n, nil
}

// next reads up to the data of the next chunk, or to the end of the body.
func (d *chunkDecoder) next() error {
	if d.inChunk {
		if line, err := d.line(); err != nil {
			return err
		} else if line != "" {
			return fmt.Errorf("%w: a chunk is longer than its size says", errChunks)
		}
		d.inChunk = false
	}
	line, err := d.line()
	if err != nil {
		return err
	}
	digits, _, _ := strings.Cut(line, ";")
	size, err := strconv.ParseUint(strings.TrimSpace(digits), 16, 63)
	if err != nil {
		return fmt.Errorf("%w: bad chunk size", errChunks)
	}
	if int64(size) > d.missing {
		return fmt.Errorf("%w: more data than x-amz-decoded-content-length says", errChunks)
	}
	if size > 0 {
		d.left, d.inChunk = int64(size), true
		d.missing -= int64(size)
		return nil
	}
	if d.missing > 0 {
		return fmt.Errorf("%w: less data than x-amz-decoded-content-length says", errChunks)
	}
	if err := d.readTrailers(); err != nil {
		return err
	}
	return io.EOF
}

// line reads one line without its line end.
func (d *chunkDecoder) line() (string, error) {
	var line []byte
	for len(line) <= maxChunkLine {
		b, err := d.body.ReadByte()
		if err != nil {
			return "", truncated(err)
		}
		if b == '\n' {
			return strings.TrimSuffix(string(line), "\r"), nil
		}
		line = append(line, b)
	}
	return "", fmt.Errorf("%w: overlong chunk header", errChunks)
}

// readTrailers takes all that is left. Clients differ in the line ends here (\r\n, or \n\r\n before the signature), so empty lines are skipped.
func (d *chunkDecoder) readTrailers() error {
	rest, err := io.ReadAll(io.LimitReader(d.body, maxTrailers+1))
	if err != nil {
		return truncated(err)
	}
	if len(rest) > maxTrailers {
		return fmt.Errorf("%w: overlong trailers", errChunks)
	}
	d.trailers = http.Header{}
	for line := range strings.SplitSeq(string(rest), "\n") {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return fmt.Errorf("%w: bad trailer", errChunks)
		}
		d.trailers.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	d.trailers.Del(trailerSigned)
	return nil
}

// truncated keeps the end of the connection from looking like the end of the object.
func truncated(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%w: it ends early", errChunks)
	}
	return err
}

// chunkEncoder wraps an object into unsigned chunks with one trailing checksum.
type chunkEncoder struct {
	object  *chunkDecoder
	trailer string // name of the checksum
	buffer  []byte // one chunk with its framing
	pending []byte // the part of buffer that has not been read
	err     error
}

func newChunkEncoder(object *chunkDecoder, trailer string) *chunkEncoder {
	return &chunkEncoder{object: object, trailer: trailer, buffer: make([]byte, 0, chunkSize+16)}
}

// encodedLength is how long the encoding of an object of n bytes is.
func encodedLength(n int64, trailer string) int64 {
	total := n / chunkSize * frameLength(chunkSize)
	if rest := n % chunkSize; rest > 0 {
		total += frameLength(rest)
	}
	return total + int64(len("0\r\n")+len(trailer)+len(":")+checksumLength[trailer]+len("\r\n\r\n"))
}

func frameLength(n int64) int64 { return int64(len(strconv.FormatInt(n, 16))) + 2 + n + 2 }

func (e *chunkEncoder) Read(p []byte) (int, error) {
	for len(e.pending) == 0 {
		if e.err != nil {
			return 0, e.err
		}
		e.fill()
	}
	n := copy(p, e.pending)
	e.pending = e.pending[n:]
	return n, nil
}

// fill makes the next chunk, or the last one with the trailer.
func (e *chunkEncoder) fill() {
	const room = 8 // for the size and its CRLF
	data := e.buffer[:room+chunkSize]
	n, err := io.ReadFull(e.object, data[room:])
	e.buffer = e.buffer[:0]
	if n > 0 {
		size := strconv.AppendInt(nil, int64(n), 16)
		start := room - len(size) - 2
		copy(data[start:], size)
		copy(data[room-2:], "\r\n")
		e.pending = append(data[start:room+n], "\r\n"...)
	}
	switch {
	case err == nil:
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		value := e.object.trailers.Get(e.trailer)
		if len(value) != checksumLength[e.trailer] {
			e.pending, e.err = nil, fmt.Errorf("%w: the trailing %s is missing or no checksum", errChunks, e.trailer)
			return
		}
		e.pending = append(e.pending, "0\r\n"+e.trailer+":"+value+"\r\n\r\n"...)
		e.err = io.EOF
	default:
		e.pending, e.err = nil, err
	}
}
