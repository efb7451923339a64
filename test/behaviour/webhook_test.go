package behaviour

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/test/server"
	"github.com/palate-dev/palate/test/shop"
)

// webhookSecret is 24 bytes.
var webhookSecret = []byte("not a secret of anybody!")

// listener receives webhooks as the documentation tells receivers to.
type listener struct {
	t    *testing.T
	addr string
	http *http.Server

	mu   sync.Mutex
	down bool     // it answers 503
	ids  []string // of what it has taken
	told map[string][]string
	said string
}

func listen(t *testing.T) *listener {
	t.Helper()
	l := &listener{t: t, told: map[string][]string{}}
	at, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.addr, l.http = at.Addr().String(), &http.Server{Handler: l}
	go l.http.Serve(at)
	t.Cleanup(func() { l.http.Close() })
	return l
}

func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the server was killed
	}
	id, at := r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp")
	mac := hmac.New(sha256.New, webhookSecret)
	io.WriteString(mac, id+"."+at+"."+string(body))
	signed := false
	for one := range strings.FieldsSeq(r.Header.Get("webhook-signature")) {
		version, signature, _ := strings.Cut(one, ",")
		given, _ := base64.StdEncoding.DecodeString(signature)
		signed = signed || version == "v1" && hmac.Equal(given, mac.Sum(nil))
	}
	seconds, _ := strconv.ParseInt(at, 10, 64)
	if age := time.Since(time.Unix(seconds, 0)); !signed || age > 5*time.Minute || age < -5*time.Minute {
		l.t.Errorf("%s of %s is not signed", id, at)
	}
	var e struct {
		SpecVersion, ID, Source, Type, Subject, Time, DataContentType string
		Data                                                          map[string]string
	}
	if err := json.Unmarshal(body, &e); err != nil {
		l.t.Errorf("%s: %v", body, err)
	}
	if _, err := time.Parse(time.RFC3339, e.Time); err != nil || e.SpecVersion != "1.0" || e.ID != id || e.Source != "aws.personalize" || e.Subject != e.Data["resourceArn"] ||
		e.DataContentType != "application/json" || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/cloudevents+json") || r.Method != http.MethodPost {
		l.t.Errorf("the message is %s", body)
	}
	l.said += string(body) + r.URL.String()
	for _, earlier := range l.ids {
		if earlier == id {
			return // told twice, which may be
		}
	}
	l.ids = append(l.ids, id)
	what := e.Type + " " + e.Subject
	word := e.Data["status"]
	if reason := e.Data["failureReason"]; reason != "" {
		word += ": " + reason
	}
	l.told[what] = append(l.told[what], word)
}

func (l *listener) set(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
}

// heard waits until it was told of the statuses of a resource.
func (l *listener) heard(kind, arn string, want ...string) {
	l.t.Helper()
	var got []string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-time.After(10 * time.Millisecond) {
		l.mu.Lock()
		got = l.told["Personalize "+kind+" State Change "+arn]
		l.mu.Unlock()
		if len(got) >= len(want) {
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		l.t.Errorf("%s (-want +got):\n%s", arn, diff)
	}
}

func TestAWebhookIsToldOfEveryChangeOfStatusWhateverHappens(t *testing.T) {
	t.Parallel()
	l := listen(t)
	s := server.StartIn(t, []string{"PALATE_WEBHOOK_SECRET=whsec_" + base64.StdEncoding.EncodeToString(webhookSecret)}, "--verbose", "--webhook", "http://"+l.addr+"/hook?for=palate")
	t.Cleanup(func() {
		noCanaryEscaped(t, s)
		if strings.Contains(l.said, canary) {
			t.Errorf("the webhook was told of a user: %s", l.said)
		}
	})
	h := shop.Open(t, s)
	created := []string{"CREATE PENDING", "CREATE IN_PROGRESS", "ACTIVE"}
	l.heard("Dataset Group", h.Group, created...)
	d := shop.Generate(60, 40, 1200, 81)
	good := h.StartImport(h.Interactions, d.Interactions, "FULL")
	h.Imported(good)
	l.heard("Dataset Import Job", good, created...)
	bad := h.StartImport(h.Interactions, [][]string{{"USER_ID"}, {"canary-1"}}, "FULL")
	reason := failure(h, "datasetImportJob", bad)
	l.heard("Dataset Import Job", bad, "CREATE PENDING", "CREATE IN_PROGRESS", "CREATE FAILED: "+reason)

	l.set(true)
	solution := h.Solution("aws-popularity-count")
	version := h.Version(solution)
	s.Kill()
	s.Restart()
	l.set(false)
	l.heard("Solution", solution, created...)
	l.heard("Solution Version", version, created...)

	deletion := h.StartDeletion(d.Users[0])
	h.Wait("dataDeletionJob", deletion)
	l.heard("Data Deletion Job", deletion, "PENDING", "IN_PROGRESS", "COMPLETED")
	arn, _ := h.StartBatch(shop.Inference, version, "nowhere.json", nil)
	reason = failure(h, "batchInferenceJob", arn)
	l.heard("Batch Inference Job", arn, "CREATE PENDING", "CREATE IN_PROGRESS", "CREATE FAILED: "+reason)
	h.Must("DeleteSolution", M{"solutionArn": solution})
	h.WatchGone("solution", solution)
	l.heard("Solution", solution, append(created, "DELETE PENDING", "DELETE IN_PROGRESS")...)
	if strings.Contains(s.Log(), "for=palate") {
		t.Error("the log holds the URL of the webhook")
	}
}
