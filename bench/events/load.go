package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// load is what a closed loop of clients measured: each sends its next call when the last is answered.
type load struct {
	calls     int
	refused   int // answered with ThrottlingException
	seconds   float64
	latencies []time.Duration // of the calls that were accepted, sorted
}

func (l load) rate() float64 { return float64(l.calls) / l.seconds }

// quantile returns the latency that a share q of the calls did not exceed.
func (l load) quantile(q float64) time.Duration {
	if len(l.latencies) == 0 {
		return 0
	}
	return l.latencies[min(int(q*float64(len(l.latencies))), len(l.latencies)-1)]
}

// backoff is how long a client waits after it was refused. SDKs wait half a second on average the first time, and longer later.
const backoff = 250 * time.Millisecond

// drive lets n clients send the prepared requests to addr until stop is closed, and counts what was answered after the first warm-up.
//
// The client is as cheap as one can be, because it shares its cores with the server: requests are bytes that were signed before, and of an answer only the
// status and the length are read.
func drive(addr string, requests [][]byte, n int, warm time.Duration, stop <-chan struct{}) (load, error) {
	var (
		clients sync.WaitGroup
		next    atomic.Int64
		mu      sync.Mutex
		sum     load
		failed  error
	)
	begin := time.Now().Add(warm)
	for range n {
		clients.Go(func() {
			var l load
			err := client(addr, func() []byte { return requests[int(next.Add(1))%len(requests)] }, begin, stop, &l)
			mu.Lock()
			defer mu.Unlock()
			failed = errors.Join(failed, err)
			sum.calls += l.calls
			sum.refused += l.refused
			sum.latencies = append(sum.latencies, l.latencies...)
		})
	}
	clients.Wait()
	sum.seconds = time.Since(begin).Seconds()
	slices.Sort(sum.latencies)
	return sum, failed
}

// client is one connection.
func client(addr string, next func() []byte, begin time.Time, stop <-chan struct{}, l *load) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 16<<10)
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		request := next()
		start := time.Now()
		if _, err := conn.Write(request); err != nil {
			return err
		}
		status, body, err := answer(in)
		if err != nil {
			return fmt.Errorf("read answer: %w", err)
		}
		end := time.Now()
		switch {
		case status == 200:
			if start.After(begin) {
				l.calls++
				l.latencies = append(l.latencies, end.Sub(start))
			}
		case bytes.Contains(body, []byte("ThrottlingException")):
			if start.After(begin) {
				l.refused++
			}
			time.Sleep(backoff)
		default:
			return fmt.Errorf("answered %d: %s", status, body)
		}
	}
}

// answer reads one response. The body is returned for errors only.
func answer(in *bufio.Reader) (status int, body []byte, err error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return 0, nil, err
	}
	if len(line) < 12 {
		return 0, nil, fmt.Errorf("bad status line %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, nil, err
	}
	length := 0
	for {
		if line, err = in.ReadSlice('\n'); err != nil {
			return 0, nil, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		if name, value, _ := bytes.Cut(line, []byte(": ")); bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, nil, err
			}
		}
	}
	if status != 200 {
		body = make([]byte, length)
		_, err = io.ReadFull(in, body)
		return status, body, err
	}
	_, err = in.Discard(length)
	return status, nil, err
}
