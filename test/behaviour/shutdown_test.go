package behaviour

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palate-dev/palate/test/server"
	"github.com/palate-dev/palate/test/shop"
)

// oneEvent is a PutEvents request of a user of these tests.
func oneEvent(tracking, item string) M {
	return M{"trackingId": tracking, "sessionId": "canary-s", "userId": "canary-u", "eventList": []M{{"eventType": "view", "itemId": item, "sentAt": 7}}}
}

// holdsItems asserts that the events of some items are stored.
func holdsItems(t *testing.T, h *shop.Shop, items map[string]bool) {
	t.Helper()
	stored := set(column(h.Export(h.Interactions, "ALL"), "ITEM_ID"))
	for item := range items {
		if !stored[item] {
			t.Fatalf("of %d acknowledged events one is lost", len(items))
		}
	}
}

func TestNoAcknowledgedEventIsLostAtSIGTERM(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t))
	tracking := h.Tracker()
	acknowledged := map[string]bool{}
	var mu sync.Mutex
	for round := range 3 {
		enough := make(chan struct{})
		begun := len(acknowledged)
		var senders sync.WaitGroup
		for sender := range 32 {
			senders.Go(func() {
				for n := 0; ; n++ {
					item := fmt.Sprintf("%d-%d-%d", round, sender, n)
					_, err := h.Call("PutEvents", oneEvent(tracking, item))
					if e := (*server.APIError)(nil); errors.As(err, &e) {
						t.Errorf("PutEvents: %v", err)
					}
					if err != nil {
						return
					}
					mu.Lock()
					if acknowledged[item] = true; len(acknowledged) == begun+300*(round+1) {
						close(enough)
					}
					mu.Unlock()
				}
			})
		}
		<-enough
		if status := h.Stop(); status != 0 {
			t.Errorf("SIGTERM ended the server with status %d", status)
		}
		senders.Wait()
		h.Restart()
	}
	holdsItems(t, h, acknowledged)
}

// A halfCall is a call that the server has begun to read and does not have whole yet.
type halfCall struct {
	rest   string
	body   *io.PipeWriter
	status chan int // 0: it was not answered
}

// begin sends the first half of a call. It returns once the server has asked for the body, so from then on the call is under way.
func begin(t *testing.T, url, body string) *halfCall {
	t.Helper()
	r, w := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, r)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = int64(len(body))
	req.Header.Set("Expect", "100-continue")
	c := &halfCall{rest: body[len(body)/2:], body: w, status: make(chan int, 1)}
	go func() {
		defer r.Close()
		resp, err := (&http.Transport{ExpectContinueTimeout: time.Hour}).RoundTrip(req)
		if err != nil {
			c.status <- 0
			return
		}
		resp.Body.Close()
		c.status <- resp.StatusCode
	}()
	if _, err := io.WriteString(w, body[:len(body)/2]); err != nil {
		t.Fatal(err)
	}
	return c
}

// end sends the second half and returns the status of the answer.
func (c *halfCall) end() int {
	io.WriteString(c.body, c.rest) // an error shows in the status
	c.body.Close()
	return <-c.status
}

// untilRefused waits until nobody accepts connections at url.
func untilRefused(t *testing.T, url string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-time.After(time.Millisecond) {
		c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			return
		}
		c.Close()
	}
	t.Fatal("new connections are still accepted a minute after SIGTERM")
}

func TestCallsUnderWayAtSIGTERMAreAnsweredAndNewConnectionsAreRefused(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t, "--drain", "1m"))
	tracking := h.Tracker()
	var calls []*halfCall
	items := map[string]bool{}
	for n := range 32 {
		item := fmt.Sprint("item-", n)
		items[item] = true
		calls = append(calls, begin(t, h.URL+"/events", fmt.Sprintf(
			`{"trackingId":%q,"sessionId":"canary-s","eventList":[{"eventType":"view","itemId":%q,"sentAt":7}]}`, tracking, item)))
	}
	h.Terminate()
	untilRefused(t, h.URL)
	for _, c := range calls {
		if status := c.end(); status != http.StatusOK {
			t.Errorf("a call under way at SIGTERM was answered %d", status)
		}
	}
	if status := h.Ended(); status != 0 {
		t.Errorf("SIGTERM ended the server with status %d", status)
	}
	h.Restart()
	holdsItems(t, h, items)
}

func TestACallThatNeverEndsDoesNotHoldUpTheShutdownForLongerThanDrain(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t, "--drain", "10ms"))
	c := begin(t, h.URL+"/events", `{"trackingId":"never to be read to its end"}`)
	if status := h.Stop(); status != 0 {
		t.Errorf("SIGTERM ended the server with status %d", status)
	}
	if status := c.end(); status != 0 {
		t.Errorf("the call was answered %d", status)
	}
	if !strings.Contains(h.Log(), "some requests did not finish in time") {
		t.Error("the log does not tell that a call was cut")
	}
}

// The delay has to be long enough for this test to see it, which depends on the machine: it grows until it is.
func TestForTheDrainDelayEverythingIsServedButReadiness(t *testing.T) {
	t.Parallel()
	h := shop.Open(t, start(t))
	tracking := h.Tracker()
	for delay := 250 * time.Millisecond; ; delay *= 2 {
		if delay > time.Minute {
			t.Fatal("/readyz never answered 503 before the listener closed")
		}
		h.Stop()
		h.Args("--drain-delay", delay.String()) // the last one counts
		h.Restart()
		h.Terminate()
		status := http.StatusOK
		for status == http.StatusOK {
			status = probe(h.URL + "/readyz")
		}
		item := "item-" + delay.String()
		_, err := h.Call("PutEvents", oneEvent(tracking, item)) // on a connection of its own or an old one: both are served
		alive := probe(h.URL + "/healthz")
		if exit := h.Ended(); exit != 0 {
			t.Errorf("SIGTERM ended the server with status %d", exit)
		}
		if e := (*server.APIError)(nil); errors.As(err, &e) {
			t.Fatalf("an event while /readyz says no: %v", err)
		}
		if status == 0 || err != nil || alive == 0 {
			continue // the listener was closed already
		}
		if status != http.StatusServiceUnavailable || alive != http.StatusOK {
			t.Errorf("/readyz answered %d and /healthz %d", status, alive)
		}
		h.Restart()
		holdsItems(t, h, map[string]bool{item: true})
		return
	}
}

// probe asks a page and returns its status, 0 if nobody answers.
func probe(url string) int {
	resp, err := http.Get(url)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}
