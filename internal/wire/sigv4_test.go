//lint:file-ignore SA1019 version 1 of the SDK is what customers still run, and the only Go client of all three services: it is tested because it is old.

package wire

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go/aws/credentials"
	v1 "github.com/aws/aws-sdk-go/aws/signer/v4"

	"github.com/palate-dev/palate/internal/api"
)

var (
	signedAt = time.Date(2026, 11, 22, 3, 4, 5, 0, time.UTC)
	keys     = map[string]string{"AKID": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
)

func at(t time.Time) *verifier { return &verifier{keys: keys, now: func() time.Time { return t }} }

// signers are the two generations of the SDK for Go.
var signers = map[string]func(t testing.TB, r *http.Request, body, service string){
	"v1": func(t testing.TB, r *http.Request, body, service string) {
		s := v1.NewSigner(credentials.NewStaticCredentials("AKID", keys["AKID"], ""))
		if _, err := s.Sign(r, strings.NewReader(body), service, "eu-west-1", signedAt); err != nil {
			t.Fatal(err)
		}
	},
	"v2": func(t testing.TB, r *http.Request, body, service string) {
		err := v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: keys["AKID"]}, r, hexHash([]byte(body)), service, "eu-west-1", signedAt)
		if err != nil {
			t.Fatal(err)
		}
	},
}

func hexHash(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

const sampleBody = `{"name":"n"}`

// signed is a signed request as the server reads it off the wire, and its bytes.
func signed(t testing.TB, signer, service string, change func(r *http.Request)) (*http.Request, []byte) {
	t.Helper()
	r, err := http.NewRequest("POST", "http://127.0.0.1:4725/a%20b/c?x=1&b=%2F&a=", strings.NewReader(sampleBody))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "AmazonPersonalize.CreateDatasetGroup")
	r.Header.Set("User-Agent", "test/1.0   (two  spaces)")
	if change != nil {
		change(r)
	}
	signers[signer](t, r, sampleBody, service)
	var wire bytes.Buffer
	if err := r.Write(&wire); err != nil {
		t.Fatal(err)
	}
	return arrived(t, wire.Bytes()), wire.Bytes()
}

func arrived(t testing.TB, wire []byte) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(wire)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func code(err *api.Error) api.Code {
	if err == nil {
		return ""
	}
	return err.Code
}

func TestSignaturesOfTheSDKsVerify(t *testing.T) {
	for signer := range signers {
		for _, service := range []string{"personalize", "sts"} {
			r, _ := signed(t, signer, service, nil)
			if err := at(signedAt.Add(14*time.Minute)).verify(r, []byte(sampleBody), service); err != nil {
				t.Errorf("%s %s: %v", signer, service, err)
			}
			withToken, _ := signed(t, signer, service, func(r *http.Request) { r.Header.Set("X-Amz-Security-Token", "token"); r.URL.RawQuery = "" })
			if err := at(signedAt.Add(-14*time.Minute)).verify(withToken, []byte(sampleBody), service); err != nil {
				t.Errorf("%s %s with a token: %v", signer, service, err)
			}
		}
	}
}

// TestPublishedVector is get-vanilla of the AWS Signature Version 4 test suite.
func TestPublishedVector(t *testing.T) {
	r := httptest.NewRequest("GET", "http://example.amazonaws.com/", nil)
	r.Header.Set("X-Amz-Date", "20150830T123600Z")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, "+
		"Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31")
	v := &verifier{keys: map[string]string{"AKIDEXAMPLE": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}, now: func() time.Time { return time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC) }}
	if err := v.verify(r, nil, "service"); err != nil {
		t.Error(err)
	}
}

func TestWhatIsNotSignedRightIsRefused(t *testing.T) {
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	replace := func(old, new string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, new, 1))
		}
	}
	for _, c := range []struct {
		name   string
		change func(r *http.Request) // after signing
		want   api.Code
	}{
		{"no signature", func(r *http.Request) { r.Header.Del("Authorization") }, api.MissingAuthenticationToken},
		{"a bearer token", set("Authorization", "Bearer x"), api.IncompleteSignature},
		{"two signatures", func(r *http.Request) { r.Header.Add("Authorization", r.Header.Get("Authorization")) }, api.IncompleteSignature},
		{"an unknown key", replace("AKID", "AKIE"), api.UnrecognizedClient},
		{"another region", replace("eu-west-1", "eu-west-2"), api.InvalidSignature},
		{"another service", replace("/personalize/", "/s3/"), api.InvalidSignature},
		{"another day", replace("20261122", "20261121"), api.InvalidSignature},
		{"another terminator", replace("aws4_request", "aws4"), api.IncompleteSignature},
		{"no host signed", replace("host;", ""), api.IncompleteSignature},
		{"no target signed", replace(";x-amz-target", ""), api.IncompleteSignature},
		{"no content type signed", replace("content-type;", ""), api.IncompleteSignature},
		{"headers out of order", replace("x-amz-date;x-amz-target", "x-amz-target;x-amz-date"), api.IncompleteSignature},
		{"an unsigned x-amz header", set("X-Amz-Security-Token", "t"), api.IncompleteSignature},
		{"two targets", func(r *http.Request) { r.Header.Add("X-Amz-Target", "AmazonPersonalize.DeleteSchema") }, api.IncompleteSignature},
		{"another target", set("X-Amz-Target", "AmazonPersonalize.DeleteSchema"), api.InvalidSignature},
		{"another content type", set("Content-Type", "text/plain"), api.InvalidSignature},
		{"another host", func(r *http.Request) { r.Host = "localhost:4725" }, api.InvalidSignature},
		{"another path", func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/", "" }, api.InvalidSignature},
		{"another query", func(r *http.Request) { r.URL.RawQuery += "&y=2" }, api.InvalidSignature},
		{"another method", func(r *http.Request) { r.Method = "PUT" }, api.InvalidSignature},
		{"another time", set("X-Amz-Date", "20261122T030406Z"), api.InvalidSignature},
		{"a time in another form", set("X-Amz-Date", "2026-11-22T03:04:05Z"), api.IncompleteSignature},
		{"an upper-case signature", func(r *http.Request) {
			a, sig, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
			r.Header.Set("Authorization", a+"Signature="+strings.ToUpper(sig))
		}, api.InvalidSignature},
	} {
		r, _ := signed(t, "v2", "personalize", nil)
		c.change(r)
		if err := at(signedAt).verify(r, []byte(sampleBody), "personalize"); code(err) != c.want {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

func TestBodyAndClockAreChecked(t *testing.T) {
	r, _ := signed(t, "v1", "personalize", nil)
	if err := at(signedAt).verify(r, []byte(sampleBody+" "), "personalize"); code(err) != api.InvalidSignature {
		t.Errorf("another body: %v", err)
	}
	for _, d := range []time.Duration{16 * time.Minute, -16 * time.Minute, 24 * time.Hour} {
		if err := at(signedAt.Add(d)).verify(r, []byte(sampleBody), "personalize"); code(err) != api.InvalidSignature {
			t.Errorf("clock off by %v: %v", d, err)
		}
	}
	for _, claim := range []string{"UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", hexHash([]byte("other"))} {
		r, _ := signed(t, "v2", "personalize", func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", claim) })
		if err := at(signedAt).verify(r, []byte(sampleBody), "personalize"); code(err) != api.InvalidSignature {
			t.Errorf("content hash %s: %v", claim, err)
		}
	}
	r, _ = signed(t, "v2", "personalize", func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", hexHash([]byte(sampleBody))) })
	if err := at(signedAt).verify(r, []byte(sampleBody), "personalize"); err != nil {
		t.Errorf("right content hash: %v", err)
	}
}

// meaning is all of a request that the server acts on.
func meaning(r *http.Request, body []byte) string {
	var b strings.Builder
	fmt.Fprintln(&b, r.Method, r.URL.Path, canonicalQuery(r.URL.RawQuery), r.Host)
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		if strings.HasPrefix(name, "X-Amz-") || name == "Content-Type" {
			fmt.Fprintln(&b, name, strings.Join(strings.Fields(strings.Join(r.Header[name], ",")), " "))
		}
	}
	b.Write(body)
	return b.String()
}

// TestNoMutationIsAccepted changes bytes of a signed request. Whatever still parses and verifies must mean the same to the server.
func TestNoMutationIsAccepted(t *testing.T) {
	rounds := 25_000
	if testing.Short() {
		rounds = 5_000
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	v := at(signedAt)
	for signer := range signers {
		r, original := signed(t, signer, "personalize", nil)
		want := meaning(r, []byte(sampleBody))
		for range rounds {
			mutated := mutate(random, original)
			r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(mutated)))
			if err != nil {
				continue
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				continue
			}
			if v.verify(r, body, "personalize") == nil && meaning(r, body) != want {
				t.Fatalf("accepted:\n%s\ninstead of\n%s", mutated, original)
			}
		}
	}
}

// mutate changes, inserts, deletes or copies one to three spans.
func mutate(random *rand.Rand, original []byte) []byte {
	b := slices.Clone(original)
	for range 1 + random.IntN(3) {
		i := random.IntN(len(b))
		j := min(len(b), i+1+random.IntN(8))
		switch random.IntN(4) {
		case 0:
			b[i] ^= 1 << random.IntN(8)
		case 1:
			b = slices.Insert(b, i, " \t,;:=%/&\r\nA0"[random.IntN(13)])
		case 2:
			b = slices.Delete(b, i, j)
		case 3:
			b = slices.Insert(b, random.IntN(len(b)), slices.Clone(b[i:j])...)
		}
		if len(b) == 0 {
			return slices.Clone(original)
		}
	}
	return b
}

// FuzzAuthorization shows that no header makes the parser fail, and that what it accepts holds what a signature needs.
func FuzzAuthorization(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=AKID/20261122/us-east-1/personalize/aws4_request, SignedHeaders=host;x-amz-date, Signature=00")
	f.Add("AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request,Signature==,SignedHeaders=;")
	f.Fuzz(func(t *testing.T, header string) {
		a, ok := parseAuthorization(header)
		if ok && (a.scope.key == "" || a.signature == "" || len(a.headers) == 0) {
			t.Errorf("%q is parsed as %+v", header, a)
		}
	})
}

func TestWithCredentialsEveryDoorIsShut(t *testing.T) {
	ran := false
	op := api.Operation{Name: "PutEvents", Method: "POST", Path: "/events", Empty: true, Call: func(context.Context, []byte) (any, error) { ran = true; return nil, nil }}
	control := op
	control.Path, control.Target = "/", "AmazonPersonalize.X"
	h := New(Options{Operations: []api.Operation{op, control}, Credentials: keys})
	for _, c := range []struct {
		path   string
		header [2]string
		status int
		want   string
	}{
		{"/events", [2]string{}, 403, "MissingAuthenticationToken"},
		{"/", [2]string{"X-Amz-Target", "AmazonPersonalize.X"}, 403, "MissingAuthenticationToken"},
		{"/", [2]string{"X-Amz-Target", "AmazonPersonalize.Nothing"}, 403, "MissingAuthenticationToken"},
		{"/events?X-Amz-Credential=AKID/20261122/us-east-1/personalize/aws4_request", [2]string{}, 403, "MissingAuthenticationToken"},
		{"/", [2]string{"Content-Type", "application/x-www-form-urlencoded"}, 403, "MissingAuthenticationToken"},
		{"/events", [2]string{"Authorization", "AWS4-HMAC-SHA256 x"}, 400, "IncompleteSignature"},
	} {
		r := httptest.NewRequest("POST", c.path, strings.NewReader("{}"))
		if c.header[0] != "" {
			r.Header.Set(c.header[0], c.header[1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) || ran {
			t.Errorf("%s %v: %d %s, ran %v", c.path, c.header, w.Code, w.Body, ran)
		}
	}
}

func TestStampsAreReadAsTheTimePackageReadsThem(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		b := []byte("20240229T235959Z")
		for range random.IntN(4) {
			b[random.IntN(len(b))] = "0123456789TZ-"[random.IntN(13)]
		}
		stamp := string(b)[:len(b)-random.IntN(2)*random.IntN(2)]
		want, err := time.Parse(timeLayout, stamp)
		if got, ok := parseStamp(stamp); ok != (err == nil) || ok && !got.Equal(want) {
			t.Fatalf("%q: %v %v, want %v %v", stamp, got, ok, want, err)
		}
	}
}
