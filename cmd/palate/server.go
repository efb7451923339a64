package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/palate-dev/palate/internal/api"
	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/internal/control"
	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/gateway"
	"github.com/palate-dev/palate/internal/job"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/quota"
	"github.com/palate-dev/palate/internal/serve"
	"github.com/palate-dev/palate/internal/wire"
	"github.com/palate-dev/palate/internal/work"
)

// A server is one running palate: every part, opened bottom to top and closed top to bottom.
type server struct {
	URL string

	config  config
	closers []func() error // in the order of opening
	http    *http.Server
	group   *errgroup.Group
	stop    context.CancelFunc // ends the job queue and the scheduler
	ready   atomic.Bool
}

// start opens everything under c.Data and serves on c.Listen. When it fails, nothing stays open.
func start(ctx context.Context, c config) (s *server, err error) {
	s = &server{config: c}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
			s = nil
		}
	}()
	if c.Data, err = filepath.Abs(c.Data); err != nil {
		return s, err
	}
	if err := s.lock(c.Data); err != nil {
		return s, err
	}
	// Listening before opening the data says at once that a port is taken; until ready, requests wait in the accept queue.
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return s, fmt.Errorf("cannot listen on %s: %w", c.Listen, errors.Unwrap(err))
	}
	s.closers = append(s.closers, func() error { listener.Close(); return nil })
	s.URL = "http://" + reachable(listener.Addr().(*net.TCPAddr))

	limits := quota.Local()
	if c.Limits == "aws" {
		limits = quota.AWS()
	}
	db, err := meta.Open(filepath.Join(c.Data, "meta.db"))
	if err != nil {
		return s, fmt.Errorf("open the metadata database: %w", err)
	}
	s.closers = append(s.closers, db.Close)

	engine, err := dataset.Open(filepath.Join(c.Data, "store"), db.SQL(), c.Log)
	if err != nil {
		return s, fmt.Errorf("open the datasets: %w", err)
	}
	s.closers = append(s.closers, engine.Close)

	buckets, err := gateway.Start(ctx, filepath.Join(c.Data, "buckets"), gateway.Options{Credentials: c.Credentials, Region: c.Region, Log: c.Log})
	if err != nil {
		return s, fmt.Errorf("open the embedded S3: %w", err)
	}
	s.closers = append(s.closers, buckets.Close)

	models := filepath.Join(c.Data, "store", "models")
	queue := job.New(db, c.Log, job.Options{Hold: c.Hold})
	ctl := control.New(control.Options{Meta: db, Engine: engine, Wake: queue.Wake, Limits: limits})
	srv := serve.New(serve.Options{Meta: db, Engine: engine, ModelDir: models, Log: c.Log})
	s.closers = append(s.closers, srv.Close)
	if err := work.SweepModels(ctx, db, models); err != nil {
		return s, err
	}
	work.Register(queue, work.Options{
		Meta: db, Engine: engine, Data: c.Data, Models: models, Limits: limits, Log: c.Log,
		Bucket: s.bucket(), FollowLatest: ctl.FollowLatest, Retire: srv.Retire,
	})

	handler := wire.New(wire.Options{
		Operations:  slices.Concat(api.PersonalizeOperations(ctl), api.PersonalizeRuntimeOperations(srv), api.PersonalizeEventsOperations(srv)),
		S3:          buckets.Handler(),
		Account:     c.Account,
		Region:      c.Region,
		Credentials: c.Credentials,
		Log:         c.Log,
		Ready:       s.ready.Load,
	})
	s.http = &http.Server{Handler: handler, ReadHeaderTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute}

	// The parts outlive ctx: at shutdown requests drain first, then the queue stops.
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.group, running = errgroup.WithContext(running)
	s.group.Go(func() error { return queue.Run(running) })
	if c.AutoTraining {
		s.group.Go(func() error { return schedule(running, ctl, c) })
	}
	s.group.Go(func() error {
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	s.ready.Store(true)
	return s, nil
}

// schedule starts the automatic trainings that are due, and moves campaigns that follow the latest version.
func schedule(ctx context.Context, ctl *control.Service, c config) error {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			if _, err := ctl.TrainDue(ctx, now); err != nil && ctx.Err() == nil {
				c.Log.Error("start automatic trainings", "error", err)
			}
		}
	}
}

// bucket opens customers' buckets for jobs, always through the S3 API.
func (s *server) bucket() func(ctx context.Context, name string) (blob.Store, error) {
	c := blob.S3Config{Endpoint: s.config.S3Endpoint, Region: s.config.Region, AccessKey: s.config.S3AccessKey, SecretKey: s.config.S3SecretKey, PathStyle: true}
	if c.Endpoint == "" {
		c.Endpoint, c.AccessKey, c.SecretKey = s.URL, "palate", "palate"
		for key, secret := range s.config.Credentials {
			c.AccessKey, c.SecretKey = key, secret
			break
		}
	}
	return func(ctx context.Context, name string) (blob.Store, error) { return blob.OpenS3(ctx, c, name) }
}

// wait serves until ctx ends or a part fails, then drains and closes everything.
func (s *server) wait(ctx context.Context) error {
	failed := make(chan error, 1)
	go func() { failed <- s.group.Wait() }()
	select {
	case <-ctx.Done():
		s.config.Log.Info("shutting down: finishing requests under way")
	case err := <-failed:
		failed <- err
	}
	s.ready.Store(false)
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.Drain)
	defer cancel()
	err := s.http.Shutdown(drain)
	if errors.Is(err, context.DeadlineExceeded) {
		s.config.Log.Warn("some requests did not finish in time", "drain", s.config.Drain)
		err = s.http.Close()
	}
	s.stop()
	return errors.Join(err, <-failed, s.close())
}

// close releases what start opened, last opened first.
func (s *server) close() error {
	var errs []error
	for _, c := range slices.Backward(s.closers) {
		errs = append(errs, c())
	}
	s.closers = nil
	return errors.Join(errs...)
}

// lock makes the data directory and takes it for this process alone. The kernel drops the lock with the process, however it ends.
func (s *server) lock(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot use the data directory %s: %w", dir, errors.Unwrap(err))
	}
	f, err := os.OpenFile(filepath.Join(dir, "palate.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("cannot write to the data directory %s: %w", dir, errors.Unwrap(err))
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return fmt.Errorf("another palate is using the data directory %s", dir)
	}
	s.closers = append(s.closers, f.Close)
	return nil
}

// reachable is the address that a client on this machine uses: a wildcard address is reached through loopback.
func reachable(a *net.TCPAddr) string {
	if a.IP.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", fmt.Sprint(a.Port))
	}
	return a.String()
}
