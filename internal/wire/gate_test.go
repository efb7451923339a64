package wire_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	awsv2 "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/api/apitest"
	"github.com/palate-dev/palate/internal/wire"
)

// crowded serves operations of which PutEvents has one place unless there are other bounds. One is taken until leave is called. connect opens a connection to it.
func crowded(t *testing.T, o wire.Options, sign ...func(string) string) (connect func() (net.Conn, *bufio.Reader), leave func()) {
	entered, gate := make(chan struct{}, 100), make(chan struct{})
	o.Operations = apitest.Operations(func(_ context.Context, name string, _, _ any) error {
		if name == "PutEvents" {
			entered <- struct{}{}
			<-gate
		}
		return nil
	})
	o.Account, o.S3 = "000000000000", s3
	if o.Bounds == nil {
		o.Bounds = map[string]int{"PutEvents": 1, "GetRecommendations": 10}
	}
	server := &wire.Server{Server: http.Server{Handler: wire.New(o), IdleTimeout: time.Minute, ReadHeaderTimeout: time.Minute}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	connect = func() (net.Conn, *bufio.Reader) {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c, bufio.NewReader(c)
	}
	c, answers := connect()
	taking := post("/events", someEvents)
	for _, f := range sign {
		taking = f(taking)
	}
	io.WriteString(c, taking)
	<-entered
	first := make(chan *http.Response, 1)
	go func() {
		r, _ := http.ReadResponse(answers, nil)
		first <- r
	}()
	left := false
	leave = func() {
		if left {
			return
		}
		left = true
		close(gate)
		if r := <-first; r == nil || r.StatusCode != http.StatusOK {
			t.Errorf("the call that had the place was answered %v", r)
		}
	}
	t.Cleanup(func() {
		leave()
		server.Close()
		if err := <-served; err != http.ErrServerClosed {
			t.Error(err)
		}
	})
	return connect, leave
}

// post is a request as a client sends it, with further fields.
func post(path, body string, fields ...string) string {
	lines := append([]string{"POST " + path + " HTTP/1.1", "Host: palate", "Content-Type: application/json", fmt.Sprint("Content-Length: ", len(body))}, fields...)
	return strings.Join(lines, "\r\n") + "\r\n\r\n" + body
}

// What is answered without net/http looks as it does with it: the first call on a connection is net/http's.
func TestAnswersWithoutNetHTTPLookTheSame(t *testing.T) {
	bounds := map[string]int{"PutEvents": 10, "GetRecommendations": 10} // an answer may come before its place is free
	connect, leave := crowded(t, wire.Options{Credentials: map[string]string{"AKID": "secret"}, Bounds: bounds}, sign)
	leave()
	for name, sent := range map[string]string{
		"recommendations": sign(post("/recommendations", "{}")),
		"events":          sign(post("/events", someEvents)),
		"large":           sign(post("/events", strings.Replace(someEvents, `"t"`, `"`+strings.Repeat("t", 9000)+`"`, 1))),
		"invalid":         sign(post("/events", `{"trackingId":1}`)),
		"not JSON":        sign(post("/events", `{`)),
		"unsigned":        post("/events", someEvents),
		"another body":    sign(post("/events", someEvents))[:len(sign(post("/events", someEvents)))-1] + " ",
		"no region":       strings.Replace(sign(post("/events", someEvents)), "us-east-1", "US", 1),
	} {
		c, answers := connect()
		io.WriteString(c, sent)
		want := read(t, answers)
		for range 2 {
			io.WriteString(c, sent)
			if diff := cmp.Diff(want, read(t, answers)); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
		io.WriteString(c, sent[:len(sent)-1]) // the body in two pieces
		time.Sleep(time.Millisecond)          // nothing tells that the first piece has been read
		io.WriteString(c, sent[len(sent)-1:])
		if diff := cmp.Diff(want, read(t, answers)); diff != "" {
			t.Errorf("%s, in two pieces: %s", name, diff)
		}
	}
}

func TestAServerThatLeavesAnswersTheCallsUnderWay(t *testing.T) {
	entered, gate := make(chan struct{}), make(chan struct{})
	h := wire.New(wire.Options{Account: "000000000000", Bounds: map[string]int{"PutEvents": 10}, Operations: apitest.Operations(func(_ context.Context, name string, _, _ any) error {
		if name == "PutEvents" {
			entered <- struct{}{}
			<-gate
		}
		return nil
	})})
	server := &wire.Server{Server: http.Server{Handler: h}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	var clients []*bufio.Reader
	for i := range 3 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		clients = append(clients, bufio.NewReader(c))
		io.WriteString(c, post("/recommendations", "{}"))
		read(t, clients[i])
		if i > 0 { // the first one stays idle
			io.WriteString(c, post("/events", someEvents))
			<-entered
		}
	}
	short, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := server.Shutdown(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with calls under way: %v", err)
	}
	left := make(chan error)
	go func() { left <- server.Shutdown(context.Background()) }()
	close(gate)
	if err := <-left; err != nil {
		t.Error(err)
	}
	for _, answers := range clients[1:] {
		if got := read(t, answers).Status; got != http.StatusOK {
			t.Errorf("answered %d", got)
		}
	}
	for i, answers := range clients {
		if _, err := answers.ReadByte(); err != io.EOF {
			t.Errorf("connection %d after the shutdown: %v", i, err)
		}
	}
	if err := <-served; err != http.ErrServerClosed {
		t.Error(err)
	}
}

// sign signs a request of post.
func sign(request string) string {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(request)))
	if err != nil {
		panic(err)
	}
	body, _ := io.ReadAll(r.Body)
	r.URL.Host, r.RequestURI = r.Host, ""
	r.URL.Scheme = "http"
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	sum := sha256.Sum256(body)
	credentials := awsv2.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret"}
	if err := v4.NewSigner().SignHTTP(context.Background(), credentials, r, hex.EncodeToString(sum[:]), "personalize", "us-east-1", time.Now()); err != nil {
		panic(err)
	}
	var b strings.Builder
	if err := r.Write(&b); err != nil {
		panic(err)
	}
	return b.String()
}

// answered is what a client sees of an answer.
type answered struct {
	Status int
	Body   string
	Header http.Header // without the id of the request and the time
}

func read(t *testing.T, answers *bufio.Reader) answered {
	t.Helper()
	r, err := http.ReadResponse(answers, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if at, err := http.ParseTime(r.Header.Get("Date")); err != nil || time.Since(at).Abs() > time.Hour {
		t.Errorf("Date: %q", r.Header.Get("Date"))
	}
	if !requestID.MatchString(r.Header.Get("X-Amzn-RequestId")) {
		t.Errorf("request id %q", r.Header.Get("X-Amzn-RequestId"))
	}
	r.Header.Del("Date")
	r.Header.Del("X-Amzn-RequestId")
	return answered{r.StatusCode, string(body), r.Header}
}

var refusal = answered{http.StatusBadRequest, `{"__type":"ThrottlingException","message":"Rate exceeded."}`, http.Header{
	"Content-Length": {"59"}, "Content-Type": {"application/json"}, "X-Amzn-Errortype": {string(api.Throttling)}}}

// However a request comes, it is answered as it would be without the gate; what net/http reads, and what the gate refuses by itself, cannot be told apart.
func TestACallWithoutRoomIsRefusedHoweverItComes(t *testing.T) {
	told := make(chan struct{}, 1000)
	connect, _ := crowded(t, wire.Options{Refused: func(operation string, status int) {
		if operation != "PutEvents" || status != 400 {
			t.Errorf("told of a refusal of %s with %d", operation, status)
		}
		told <- struct{}{}
	}})
	expect := func(name string, answers *bufio.Reader) {
		t.Helper()
		if diff := cmp.Diff(refusal, read(t, answers)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		<-told // once for each, after the answer
	}
	chunked := "POST /events HTTP/1.1\r\nHost: palate\r\nTransfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(someEvents), someEvents)
	signed := post("/events", someEvents, "Authorization: "+scoped("us-east-1", "personalize"))
	for name, sent := range map[string]string{
		"unsigned":               post("/events", someEvents),
		"signed":                 signed,
		"small letters":          strings.ReplaceAll(signed, "Content-Length", "content-length"),
		"chunked":                chunked,
		"large":                  post("/events", someEvents+strings.Repeat(" ", 9000)),
		"with a long head":       post("/events", someEvents, "X-Long: "+strings.Repeat("x", 9000)),
		"no body":                post("/events", ""),
		"kept alive":             post("/events", someEvents, "Connection: keep-alive"),
		"signed for nothing sts": post("/events", someEvents, "Authorization: Bearer x"),
	} {
		c, answers := connect()
		for range 3 { // on the same connection
			io.WriteString(c, sent)
			expect(name, answers)
		}
		io.WriteString(c, sent+sent) // one behind the other
		for range 2 {
			expect(name+", two at once", answers)
		}
		for at := 1; at < len(sent) && len(sent) < 1000; at += 40 { // in two pieces
			io.WriteString(c, sent[:at])
			time.Sleep(time.Millisecond) // nothing tells that the first piece has been read
			io.WriteString(c, sent[at:])
			expect(fmt.Sprintf("%s, in two pieces of which the first has %d bytes", name, at), answers)
		}
		if n := len(told); n > 0 {
			t.Errorf("%s: told of %d refusals too many", name, n)
		}
	}
	c, answers := connect()
	io.WriteString(c, post("/events", someEvents, "Connection: close"))
	if r, err := http.ReadResponse(answers, nil); err != nil || !r.Close {
		t.Errorf("a client that leaves was answered %v, %v", r, err)
	}
	c, answers = connect()
	io.WriteString(c, strings.TrimSuffix(post("/events", someEvents, "Expect: 100-continue"), someEvents))
	if r, err := http.ReadResponse(answers, nil); err != nil || r.StatusCode != http.StatusContinue {
		t.Errorf("a client that waits before it sends its body was answered %v, %v", r, err)
	}
	io.WriteString(c, someEvents)
	if diff := cmp.Diff(refusal, read(t, answers)); diff != "" {
		t.Error(diff)
	}
}

// The body of a request that came together with the one before it may look like a request.
func TestABodyIsNoRequest(t *testing.T) {
	connect, _ := crowded(t, wire.Options{})
	within := post("/recommendations", "{}")
	for name, head := range map[string]string{
		"of a known length": strings.TrimSuffix(post("/recommendations", within), within),
		"of the whole head": strings.TrimSuffix(post("/recommendations", within), "\r\n"+within),
		"of a line":         "POST /recommendations HTTP/1.1\r\n",
	} {
		c, answers := connect()
		whole := post("/recommendations", within)
		io.WriteString(c, post("/events", someEvents)+head)
		if diff := cmp.Diff(refusal, read(t, answers)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		io.WriteString(c, whole[len(head):])
		if got := read(t, answers); got.Status != http.StatusBadRequest || !strings.Contains(got.Body, "SerializationException") {
			t.Errorf("%s: a body that is no JSON was answered %d %s", name, got.Status, got.Body)
		}
		io.WriteString(c, post("/events", someEvents)) // what comes next is the answer to this
		if diff := cmp.Diff(refusal, read(t, answers)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestTheGateStopsNothingElse(t *testing.T) {
	connect, leave := crowded(t, wire.Options{})
	for _, c := range []struct{ name, sent, want string }{
		{"another operation", post("/recommendations", "{}"), `{"itemList"`},
		{"a bucket named events", post("/events", "{}", "Authorization: "+scoped("us-east-1", "s3")), "S3"},
		{"the control plane", post("/", "{}", "X-Amz-Target: AmazonPersonalize.ListSchemas"), `{"schemas"`},
		{"a target", post("/events", "{}", "x-amz-target: AmazonPersonalize.ListSchemas"), `{"__type":"UnknownOperationException"`},
		{"an object", "GET /events HTTP/1.1\r\nHost: palate\r\n\r\n", "S3"},
		{"a query", post("/events?x=1", "{}", "Authorization: "+scoped("us-east-1", "logs")), `{"__type":"ThrottlingException"`},
	} {
		conn, answers := connect()
		io.WriteString(conn, post("/events", someEvents)) // is refused, and the connection goes on
		if got := read(t, answers).Status; got != http.StatusBadRequest {
			t.Errorf("answered %d", got)
		}
		io.WriteString(conn, c.sent)
		r, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || !strings.HasPrefix(string(body), c.want) {
			t.Errorf("%s: %s, %v, want %s...", c.name, body, err, c.want)
		}
	}
	conn, answers := connect()
	io.WriteString(conn, post("/events", someEvents))
	read(t, answers)
	leave()
	io.WriteString(conn, post("/events", someEvents))
	if got := read(t, answers).Status; got != http.StatusOK {
		t.Errorf("answered %d once there was room", got)
	}
}
