package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/palate-dev/palate/internal/blob"
)

type object = map[string]any

const accessKey, secretKey = "bench", "bench-secret"

// target is the real binary, serving a directory.
type target struct {
	url string
	cmd *exec.Cmd
}

var urlPattern = regexp.MustCompile(`export AWS_ENDPOINT_URL=(\S+)`)

// start builds palate, unless binary names one, and serves dir with signatures checked.
func start(binary, dir string) (*target, error) {
	if binary == "" {
		binary = filepath.Join(dir, "palate")
		if out, err := exec.Command("go", "build", "-o", binary, "github.com/palate-dev/palate/cmd/palate").CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build palate: %w\n%s", err, out)
		}
	}
	return spawn(exec.Command(binary, "serve", "--listen", "127.0.0.1:0", "--data", filepath.Join(dir, "data"), "--auto-training=false"))
}

// spawn starts a server that prints its URL.
func spawn(cmd *exec.Cmd) (*target, error) {
	cmd.Env = append(os.Environ(), "PALATE_ACCESS_KEY_ID="+accessKey, "PALATE_SECRET_ACCESS_KEY="+secretKey)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if m := urlPattern.FindStringSubmatch(lines.Text()); m != nil {
			return &target{url: m[1], cmd: cmd}, nil
		}
	}
	return nil, fmt.Errorf("the server ended before it was ready: %w", cmd.Wait())
}

func (t *target) stop() error {
	t.cmd.Process.Signal(syscall.SIGTERM)
	return t.cmd.Wait()
}

func (t *target) addr() string { return strings.TrimPrefix(t.url, "http://") }

// cpu is the user and system time of the server process so far.
func (t *target) cpu() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", t.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name may hold spaces
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * (time.Second / 100)
}

// request builds a signed request.
func (t *target) request(path, operation string, in any) (*http.Request, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequest(http.MethodPost, t.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if path == "/" {
		req.Header.Set("Content-Type", "application/x-amz-json-1.1")
		req.Header.Set("X-Amz-Target", "AmazonPersonalize."+operation)
	}
	hash := sha256.Sum256(body)
	credentials := aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: secretKey}
	return req, v4.NewSigner().SignHTTP(context.Background(), credentials, req, hex.EncodeToString(hash[:]), "personalize", "us-east-1", time.Now())
}

// raw is a signed request as bytes, ready to be sent any number of times within the fifteen minutes that a signature lives.
func (t *target) raw(path string, in any) ([]byte, error) {
	req, err := t.request(path, "", in)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = req.Write(&b)
	return b.Bytes(), err
}

// call sends one operation and returns its answer.
func (t *target) call(operation string, in object) (object, error) {
	req, err := t.request("/", operation, in)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", operation, text)
	}
	var out object
	return out, json.Unmarshal(text, &out)
}

// make creates a resource and waits until it is ready. noun is its name in the API: "campaign".
func (t *target) make(noun string, in object) (arn string, err error) {
	if arn, err = t.begin(noun, in); err != nil || noun == "schema" {
		return arn, err
	}
	return arn, t.wait(noun, arn)
}

func (t *target) begin(noun string, in object) (arn string, err error) {
	out, err := t.call("Create"+strings.ToUpper(noun[:1])+noun[1:], in)
	if err != nil {
		return "", err
	}
	return out[noun+"Arn"].(string), nil
}

func (t *target) wait(noun, arn string) error {
	for {
		out, err := t.call("Describe"+strings.ToUpper(noun[:1])+noun[1:], object{noun + "Arn": arn})
		if err != nil {
			return err
		}
		d := out[noun].(object)
		switch status := d["status"].(string); {
		case status == "ACTIVE" || status == "COMPLETED":
			return nil
		case strings.Contains(status, "FAILED"):
			return fmt.Errorf("%s: %v", noun, d["failureReason"])
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// bucket makes a bucket of the embedded S3.
func (t *target) bucket(name string) (blob.Store, error) {
	c := blob.S3Config{Endpoint: t.url, Region: "us-east-1", AccessKey: accessKey, SecretKey: secretKey, PathStyle: true}
	return blob.CreateBucket(context.Background(), c, name)
}
