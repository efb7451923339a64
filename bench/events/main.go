// Command events measures the event plane of the real binary over HTTP: PutEvents with ten events a call and an fsync before each answer, for growing numbers
// of clients, and, with -beside, PutEvents and GetRecommendations while an import and an erasure with retraining run.
//
//	go run ./bench/events -beside 5000000
//
// Beside the figures it prints, from the same run, how often the disk syncs in a second and what a plain net/http server answers to the very same requests.
// The load generator runs on the same cores as the server.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/palate-dev/palate/bench/internal/target"
)

func main() {
	clients := flag.String("clients", "1,64,128,640", "numbers of clients, one after the other")
	seconds := flag.Float64("seconds", 8, "how long each step runs after its warm-up of a second")
	beside := flag.Int("beside", 0, "also measure beside a FULL import and an erasure of this many rows")
	dir := flag.String("dir", "", "where to work (default: a temporary directory)")
	binary := flag.String("palate", "", "the palate to run (default: built here)")
	plain := flag.Bool("plain", false, "be the plain server that figures are compared with")
	flag.Parse()
	runtime.GOMAXPROCS(1) // the generator leaves the cores to the server; one thread drives all clients
	var err error
	if *plain {
		runtime.GOMAXPROCS(runtime.NumCPU())
		err = target.Plain(nil)
	} else {
		err = run(*dir, *binary, *clients, time.Duration(*seconds*float64(time.Second)), *beside)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func run(dir, binary, clients string, during time.Duration, beside int) error {
	tmp, err := os.MkdirTemp(dir, "bench-events-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if binary == "" {
		if binary, err = target.Build(tmp); err != nil {
			return err
		}
	}
	t, err := target.Start(binary, filepath.Join(tmp, "data"))
	if err != nil {
		return err
	}
	defer t.Stop()
	s, err := newScene(t)
	if err != nil {
		return err
	}
	puts, err := s.events()
	if err != nil {
		return err
	}
	syncs, err := syncRate(tmp, time.Second)
	if err != nil {
		return err
	}
	fmt.Printf("%d cores, %s; the disk syncs %.0f times a second; a request has %d bytes\n\n", runtime.NumCPU(), runtime.Version(), syncs, len(puts[0]))
	fmt.Printf("%-32s %8s %9s %8s %8s %8s %11s %11s %8s\n", "step", "clients", "calls/s", "p50 ms", "p99 ms", "p99.9 ms", "server us", "client us", "refused")
	if err := plainly(puts, during); err != nil {
		return err
	}
	for _, field := range strings.Split(clients, ",") {
		n, err := strconv.Atoi(field)
		if err != nil {
			return fmt.Errorf("-clients: %w", err)
		}
		if _, err := measure("PutEvents", t, puts, n, lasting(during)); err != nil {
			return err
		}
	}
	if beside > 0 {
		return s.beside(beside, puts, during)
	}
	return nil
}

// plainly measures a server that does nothing.
func plainly(requests [][]byte, during time.Duration) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	t, err := target.Spawn(exec.Command(self, "-plain"))
	if err != nil {
		return err
	}
	defer t.Stop()
	_, err = measure("plain net/http answer", t, requests, 64, lasting(during))
	return err
}

// lasting returns a channel that closes after the warm-up and d.
func lasting(d time.Duration) <-chan struct{} {
	c := make(chan struct{})
	time.AfterFunc(warmUp+d, func() { close(c) })
	return c
}

const warmUp = time.Second

// measure drives one step, prints its line and returns its rate.
func measure(name string, t *target.Server, requests [][]byte, clients int, stop <-chan struct{}) (load, error) {
	serverBefore, clientBefore := t.CPU(), ownCPU()
	l, err := drive(t.Addr(), requests, clients, warmUp, stop)
	if err != nil {
		return l, fmt.Errorf("%s: %w", name, err)
	}
	share := l.seconds / (l.seconds + warmUp.Seconds()) // of the CPU time that fell into the measured part
	each := func(d time.Duration) float64 { return share * float64(d.Microseconds()) / float64(max(l.calls, 1)) }
	ms := func(q float64) float64 { return float64(l.quantile(q).Microseconds()) / 1000 }
	fmt.Printf("%-32s %8d %9.0f %8.1f %8.1f %8.1f %11.0f %11.0f %8d\n", name, clients, l.rate(), ms(0.5), ms(0.99), ms(0.999), each(t.CPU()-serverBefore), each(ownCPU()-clientBefore), l.refused)
	return l, nil
}

// ownCPU is the user and system time of this process.
func ownCPU() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// beside measures both kinds of requests alone, then while an import runs, then while an erasure with retraining runs.
func (s *scene) beside(rows int, puts [][]byte, during time.Duration) error {
	const key = "in/rows.csv"
	if err := s.upload(key, rows); err != nil {
		return err
	}
	took := map[string]time.Duration{}
	jobs := []struct {
		name, noun string
		begin      func() (string, error)
	}{
		{"FULL import", "datasetImportJob", func() (string, error) { return s.beginImport(key) }},
		{"erasure and retraining", "dataDeletionJob", func() (string, error) { return s.beginErasure(rows / 20) }},
	}
	arn, err := s.beginImport(key)
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := s.t.Wait("datasetImportJob", arn); err != nil {
		return err
	}
	took[jobs[0].name] = time.Since(begin)
	if err := s.deploy(); err != nil {
		return err
	}
	begin = time.Now()
	if arn, err = jobs[1].begin(); err != nil {
		return err
	}
	if err := s.t.Wait("dataDeletionJob", arn); err != nil {
		return err
	}
	took[jobs[1].name] = time.Since(begin)
	gets, err := s.asks()
	if err != nil {
		return err
	}
	for _, kind := range []struct {
		name     string
		requests [][]byte
	}{{"PutEvents", puts}, {"GetRecommendations", gets}} {
		alone, err := measure(kind.name, s.t, kind.requests, 64, lasting(during))
		if err != nil {
			return err
		}
		for _, j := range jobs {
			arn, err := j.begin()
			if err != nil {
				return err
			}
			done, ended := make(chan struct{}), make(chan error, 1)
			begin := time.Now()
			go func() {
				ended <- s.t.Wait(j.noun, arn)
				close(done)
			}()
			l, err := measure(kind.name+" beside "+j.name, s.t, kind.requests, 64, done)
			if err != nil {
				return err
			}
			if err := <-ended; err != nil {
				return err
			}
			fmt.Printf("%-32s %.2f of the rate alone; the job took %.1f s, alone %.1f s\n", "", l.rate()/alone.rate(), time.Since(begin).Seconds(), took[j.name].Seconds())
		}
	}
	return nil
}
