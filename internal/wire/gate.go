package wire

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/palate-dev/palate/internal/api"
)

// Serve is s.Serve for a server whose handler New made, and refuses calls for which there is no room at the connection: net/http would spend more on reading such a
// request than on all else that a refusal needs, and there are thousands of them just when there is no time.
//
// What is refused here is what comes as clients send it: a whole request, alone, in one piece, without Expect or Transfer-Encoding. Everything else goes on to net/http and is
// refused by the handler, with the same answer.
func Serve(s *http.Server, l net.Listener) error {
	h, ok := s.Handler.(*handler)
	if !ok || len(h.rooms) == 0 {
		return s.Serve(l)
	}
	s.ConnState = func(c net.Conn, state http.ConnState) {
		if c, ok := c.(*gateConn); ok && state == http.StateIdle {
			c.between = true
		}
	}
	return s.Serve(&gate{l, h, s.IdleTimeout})
}

// gate is a listener of connections that refuse.
type gate struct {
	net.Listener
	h    *handler
	idle time.Duration // that a connection may be without a request; 0: for ever
}

func (g *gate) Accept() (net.Conn, error) {
	c, err := g.Listener.Accept()
	if tcp, ok := c.(*net.TCPConn); ok && err == nil {
		return &gateConn{TCPConn: tcp, gate: g, between: true}, nil
	}
	return c, err
}

// gateConn is a connection as net/http reads it, but for the requests that are refused.
//
// It has to know where a request begins. That is where net/http, before a request or between two, reads into a buffer with nothing in it: one as long as that of its first
// read. As soon as it was given anything, it is within a request.
type gateConn struct {
	*net.TCPConn
	gate    *gate
	between bool      // net/http has nothing of a request; it sets and reads this from the goroutine of the connection
	buffer  int       // length of its first read; 0 before that
	renewed time.Time // when the time that the connection may be idle was begun anew
}

func (c *gateConn) Read(p []byte) (n int, err error) {
	if c.buffer == 0 {
		c.buffer = len(p)
	}
	for {
		n, err = c.TCPConn.Read(p)
		if !c.between || n == 0 || err != nil || len(p) != c.buffer {
			break
		}
		d := c.gate.h.fullDoor(p[:n])
		if d == nil {
			break
		}
		if err := c.refuse(d.op); err != nil {
			return 0, err
		}
	}
	if n > 0 {
		c.between = false
	}
	return n, err
}

// refuse answers a call instead of net/http.
func (c *gateConn) refuse(op api.Operation) error {
	x := &exchange{id: newRequestID(), status: statusOf(op.Statuses, restJSON, api.Throttling), code: api.Throttling, refused: true}
	now := time.Now()
	if c.gate.idle > 0 && now.Sub(c.renewed) > c.gate.idle/4 {
		c.renewed = now
		c.SetReadDeadline(now.Add(c.gate.idle))
	}
	answer := texts.Get().(*[]byte)
	defer texts.Put(answer)
	*answer = appendRefusal((*answer)[:0], x, now)
	c.gate.h.record(context.Background(), op.Name, x, now)
	_, err := c.Write(*answer)
	return err
}

// appendRefusal appends what the handler and net/http send of rateExceeded.
func appendRefusal(b []byte, x *exchange, now time.Time) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(x.status), 10)
	b = append(append(append(b, ' '), http.StatusText(x.status)...), "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(rateExceededBody)), 10)
	b = append(b, "\r\nContent-Type: application/json\r\nDate: "...)
	b = now.UTC().AppendFormat(b, http.TimeFormat)
	b = append(append(b, "\r\nx-amzn-ErrorType: "...), x.code...)
	b = append(append(b, "\r\nx-amzn-RequestId: "...), x.id...)
	return append(append(b, "\r\n\r\n"...), rateExceededBody...)
}

var (
	rateExceeded     = api.Errorf(api.Throttling, "Rate exceeded.")
	rateExceededBody = errorBody(rateExceeded)
)

// fullDoor returns the door that a request goes to if there is no room behind it. nil: there is, or the request is for something else, or it is not a plain and whole one.
func (h *handler) fullDoor(request []byte) *door {
	head, body, ok := bytes.Cut(request, []byte("\r\n\r\n"))
	line, fields, _ := bytes.Cut(head, []byte("\r\n"))
	line, post := bytes.CutPrefix(line, []byte("POST "))
	path, version := bytes.CutSuffix(line, []byte(" HTTP/1.1"))
	if !ok || !post || !version {
		return nil
	}
	d := h.doors[string(path)]
	if d == nil || !d.room.full() || !plain(fields, len(body)) {
		return nil
	}
	return d
}

// door is an operation with a bound, by its path.
type door struct {
	op   api.Operation
	room *room
}

// plain tells whether the fields of a request's head say that its body has so many bytes, that nobody but personalize is meant, and nothing that bears on how it is to be answered.
func plain(fields []byte, body int) bool {
	length := -1
	for len(fields) > 0 {
		var field []byte
		field, fields, _ = bytes.Cut(fields, []byte("\r\n"))
		name, value, ok := bytes.Cut(field, []byte(":"))
		if !ok {
			return false
		}
		value = bytes.TrimSpace(value)
		switch {
		case is(name, "content-length"):
			n, err := strconv.ParseUint(string(value), 10, 31)
			if err != nil || length >= 0 {
				return false
			}
			length = int(n)
		case is(name, "authorization"):
			if a, ok := parseAuthorization(string(value)); !ok || a.scope.service != "personalize" {
				return false
			}
		case is(name, "x-amz-target"), is(name, "expect"), is(name, "transfer-encoding"), is(name, "upgrade"), len(name) == 0, name[0] == ' ', name[0] == '\t':
			return false
		case is(name, "connection"):
			if !is(value, "keep-alive") {
				return false
			}
		}
	}
	return length == body
}

// is compares a name with one in small letters.
func is(name []byte, want string) bool {
	return len(name) == len(want) && bytes.EqualFold(name, []byte(want))
}
