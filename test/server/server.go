// Package server runs the real palate binary for tests: built once, started on a free port in a directory of the test, killed or stopped at will.
package server

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Binary builds palate once for the whole test process and returns its path. With -race in the build of the test, the binary has it too. All test processes
// of a checkout share the path, so that no binaries pile up; a build replaces the file, and whoever runs the old one goes on with it.
var Binary = sync.OnceValues(func() (string, error) {
	_, source, _, _ := runtime.Caller(0)
	checkout := fnv.New32a()
	io.WriteString(checkout, source)
	name := fmt.Sprintf("palate-test-%d-%x", os.Getuid(), checkout.Sum32())
	args := []string{"build"}
	if race {
		name += "-race"
		args = append(args, "-race")
	}
	path := filepath.Join(os.TempDir(), name)
	fresh := fmt.Sprintf("%s.%d", path, os.Getpid())
	out, err := exec.Command("go", append(args, "-o", fresh, "github.com/palate-dev/palate/cmd/palate")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build palate: %w\n%s", err, out)
	}
	return path, os.Rename(fresh, path)
})

// A Server is one data directory and the process that serves it.
type Server struct {
	URL  string
	Data string
	Env  []string // added to the environment of later starts

	AccessKey, SecretKey string // what requests are signed with

	t     testing.TB
	args  []string
	cmd   *exec.Cmd
	log   *syncBuffer
	words *syncBuffer
	done  chan error
}

// Start serves an empty directory with the given further flags. The process ends with the test.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	return StartIn(t, nil, args...)
}

// StartIn is Start with additions to the environment.
func StartIn(t testing.TB, env []string, args ...string) *Server {
	t.Helper()
	return startAt(t, filepath.Join(t.TempDir(), "data"), env, args...)
}

// StartAt is Start with a data directory of the caller's.
func StartAt(t testing.TB, data string, args ...string) *Server {
	t.Helper()
	return startAt(t, data, nil, args...)
}

func startAt(t testing.TB, data string, env []string, args ...string) *Server {
	t.Helper()
	s := &Server{
		t: t, Data: data, Env: env, args: args, log: &syncBuffer{}, words: &syncBuffer{},
		AccessKey: "AKIDEXAMPLE", SecretKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
	}
	s.Restart()
	t.Cleanup(func() {
		if s.cmd != nil {
			s.Kill()
		}
		if t.Failed() {
			t.Logf("log of the server:\n%s", s.Log())
		}
	})
	return s
}

// Words is every error message and failure reason that the server answered to Call.
func (s *Server) Words() string { return s.words.String() }

func (s *Server) said(text string) { fmt.Fprintln(s.words, text) }

var urlPattern = regexp.MustCompile(`export AWS_ENDPOINT_URL=(\S+)`)

// Args adds flags to later starts.
func (s *Server) Args(args ...string) { s.args = append(s.args, args...) }

// Restart starts a process on the same directory. Once it is ready the URL is the same as before, so that clients go on.
func (s *Server) Restart() {
	s.t.Helper()
	if err := s.TryRestart(); err != nil {
		s.t.Fatal(err)
	}
}

// TryRestart is Restart for a process that may die before it is ready.
func (s *Server) TryRestart() error {
	binary, err := Binary()
	if err != nil {
		return err
	}
	listen := "127.0.0.1:0"
	if s.URL != "" {
		listen = s.URL[len("http://"):]
	}
	cmd := exec.Command(binary, append([]string{"serve", "--listen", listen, "--data", s.Data}, s.args...)...)
	cmd.Env = append(append(os.Environ(), "GOTRACEBACK=all"), s.Env...)
	cmd.Stderr = s.log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	ready, done := make(chan string, 1), make(chan error, 1) // a process that is given up goes on having its own
	s.cmd, s.done = cmd, done
	go func() {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if m := urlPattern.FindStringSubmatch(lines.Text()); m != nil {
				ready <- m[1]
			}
		}
		close(ready)
		done <- cmd.Wait()
	}()
	select {
	case url, ok := <-ready:
		if !ok {
			err := <-done
			s.cmd = nil
			return fmt.Errorf("the server ended before it was ready: %w\n%s", err, s.Log())
		}
		s.URL = url
		return nil
	case <-time.After(time.Minute):
		cmd.Process.Kill()
		<-done
		s.cmd = nil
		return errors.New("the server was not ready within a minute")
	}
}

// Kill ends the process as the kernel would when memory runs out: at once, with nothing flushed.
func (s *Server) Kill() {
	s.cmd.Process.Kill()
	<-s.done
	s.cmd = nil
}

// Running tells whether the process has not ended by itself.
func (s *Server) Running() bool {
	select {
	case err := <-s.done:
		s.done <- err
		return false
	default:
		return true
	}
}

// Died waits until the process has ended by itself, or ctx has.
func (s *Server) Died(ctx context.Context) bool {
	select {
	case <-s.done:
		s.cmd = nil
		return true
	case <-ctx.Done():
		return false
	}
}

// Terminate asks the process to end, and does not wait until it does.
func (s *Server) Terminate() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
}

// Stop asks the process to end and returns its exit status.
func (s *Server) Stop() int {
	s.t.Helper()
	s.Terminate()
	return s.Ended()
}

// Ended waits for the end of a process that was asked to end, and returns its exit status.
func (s *Server) Ended() int {
	s.t.Helper()
	select {
	case <-s.done:
	case <-time.After(time.Minute):
		s.t.Fatal("the server did not stop within a minute")
	}
	status := s.cmd.ProcessState.ExitCode()
	s.cmd = nil
	return status
}

// Log is everything that the processes wrote to standard error.
func (s *Server) Log() string { return s.log.String() }

// syncBuffer is a buffer that a process may write to while a test reads.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

var _ io.Writer = (*syncBuffer)(nil)

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
