package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/palate-dev/palate/bench/internal/target"
)

//go:embed wrk.lua
var script []byte

// errNoGenerator is what a machine without wrk is told.
var errNoGenerator = errors.New("wrk is not installed (Debian, Ubuntu: apt-get install wrk; macOS: brew install wrk): nothing was measured")

// load is what clients do: so many connections send the requests one after the other, each as soon as it has its answer.
type load struct {
	requests    [][]byte
	connections int
	rate        float64       // requests a second to hold back to, by pauses; 0: none
	backoff     time.Duration // pause of a connection that was refused; 0: none
}

// figures are what was measured of a load.
type figures struct {
	Micros   float64 // how long it lasted
	Calls    float64 // answers
	Statuses float64 // of these, answers that say an error
	Broken   float64 // connections that failed, answers that took longer than ten seconds
	P50, P99 float64 // latency in microseconds, of all answers
	P999     float64

	cpu time.Duration // of the server
}

// rate is how many requests were answered without error in a second.
func (f figures) rate() float64 { return (f.Calls - f.Statuses) / f.Micros * 1e6 }

// cost is the processor time of the server for an answer, in microseconds.
func (f figures) cost() float64 { return float64(f.cpu.Microseconds()) / max(f.Calls, 1) }

// clean says what went wrong in a load that must not meet errors.
func (f figures) clean() error {
	if f.Calls == 0 || f.Statuses > 0 || f.Broken > 0 {
		return fmt.Errorf("%.0f answers, %.0f of them errors, %.0f connections failed", f.Calls, f.Statuses, f.Broken)
	}
	return nil
}

// generator is wrk. It runs on one thread, because it shares its cores with the server, and on two where connections are many.
type generator struct {
	path, dir string
	files     atomic.Int64
}

func newGenerator(dir string) (*generator, error) {
	path, err := exec.LookPath("wrk")
	if err != nil {
		return nil, errNoGenerator
	}
	return &generator{path: path, dir: dir}, os.WriteFile(filepath.Join(dir, "wrk.lua"), script, 0o600)
}

// warmUp is how long each load runs before it is measured.
const warmUp = 2 * time.Second

// run measures a load for a time, after its warm-up.
func (g *generator) run(s *target.Server, l load, during time.Duration) (f figures, err error) {
	for _, d := range []time.Duration{warmUp, during} {
		before := s.CPU()
		r, err := g.start(s, l, d)
		if err != nil {
			return f, err
		}
		if f, err = r.wait(); err != nil {
			return f, err
		}
		f.cpu = s.CPU() - before
	}
	return f, nil
}

// running is a load under way.
type running struct {
	cmd *exec.Cmd
	out bytes.Buffer
}

// start begins a load that lasts for a time, or until it is stopped.
func (g *generator) start(s *target.Server, l load, during time.Duration) (*running, error) {
	file := filepath.Join(g.dir, fmt.Sprintf("requests-%d", g.files.Add(1)))
	var b bytes.Buffer
	for _, request := range l.requests {
		fmt.Fprintf(&b, "%d\n%s", len(request), request)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		return nil, err
	}
	pause := 0.0
	if l.rate > 0 {
		pause = 1000 * float64(l.connections) / l.rate
	}
	threads := "-t1"
	if l.connections > 64 { // one alone would take turns with too many
		threads = "-t2"
	}
	r := &running{cmd: exec.Command(g.path, threads, "-c"+strconv.Itoa(l.connections), fmt.Sprintf("-d%ds", int(max(during, time.Second).Seconds())), "--timeout", "10s",
		"-s", filepath.Join(g.dir, "wrk.lua"), s.URL, "--", file, fmt.Sprint(pause), fmt.Sprint(l.backoff.Milliseconds()))}
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.out
	return r, r.cmd.Start()
}

// stop ends a load before its time.
func (r *running) stop() (figures, error) {
	if err := r.cmd.Process.Signal(syscall.SIGINT); err != nil {
		return figures{}, err
	}
	return r.wait()
}

func (r *running) wait() (f figures, err error) {
	if err := r.cmd.Wait(); err != nil {
		return f, fmt.Errorf("wrk: %w\n%s", err, r.out.Bytes())
	}
	_, result, ok := bytes.Cut(r.out.Bytes(), []byte("\nresult "))
	if !ok {
		return f, fmt.Errorf("wrk said nothing of its result: %s", r.out.Bytes())
	}
	return f, json.Unmarshal(result, &f)
}
