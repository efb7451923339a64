//lint:file-ignore SA1019 version 1 of the SDK is what customers still run, and the only Go client of all three services: it is tested because it is old.

package wire_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/personalizeevents"
	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/api/apitest"
	"github.com/palate-dev/palate/internal/wire"
)

const someEvents = `{"trackingId":"t","sessionId":"s","eventList":[{"eventType":"view","sentAt":1}]}`

// stuck serves operations that do not end before release is called, and says on entered when one begins.
func stuck(t *testing.T, o wire.Options) (h *httptest.Server, entered chan struct{}, release func()) {
	entered = make(chan struct{}, 100)
	gate := make(chan struct{})
	release = sync.OnceFunc(func() { close(gate) })
	o.Account, o.Operations = "000000000000", apitest.Operations(func(context.Context, string, any, any) error {
		entered <- struct{}{}
		<-gate
		return nil
	})
	h = httptest.NewServer(wire.New(o))
	t.Cleanup(func() {
		release()
		h.Close()
	})
	return h, entered, release
}

func TestTheNewestCallIsRefusedWhenTooManyAreUnderWay(t *testing.T) {
	var mu sync.Mutex
	told := map[string]int{} // what Observe and Refused were told
	tell := func(what, operation string, status int) {
		mu.Lock()
		defer mu.Unlock()
		told[fmt.Sprint(what, " ", operation, " ", status)]++
	}
	h, entered, release := stuck(t, wire.Options{
		Bounds:  map[string]int{"PutEvents": 3},
		Observe: func(operation, _ string, status int, _ time.Time) { tell("observed", operation, status) },
		Refused: func(operation string, status int) { tell("refused", operation, status) },
	})
	put := func() *httptest.ResponseRecorder {
		return call{"POST", "/events", someEvents, nil}.do(h.Config.Handler)
	}
	answers := make(chan int, 3)
	for range 3 {
		go func() { answers <- put().Code }()
		<-entered
	}
	for range 2 { // a refusal takes no place
		if w := put(); w.Code != 400 || !strings.Contains(w.Header().Get("x-amzn-ErrorType")+w.Body.String(), string(api.Throttling)) {
			t.Errorf("the fourth call was answered %d %s", w.Code, w.Body)
		}
	}
	recommended := make(chan struct{})
	go func() {
		defer close(recommended)
		call{"POST", "/recommendations", `{"campaignArn":"arn:aws:personalize:us-east-1:000000000000:campaign/c"}`, nil}.do(h.Config.Handler)
	}()
	<-entered // other operations are not bounded
	release()
	for range 3 {
		if status := <-answers; status != 200 {
			t.Errorf("a call that was under way was answered %d", status)
		}
	}
	if w := put(); w.Code != 200 {
		t.Errorf("a call after all were answered was answered %d %s", w.Code, w.Body)
	}
	<-recommended
	if diff := cmp.Diff(map[string]int{"observed PutEvents 200": 4, "refused PutEvents 400": 2, "observed GetRecommendations 200": 1}, told); diff != "" {
		t.Error(diff)
	}
}

func TestSDKsComeAgainAfterARefusal(t *testing.T) {
	h, entered, release := stuck(t, wire.Options{Bounds: map[string]int{"PutEvents": 1}})
	first := make(chan int, 1)
	go func() { first <- call{"POST", "/events", someEvents, nil}.do(h.Config.Handler).Code }()
	<-entered
	s := session.Must(session.NewSession(&aws.Config{Endpoint: &h.URL, Region: aws.String("us-east-1"), Credentials: credentials.NewStaticCredentials("a", "b", "")}))
	client := personalizeevents.New(s)
	refusals := 0
	client.Handlers.CompleteAttempt.PushBack(func(r *request.Request) {
		if r.IsErrorThrottle() {
			refusals++
			release()
			<-first // its place is free
		}
	})
	_, err := client.PutEvents(&personalizeevents.PutEventsInput{TrackingId: aws.String("t"), SessionId: aws.String("s"), EventList: []*personalizeevents.Event{
		{EventType: aws.String("view"), SentAt: aws.Time(time.Unix(1, 0))},
	}})
	if err != nil || refusals != 1 {
		t.Errorf("after %d refusals: %v", refusals, err)
	}
}

func TestThereIsRoomForFiftyMillisecondsOfWork(t *testing.T) {
	const least = 10
	for _, c := range []struct {
		perSecond, want int
	}{{0, least}, {100, least}, {1000, 50}, {1500, 75}, {1_000_000, 8 * least}} {
		if got := wire.RoomAfter(least, c.perSecond); got != c.want {
			t.Errorf("%d calls a second: there is room for %d, want %d", c.perSecond, got, c.want)
		}
	}
}
