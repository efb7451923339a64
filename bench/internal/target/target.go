// Package target runs the server that a benchmark measures, in a process of its own, and speaks its API with signed requests.
package target

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/palate-dev/palate/bench/internal/measure"
	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/internal/signed"
)

// Object is a JSON object.
type Object = map[string]any

// Role is what jobs name as theirs.
const Role = "arn:aws:iam::000000000000:role/bench"

const accessKey, secretKey = "bench", "bench-secret"

var caller = signed.With(accessKey, secretKey)

// Server is a running server: most of the time the real binary, serving a directory.
type Server struct {
	URL string
	cmd *exec.Cmd
}

var urlPattern = regexp.MustCompile(`export AWS_ENDPOINT_URL=(\S+)`)

// Build builds palate into dir and returns where it is.
func Build(dir string) (binary string, err error) {
	binary = filepath.Join(dir, "palate")
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/palate-dev/palate/cmd/palate").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build palate: %w\n%s", err, out)
	}
	return binary, nil
}

// Start serves a data directory with signatures checked. flags are further ones of palate serve.
func Start(binary, data string, flags ...string) (*Server, error) {
	return StartLogged(os.Stderr, binary, data, flags...)
}

// StartLogged is Start with a writer for the server's log.
func StartLogged(log io.Writer, binary, data string, flags ...string) (*Server, error) {
	cmd := exec.Command(binary, append([]string{"serve", "--listen", "127.0.0.1:0", "--data", data, "--auto-training=false"}, flags...)...)
	cmd.Stderr = log
	return Spawn(cmd)
}

// Plain answers every request with body, when it has read what came, and with nothing else: what net/http can do. It prints its URL as Spawn reads it.
func Plain(body []byte) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("export AWS_ENDPOINT_URL=http://%s\n", l.Addr())
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if len(body) > 0 {
			w.Header().Set("Content-Type", "application/json")
			w.Write(body)
		}
	}))
}

// Spawn starts a server that prints its URL. Its log goes to where ours goes, unless the command says where.
func Spawn(cmd *exec.Cmd) (*Server, error) {
	cmd.Env = append(os.Environ(), "PALATE_ACCESS_KEY_ID="+accessKey, "PALATE_SECRET_ACCESS_KEY="+secretKey)
	if cmd.Stderr == nil {
		cmd.Stderr = os.Stderr
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if m := urlPattern.FindStringSubmatch(lines.Text()); m != nil {
			return &Server{URL: m[1], cmd: cmd}, nil
		}
	}
	return nil, fmt.Errorf("the server ended before it was ready: %w", cmd.Wait())
}

// Stop asks the server to end and waits until it has.
func (s *Server) Stop() error {
	s.cmd.Process.Signal(syscall.SIGTERM)
	return s.cmd.Wait()
}

// Addr is HOST:PORT.
func (s *Server) Addr() string { return strings.TrimPrefix(s.URL, "http://") }

// CPU is the user and system time of the server process so far.
func (s *Server) CPU() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
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

// Request makes a signed request of the runtime or with records, which their paths tell.
func (s *Server) Request(path string, in any) (*http.Request, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	return caller.Request(context.Background(), s.URL+path, body)
}

// Raw is a signed request as bytes, ready to be sent any number of times within the fifteen minutes that a signature lives.
func (s *Server) Raw(path string, in any) ([]byte, error) {
	req, err := s.Request(path, in)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = req.Write(&b)
	return b.Bytes(), err
}

// Call sends one operation of the control plane and returns its answer.
func (s *Server) Call(operation string, in Object) (Object, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	req, err := caller.Control(context.Background(), s.URL, operation, body)
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
	var out Object
	return out, json.Unmarshal(text, &out)
}

// Make creates a resource and waits until it is ready. noun is its name in the API: "campaign".
func (s *Server) Make(noun string, in Object) (arn string, err error) {
	if arn, err = s.Begin(noun, in); err != nil || noun == "schema" {
		return arn, err
	}
	return arn, s.Wait(noun, arn)
}

// Begin creates a resource without waiting for it.
func (s *Server) Begin(noun string, in Object) (arn string, err error) {
	out, err := s.Call("Create"+strings.ToUpper(noun[:1])+noun[1:], in)
	if err != nil {
		return "", err
	}
	return out[noun+"Arn"].(string), nil
}

// Wait waits until a resource is ready, or tells why it never will be.
func (s *Server) Wait(noun, arn string) error {
	for {
		out, err := s.Call("Describe"+strings.ToUpper(noun[:1])+noun[1:], Object{noun + "Arn": arn})
		if err != nil {
			return err
		}
		d := out[noun].(Object)
		switch status := d["status"].(string); {
		case status == "ACTIVE" || status == "COMPLETED":
			return nil
		case strings.Contains(status, "FAILED"):
			return fmt.Errorf("%s: %v", noun, d["failureReason"])
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Bucket makes a bucket of the embedded S3.
func (s *Server) Bucket(name string) (blob.Store, error) {
	c := blob.S3Config{Endpoint: s.URL, Region: "us-east-1", AccessKey: accessKey, SecretKey: secretKey, PathStyle: true}
	return blob.CreateBucket(context.Background(), c, name)
}

// Memory is the resident memory of the server process in MB, 0 if the system does not say.
func (s *Server) Memory() float64 { return measure.Memory(strconv.Itoa(s.cmd.Process.Pid), "VmRSS") }
