package notify_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/notify"
)

// The example of the Standard Webhooks specification.
func TestSignaturesAreThoseOfStandardWebhooks(t *testing.T) {
	secret, err := notify.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	if got := notify.Sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`)); got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("signature %s", got)
	}
	for _, bad := range []string{"", "whsec_", "whsec_short", "whsec_!!!!", "whsec_" + strings.Repeat("AAAA", 6), strings.Repeat("A", 400)} {
		if _, err := notify.ParseSecret(bad); err == nil {
			t.Errorf("%q is a secret", bad)
		}
	}
}

func TestReceiversAreReachedSafely(t *testing.T) {
	for text, ok := range map[string]bool{
		"https://example.com/hook": true, "http://127.0.0.1:8080/hook": true, "http://localhost/x": true, "http://[::1]:9/": true, "https://10.0.0.1:8443/?a=b": true,
		"http://example.com/": false, "http://10.0.0.1/": false, "http://127.0.0.1.example.com/": false, "ftp://127.0.0.1/": false, "https://": false, "https://user:pass@example.com/": false,
		"nonsense": false, "": false, "https://example.com/#x": false, "http://0.0.0.0/": false,
	} {
		if err := notify.CheckURL(text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestDetailTypesAreThoseOfEventBridge(t *testing.T) {
	for kind, want := range map[string]string{
		meta.ImportJob: "Personalize Dataset Import Job State Change", meta.Solution: "Personalize Solution State Change",
		meta.SolutionVersion: "Personalize Solution Version State Change", meta.BatchInferenceJob: "Personalize Batch Inference Job State Change",
	} {
		if got := notify.DetailType(kind); got != want {
			t.Errorf("%s is called %q", kind, got)
		}
	}
}

// receiver answers the statuses that it is given, then 200, and remembers what it was told.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	statuses []int
	told     []string // what it took: "ARN status"
	asked    int
}

func newReceiver(t *testing.T, statuses ...int) *receiver {
	r := &receiver{statuses: statuses}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		var e struct {
			Data struct{ ResourceARN, Status string }
		}
		if err := json.Unmarshal(body, &e); err != nil {
			t.Errorf("body %s: %v", body, err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.asked++
		if len(r.statuses) > 0 {
			status := r.statuses[0]
			r.statuses = r.statuses[1:]
			if status/100 != 2 {
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(status)
				return
			}
		}
		r.told = append(r.told, e.Data.ResourceARN+" "+e.Data.Status)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) has(n int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.told) >= n
}

func open(t *testing.T, most int) *meta.DB {
	t.Helper()
	db, err := meta.Open(filepath.Join(t.TempDir(), "meta.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.KeepNotices(t.Context(), most); err != nil {
		t.Fatal(err)
	}
	return db
}

// activate takes a filter to ACTIVE: three changes.
func activate(t *testing.T, db *meta.DB, arn string) {
	t.Helper()
	r := &meta.Resource{ARN: arn, Kind: meta.Filter, Scope: "r:1", Name: arn, Status: meta.CreatePending, Doc: []byte(`{}`)}
	for _, change := range []func(tx *meta.Tx) error{
		func(tx *meta.Tx) error { return tx.Insert(r) },
		func(tx *meta.Tx) error { r.Status = meta.CreateInProgress; return tx.Put(r) },
		func(tx *meta.Tx) error { r.Name = "again"; return tx.Put(r) }, // no change of status
		func(tx *meta.Tx) error { r.Status = meta.Active; return tx.Put(r) },
	} {
		if err := db.Update(t.Context(), change); err != nil {
			t.Fatal(err)
		}
	}
}

// tell runs a webhook until done says so.
func tell(t *testing.T, db *meta.DB, r *receiver, clock func() time.Time, done func() bool) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	hook := notify.New(notify.Options{Meta: db, URL: r.URL, Secret: []byte("secret"), Log: slog.New(slog.DiscardHandler), Clock: clock, Pause: time.Millisecond})
	go func() { ended <- hook.Run(ctx) }()
	for deadline := time.Now().Add(time.Minute); !done(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Error("it never happened")
			break
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func waiting(t *testing.T, db *meta.DB) (n int) {
	t.Helper()
	if err := db.View(t.Context(), func(tx *meta.Tx) (err error) {
		n, err = tx.CountNotices()
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

func statuses(arns ...string) (all []string) {
	for _, arn := range arns {
		for _, status := range []string{meta.CreatePending, meta.CreateInProgress, meta.Active} {
			all = append(all, arn+" "+status)
		}
	}
	return all
}

func TestChangesAreToldInOrderUntilTheReceiverTakesThem(t *testing.T) {
	db := open(t, 100)
	activate(t, db, "a")
	r := newReceiver(t, 500, 302, 429, 503, 200, 404)
	drained := func() bool { return r.has(6) && waiting(t, db) == 0 }
	once := sync.OnceFunc(func() { activate(t, db, "b") }) // while it is running
	tell(t, db, r, nil, func() bool { once(); return drained() })
	if diff := cmp.Diff(statuses("a", "b"), r.told); diff != "" {
		t.Error(diff)
	}
	if r.asked != 11 {
		t.Errorf("%d attempts", r.asked)
	}
}

func TestWhatAReceiverGoesOnRefusingIsGivenUp(t *testing.T) {
	db := open(t, 100)
	activate(t, db, "a")
	r := newReceiver(t, slices.Repeat([]int{400}, 8)...)
	tell(t, db, r, nil, func() bool { return r.has(2) && waiting(t, db) == 0 })
	if diff := cmp.Diff(statuses("a")[1:], r.told); diff != "" {
		t.Error(diff)
	}
}

func TestOldChangesAreNotTold(t *testing.T) {
	db := open(t, 100)
	activate(t, db, "a")
	r := newReceiver(t)
	tell(t, db, r, func() time.Time { return time.Now().Add(notify.MaxAge + time.Hour) }, func() bool { return waiting(t, db) == 0 })
	if len(r.told) != 0 {
		t.Errorf("told %v", r.told)
	}
}

func TestTheNewestChangesAreKept(t *testing.T) {
	db := open(t, 5)
	for n := range 4 {
		activate(t, db, fmt.Sprint(n))
	}
	r := newReceiver(t)
	tell(t, db, r, nil, func() bool { return r.has(5) })
	if diff := cmp.Diff(statuses("0", "1", "2", "3")[7:], r.told); diff != "" {
		t.Error(diff)
	}
	none := open(t, 0)
	activate(t, none, "a")
	if n := waiting(t, none); n != 0 {
		t.Errorf("%d changes wait for nobody", n)
	}
}
