package wire

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/palate-dev/palate/internal/api"
)

// Server is an http.Server for a handler of New, which must not be changed once it serves. Calls of the runtime and with records it reads and answers without net/http, which spends
// more on one than all else but the scores, and more on a refusal than anything: half a dozen allocations of maps and buffers, a second goroutine, nine deadlines.
//
// net/http still has every connection and the first request of each, and gets whatever is not sent the way clients send such a call: by POST with HTTP/1.1, its head
// in one piece of at most 4 KB, a body of a known length and at most 64 KB, without Expect, Transfer-Encoding or anything else that bears on how the answer is to be sent. So there is one
// reader of HTTP for all that is unusual; what is read here is read strictly, and left to net/http at the first doubt.
//
// Two things differ for a call that is answered here. Its context does not end when the client leaves. And it counts as idle in the eyes of net/http, so Shutdown and Close here
// wait for such calls: Shutdown until they are answered, Close with their connections only.
type Server struct {
	http.Server
	under sync.WaitGroup // calls that are answered here
}

// Serve is http.Server.Serve.
func (s *Server) Serve(l net.Listener) error {
	h, ok := s.Handler.(*handler)
	if !ok || len(h.doors) == 0 {
		return s.Server.Serve(l)
	}
	s.ConnState = func(c net.Conn, state http.ConnState) {
		if c, ok := c.(*gateConn); ok {
			c.idle = state == http.StateIdle
		}
	}
	return s.Server.Serve(&gate{l, h, s})
}

// Shutdown is http.Server.Shutdown.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.Server.Shutdown(ctx); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() { // no call begins any more: every connection is closed, or will be when its call is answered
		s.under.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// gate is a listener of connections that answer calls.
type gate struct {
	net.Listener
	h *handler
	s *Server
}

func (g *gate) Accept() (net.Conn, error) {
	c, err := g.Listener.Accept()
	if tcp, ok := c.(*net.TCPConn); ok && err == nil {
		return &gateConn{TCPConn: tcp, gate: g}, nil
	}
	return c, err
}

// gateConn is a connection as net/http reads it, but for the calls that are answered here.
//
// It has to know where a request begins. net/http tells when one has ended, then sets the time that the connection may be idle, and as soon as it has the first bytes of
// the next, perhaps from its own buffer, sets another. A read between those two into a buffer with nothing in it, one as long as that of its first read, begins a request. Anything
// less would take the body of a request that came together with the one before it for a request.
type gateConn struct {
	*net.TCPConn
	gate *gate

	// By the goroutine of net/http that reads.
	idle    bool      // a request has ended, and the time to be idle is not set yet
	between bool      // net/http has nothing of a request
	buffer  int       // length of its first read; 0 before that
	renewed time.Time // when the time that the connection may be idle was begun anew
	failed  error     // to write the answer

	mu     sync.Mutex
	busy   bool // a call is being answered
	closed bool
}

func (c *gateConn) Read(p []byte) (n int, err error) {
	if c.buffer == 0 {
		c.buffer = len(p)
	}
	n, err = c.TCPConn.Read(p)
	if len(p) != c.buffer { // within a request, perhaps from the goroutine that watches whether the client leaves
		return n, err
	}
	for c.between && n > 0 && err == nil {
		door, fields, body := c.gate.h.door(p[:n])
		if door == nil {
			break
		}
		q := requests.Get().(*request)
		scope, length, ok := q.read(c.gate.h, door, fields, len(body))
		if !ok {
			requests.Put(q)
			break
		}
		failed := c.answer(door, &q.Request, scope, body, length)
		requests.Put(q)
		if failed != nil {
			return 0, failed
		}
		n, err = c.TCPConn.Read(p)
	}
	return n, err
}

// SetReadDeadline is told when net/http begins and ends to wait for a request.
func (c *gateConn) SetReadDeadline(t time.Time) error {
	c.between, c.idle = c.idle, false
	return c.TCPConn.SetReadDeadline(t)
}

// Close closes the connection, after the call that is being answered, if there is one.
func (c *gateConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.busy {
		return nil
	}
	return c.TCPConn.Close()
}

// begin tells whether a call may be answered still. If so, end must be called.
func (c *gateConn) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.busy = true
		c.gate.s.under.Add(1)
	}
	return !c.closed
}

func (c *gateConn) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.gate.s.under.Done()
	c.busy = false
	if c.closed {
		c.TCPConn.Close()
	}
}

// door is an operation with a bound and a path of its own.
type door struct {
	op   api.Operation
	room *room
	url  *url.URL
}

// door finds where a request goes, if it is for an operation with a door and its head is whole. The rest of the head, and what is there of the body, share its memory.
func (h *handler) door(request []byte) (d *door, fields, body []byte) {
	line, rest, _ := bytes.Cut(request, []byte("\r\n"))
	line, post := bytes.CutPrefix(line, []byte("POST "))
	path, version := bytes.CutSuffix(line, []byte(" HTTP/1.1"))
	if !post || !version {
		return nil, nil, nil
	}
	if d = h.doors[string(path)]; d == nil {
		return nil, nil, nil
	}
	fields, body, whole := bytes.Cut(rest, []byte("\r\n\r\n"))
	if !whole {
		return nil, nil, nil
	}
	return d, fields, body
}

const (
	mostFields = 64
	mostBody   = 64 << 10
)

// request is a request that is read here, with the room that its fields take.
type request struct {
	http.Request
	values []string
}

// requests are used again by whatever connection comes next: each of thousands would have to fetch its own into the caches.
var requests = sync.Pool{New: func() any { return newRequest() }}

func newRequest() *request {
	return &request{http.Request{Header: http.Header{}}, make([]string, 0, mostFields)}
}

// read reads the fields of a head. ok is false if there is anything that net/http should rather see to; body is how many bytes of the body came with the head.
func (q *request) read(h *handler, d *door, fields []byte, body int) (s scope, length int, ok bool) {
	header := q.Header
	clear(header)
	q.values = q.values[:0]
	s, length = h.unsigned(), -1
	host := ""
	for rest := string(fields); rest != ""; {
		var field string
		field, rest = cutLine(rest)
		name, value, ok := cutField(field)
		if !ok || len(q.values) == mostFields {
			return s, 0, false
		}
		switch name = textproto.CanonicalMIMEHeaderKey(name); name {
		case "Host":
			if host != "" || !plainHost(value) {
				return s, 0, false
			}
			host = value
			continue
		case "Content-Length":
			n, err := strconv.ParseUint(value, 10, 31)
			if err != nil || length >= 0 || n > mostBody || value[0] == '+' {
				return s, 0, false
			}
			length = int(n)
		case "Connection":
			if value != "keep-alive" && value != "Keep-Alive" {
				return s, 0, false
			}
		case "Authorization":
			a, ok := parseAuthorization(value)
			if !ok || a.scope.service != "personalize" || header[name] != nil {
				return s, 0, false
			}
			s = a.scope
		case "Expect", "Transfer-Encoding", "Trailer", "Te", "Upgrade", "Pragma", "Http2-Settings", "X-Amz-Target":
			return s, 0, false
		}
		if header[name] != nil { // a field that is sent twice is unusual enough
			return s, 0, false
		}
		at := len(q.values)
		q.values = append(q.values, value)
		header[name] = q.values[at : at+1 : at+1]
	}
	if host == "" || length < body {
		return s, 0, false
	}
	q.Request = http.Request{Method: http.MethodPost, URL: d.url, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: header, Host: host, ContentLength: int64(length)}
	return s, length, true
}

// cutLine returns a line without its end, and what follows.
func cutLine(s string) (line, rest string) {
	for i := range len(s) - 1 {
		if s[i] == '\r' && s[i+1] == '\n' {
			return s[:i], s[i+2:]
		}
	}
	return s, ""
}

// cutField reads a field whose name is of letters, digits and hyphens, and whose value has no control characters.
func cutField(line string) (name, value string, ok bool) {
	colon := 0
	for colon < len(line) && line[colon] != ':' {
		if c := line[colon]; (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '-' {
			return "", "", false
		}
		colon++
	}
	if colon == 0 || colon == len(line) {
		return "", "", false
	}
	value = line[colon+1:]
	for i := range len(value) { // of all of it: to net/http a line feed ends a line by itself
		if c := value[i]; c < ' ' || c == 0x7f {
			return "", "", false
		}
	}
	value = strings.Trim(value, " ")
	return line[:colon], value, value != ""
}

// plainHost tells whether a host is a name or an address, and perhaps a port.
func plainHost(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != ':' && c != '[' && c != ']' {
			return false
		}
	}
	return true
}

// answer answers a call, of whose body of the given length a part is there. An error means that the connection is of no use any more.
func (c *gateConn) answer(d *door, r *http.Request, s scope, body []byte, length int) error {
	if !c.begin() {
		return net.ErrClosed
	}
	defer c.end()
	x := &exchange{out: c, id: uuid.NewString(), protocol: restJSON, statuses: d.op.Statuses, start: time.Now()}
	if len(body) < length {
		whole := make([]byte, length)
		c.TCPConn.SetReadDeadline(time.Time{}) // a sender may take the time that he takes with net/http
		c.renewed = time.Time{}
		if _, err := io.ReadFull(c.TCPConn, whole[copy(whole, body):]); err != nil {
			return err
		}
		body = whole
	}
	c.gate.h.answer(context.Background(), x, &d.op, r, s, body, nil)
	if idle := c.gate.s.IdleTimeout; idle > 0 && x.start.Sub(c.renewed) > idle/8 {
		c.renewed = x.start
		c.TCPConn.SetReadDeadline(time.Now().Add(idle))
	}
	return c.failed
}

// send writes an answer as the handler and net/http do, but for the order of its fields.
func (c *gateConn) send(x *exchange, body []byte) {
	text := texts.Get().(*[]byte)
	defer texts.Put(text)
	b := append((*text)[:0], "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(x.status), 10)
	b = append(append(b, ' '), http.StatusText(x.status)...)
	b = append(append(b, "\r\nContent-Type: "...), x.protocol.contentType()[0]...)
	b = strconv.AppendInt(append(b, "\r\nContent-Length: "...), int64(len(body)), 10)
	b = append(append(b, "\r\nDate: "...), dates.of(x.start)...)
	if x.code != "" {
		b = append(append(b, "\r\n"+errorTypeField+": "...), x.code...)
	}
	b = append(append(b, "\r\n"+requestIDField+": "...), x.id...)
	b = append(append(b, "\r\n\r\n"...), body...)
	*text = b
	_, c.failed = c.TCPConn.Write(b)
}

// dates keeps the last time as fields have it: it is written once a second.
var dates dateCache

type dateCache struct{ last atomic.Pointer[date] }

type date struct {
	second int64
	text   string
}

func (c *dateCache) of(t time.Time) string {
	d := c.last.Load()
	if d == nil || d.second != t.Unix() {
		d = &date{t.Unix(), t.UTC().Format(http.TimeFormat)}
		c.last.Store(d)
	}
	return d.text
}
