package wire

import (
	"strings"
	"testing"

	"github.com/palate-dev/palate/internal/api"
)

// crowdedDoor is a handler without room for PutEvents.
func crowdedDoor() *handler {
	return New(Options{Operations: []api.Operation{{Name: "PutEvents", Method: "POST", Path: "/events"}}, Bounds: map[string]int{"PutEvents": 0}}).(*handler)
}

const authorized = "Authorization: AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/personalize/aws4_request, SignedHeaders=host, Signature=00\r\n"

func TestWhatTheGateRefusesByItself(t *testing.T) {
	h := crowdedDoor()
	for _, c := range []struct {
		request string
		want    bool
	}{
		{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n\r\n{}", true},
		{"POST /events HTTP/1.1\r\nHost: p\r\ncontent-length:2\r\nConnection: Keep-Alive\r\n" + authorized + "\r\n{}", true},
		{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 0\r\n\r\n", true},

		{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 3\r\n\r\n{}", false},
		{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n\r\n{}P", false},
		{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}", false},
		{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: +2\r\n\r\n{}", false},
		{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 2,2\r\n\r\n{}", false},
		{"POST /events HTTP/1.1\r\nHost: p\r\n\r\n", false},
		{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n {}\r\n\r\n{}", false},
		{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length : 2\r\n\r\n{}", false},
		{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", false},
		{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n{}", false},
		{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}", false},
		{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\nX-AMZ-TARGET: T\r\n\r\n{}", false},
		{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n" + strings.Replace(authorized, "personalize", "s3", 1) + "\r\n{}", false},
		{"POST /events HTTP/1.0\r\nHost: p\r\nContent-Length: 2\r\n\r\n{}", false},
		{"PUT /events HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n\r\n{}", false},
		{"POST /event HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n\r\n{}", false},
		{"POST /events HTTP/1.1\nHost: p\nContent-Length: 2\n\n{}", false},
		{"POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n\r", false},
		{"", false},
	} {
		if got := h.fullDoor([]byte(c.request)) != nil; got != c.want {
			t.Errorf("%q: %v, want %v", c.request, got, c.want)
		}
	}
	h.rooms["PutEvents"].leave()
	if h.fullDoor([]byte("POST /events HTTP/1.1\r\nHost: p\r\nContent-Length: 2\r\n\r\n{}")) != nil {
		t.Error("a call is refused though there is room")
	}
}
