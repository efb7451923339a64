// Package notify tells a webhook of every change of the status of a resource: what Amazon puts on EventBridge.
//
// Each change is one POST: a CloudEvent 1.0 in structured JSON, signed as Standard Webhooks has it. The changes that are to be told stand in the metadata database,
// written in the transaction of the change (meta.Notice), so that
//
//   - each is told at least once, however the process ends, in the order in which the changes were made; one that is told twice has the same webhook-id;
//   - one that the receiver does not take is told again after growing pauses, and those after it wait;
//   - it is given up when it is MaxAge old, or refused by a receiver that understood it (status 4xx) as often as refusals says, or pushed out by newer ones.
//
// A message holds names and words that Describe shows, and never a user. Neither the URL nor what the receiver answers gets into the log, but for the status.
package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/metrics"
)

const (
	// Kept is how many changes wait for a receiver at most: the oldest go first.
	Kept = 10_000
	// MaxAge is when a change is too old to be told.
	MaxAge = 72 * time.Hour

	refusals   = 8 // by a receiver that understood the message
	firstPause = time.Second
	longPause  = 5 * time.Minute
	patience   = 10 * time.Second // for one answer
	batch      = 64               // notices read at once
)

// Options say whom to tell.
type Options struct {
	Meta   *meta.DB
	URL    string
	Secret []byte
	Log    *slog.Logger
	Clock  func() time.Time // nil: time.Now
	Pause  time.Duration    // before the second attempt; 0: a second
}

// Webhook tells one receiver.
type Webhook struct {
	Options
	client *http.Client
}

// CheckURL tells what is wrong with the URL of a receiver: it must be https, or http on this machine.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "":
		return errors.New("it is no URL")
	case u.User != nil || u.Fragment != "":
		return errors.New("it must have neither user nor fragment")
	case u.Scheme == "https":
		return nil
	case u.Scheme != "http":
		return errors.New("it must begin with https://")
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return errors.New("it must be https, unless it is on this machine (127.0.0.1, ::1 or localhost)")
	}
	return nil
}

// ParseSecret reads a secret as Standard Webhooks writes it: whsec_ and 24 to 64 bytes in base64.
func ParseSecret(text string) ([]byte, error) {
	secret, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "whsec_"))
	if err != nil || len(secret) < 24 || len(secret) > 64 {
		return nil, errors.New("it must be whsec_ and 24 to 64 random bytes in base64")
	}
	return secret, nil
}

// New returns the webhook of a receiver whose URL CheckURL has accepted.
func New(o Options) *Webhook {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Pause == 0 {
		o.Pause = firstPause
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	return &Webhook{o, &http.Client{
		Timeout:       patience,
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the receiver was checked, what it points to was not
	}}
}

// Run tells the receiver until the context ends.
func (w *Webhook) Run(ctx context.Context) error {
	defer w.client.CloseIdleConnections()
	last := int64(0) // that was told or given up
	for ctx.Err() == nil {
		changed := w.Meta.Changed() // before looking, so that none is missed
		var waiting []meta.Notice
		err := w.Meta.View(ctx, func(tx *meta.Tx) (err error) {
			waiting, err = tx.Notices(batch)
			return err
		})
		if err != nil && ctx.Err() == nil {
			w.Log.Error("read what the webhook is to be told", "error", err)
			pause(ctx, w.Pause, nil)
			continue
		}
		for _, n := range waiting {
			if lost := n.Seq - last - 1; last > 0 && lost > 0 {
				metrics.NoticesGivenUp.Add(float64(lost))
				w.Log.Error("the webhook was never told of some changes of status, because too many waited", "changes", lost)
			}
			pushedOut, err := w.tell(ctx, n)
			if err != nil && ctx.Err() == nil {
				w.Log.Error("forget what the webhook was told", "error", err) // it will be told again
				pause(ctx, w.Pause, nil)
			}
			if err != nil || pushedOut {
				break
			}
			last = n.Seq
		}
		if len(waiting) == 0 {
			pause(ctx, time.Minute, changed)
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration, sooner <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-sooner:
	case <-timer.C:
	}
}

// tell does what it can for one notice, and then forgets it. pushedOut tells that newer ones have taken its place before it could.
func (w *Webhook) tell(ctx context.Context, n meta.Notice) (pushedOut bool, err error) {
	refused := 0
	for wait := w.Pause; ; wait = min(2*wait, longPause) {
		if w.Clock().Sub(n.At) > MaxAge {
			w.giveUp(n, "it is too old")
			break
		}
		status, err := w.send(ctx, n)
		if err == nil && status/100 == 2 {
			metrics.NoticesSent.Inc()
			break
		}
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		metrics.NoticesFailed.Inc()
		if refusing(status) {
			refused++
		}
		if refused == refusals {
			w.giveUp(n, "the receiver refuses it")
			break
		}
		if wait == w.Pause { // the first of many
			w.Log.Warn("the webhook cannot be told of a change of status, and will be again", "resource", n.ARN, "status", n.Status, "http", status, "reached", err == nil)
		}
		pause(ctx, wait, nil)
		if there, err := w.waits(ctx, n); err != nil || !there {
			return err == nil, err
		}
	}
	return false, w.Meta.Update(ctx, func(tx *meta.Tx) error { return tx.DropNotice(n.Seq) })
}

func (w *Webhook) giveUp(n meta.Notice, why string) {
	metrics.NoticesGivenUp.Inc()
	w.Log.Error("the webhook was never told of a change of status", "resource", n.ARN, "status", n.Status, "because", why)
}

// waits tells whether a notice has not been pushed out.
func (w *Webhook) waits(ctx context.Context, n meta.Notice) (there bool, err error) {
	err = w.Meta.View(ctx, func(tx *meta.Tx) error {
		first, err := tx.Notices(1)
		there = len(first) == 1 && first[0].Seq == n.Seq
		return err
	})
	return there, err
}

// refusing tells whether a status says that the receiver will not take the message another time either.
func refusing(status int) bool {
	return status/100 == 4 && status != http.StatusRequestTimeout && status != http.StatusTooEarly && status != http.StatusTooManyRequests
}

// send makes one attempt. status is 0 if there was no answer.
func (w *Webhook) send(ctx context.Context, n meta.Notice) (status int, err error) {
	body, err := message(n)
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	at := strconv.FormatInt(w.Clock().Unix(), 10)
	req.Header.Set("Content-Type", "application/cloudevents+json; charset=utf-8")
	req.Header.Set("User-Agent", "palate")
	req.Header.Set("Webhook-Id", n.ID)
	req.Header.Set("Webhook-Timestamp", at)
	req.Header.Set("Webhook-Signature", Sign(w.Secret, n.ID, at, body))
	resp, err := w.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	io.CopyN(io.Discard, resp.Body, 4<<10) // so that the connection can be used again; what it says does not matter
	return resp.StatusCode, nil
}

// Sign is the value of webhook-signature for a message: HMAC-SHA256 over its id, the time of the attempt in seconds, and its body.
func Sign(secret []byte, id, at string, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s.%s.", id, at)
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// event is a CloudEvent.
type event struct {
	SpecVersion     string `json:"specversion"`
	ID              string `json:"id"`
	Source          string `json:"source"`
	Type            string `json:"type"`
	Subject         string `json:"subject"`
	Time            string `json:"time"`
	DataContentType string `json:"datacontenttype"`
	Data            detail `json:"data"`
}

type detail struct {
	ResourceARN   string `json:"resourceArn"`
	Status        string `json:"status"`
	FailureReason string `json:"failureReason,omitempty"`
}

// source is what EventBridge rules match.
const source = "aws.personalize"

func message(n meta.Notice) ([]byte, error) {
	return json.Marshal(event{
		SpecVersion: "1.0", ID: n.ID, Source: source, Type: DetailType(n.Kind), Subject: n.ARN, Time: n.At.UTC().Format(time.RFC3339Nano), DataContentType: "application/json",
		Data: detail{n.ARN, n.Status, n.Failure},
	})
}

// DetailType is what EventBridge calls the changes of a kind of resource: "Personalize Dataset Import Job State Change".
func DetailType(kind string) string {
	words := strings.Split(kind, "-")
	for i, word := range words {
		words[i] = strings.ToUpper(word[:1]) + word[1:]
	}
	return "Personalize " + strings.Join(words, " ") + " State Change"
}
