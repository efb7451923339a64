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
	"strings"
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
	"github.com/palate-dev/palate/internal/ledger"
	"github.com/palate-dev/palate/internal/meta"
	"github.com/palate-dev/palate/internal/metrics"
	"github.com/palate-dev/palate/internal/notify"
	"github.com/palate-dev/palate/internal/pace"
	"github.com/palate-dev/palate/internal/quota"
	"github.com/palate-dev/palate/internal/serve"
	"github.com/palate-dev/palate/internal/shown"
	"github.com/palate-dev/palate/internal/wire"
	"github.com/palate-dev/palate/internal/work"
)

// A server is one running palate: every part, opened bottom to top and closed top to bottom.
type server struct {
	URL string

	config  config
	closers []func() error // in the order of opening
	http    *wire.Server
	group   *errgroup.Group
	stop    context.CancelFunc // ends the job queue and the scheduler
	opened  atomic.Bool        // what has to be done before requests are served well is done
	leaving atomic.Bool        // the shutdown has begun
	refusal atomic.Value       // why requests are refused: a string, "" or absent if they are not
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
	limits.TrainingMemory = int64(c.Memory)
	limits.FilterInteractions = c.Filtered
	db, err := meta.Open(filepath.Join(c.Data, "meta.db"))
	if err != nil {
		return s, fmt.Errorf("open the metadata database: %w", err)
	}
	s.closers = append(s.closers, db.Close)
	notices := 0
	if c.Webhook != "" {
		notices = notify.Kept
	}
	if err := db.KeepNotices(ctx, notices); err != nil {
		return s, err
	}

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
	ctl := control.New(control.Options{Meta: db, Engine: engine, Wake: queue.Wake, Limits: limits, FirstTraining: c.FirstTraining})
	answers, err := shown.Open(filepath.Join(c.Data, "answers"), shown.Options{Bytes: int64(c.AnswerBytes), Age: c.AnswerAge, Log: c.Log})
	if err != nil {
		return s, err
	}
	s.closers = append(s.closers, answers.Close)
	srv := serve.New(serve.Options{Meta: db, Engine: engine, ModelDir: models, Limits: limits, Log: c.Log, Strict: c.Strict, Shown: answers})
	s.closers = append(s.closers, srv.Close)
	if err := work.SweepModels(ctx, db, models); err != nil {
		return s, err
	}
	deletions, err := openLedger(c)
	if err != nil {
		return s, err
	}
	var again []string
	if deletions != nil {
		if again, err = work.Reapply(ctx, db, engine, deletions); err != nil {
			return s, err
		}
	}
	work.Register(queue, work.Options{
		Meta: db, Engine: engine, Data: c.Data, Models: models, Ledger: deletions, Limits: limits, Log: c.Log, Version: version(), Strict: c.Strict,
		Bucket: s.bucket(), FollowLatest: ctl.FollowLatest, Open: srv.Open, Succeed: srv.Succeed, Retire: srv.Retire, ForgetAnswers: answers.Forget, AnswerTarget: srv.AnswerTarget,
	})

	numbers, err := metrics.Handler(state{engine, db})
	if err != nil {
		return s, err
	}
	pages := map[string]http.Handler{"/metrics": state{engine, db}.pages(numbers)}
	if c.MetricsListen != "" {
		if err := s.serveMetrics(c.MetricsListen, pages); err != nil {
			return s, err
		}
	}
	if c.MetricsListen != "" || c.Credentials != nil { // metrics name resources: where callers must sign, they are not for everybody
		pages = nil
	}
	handler := wire.New(wire.Options{
		Operations:  slices.Concat(api.PersonalizeOperations(ctl), api.PersonalizeRuntimeOperations(srv), api.PersonalizeEventsOperations(srv), srv.Operations()),
		S3:          buckets.Handler(),
		Account:     c.Account,
		Region:      c.Region,
		Credentials: c.Credentials,
		Log:         c.Log,
		Ready:       s.ready,
		Bounds:      bounds(),
		Refuse:      s.refused,
		Extra:       pages,
		Observe:     metrics.Request,
		Refused:     metrics.Refused,
	})
	s.http = &wire.Server{Server: http.Server{Handler: handler, ReadHeaderTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute}}

	// The parts outlive ctx: at shutdown requests drain first, then the queue stops.
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.group, running = errgroup.WithContext(running)
	s.group.Go(func() error { return queue.Run(running) })
	if c.Webhook != "" {
		s.group.Go(func() error {
			return notify.New(notify.Options{Meta: db, URL: c.Webhook, Secret: c.WebhookSecret, Log: c.Log}).Run(running)
		})
	}
	if c.AutoTraining {
		s.group.Go(func() error { return schedule(running, ctl, c) })
	}
	s.group.Go(func() error { return refresh(running, ctl, c) })
	if c.RetrainPeriod > 0 {
		s.group.Go(func() error { return retrain(running, ctl, c) })
	}
	if c.UpdatePeriod > 0 {
		s.group.Go(func() error { return updateModels(running, srv, c) })
	}
	s.group.Go(func() error {
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	if deletions != nil {
		s.group.Go(func() error { return expireLedger(running, deletions, c) })
	}
	if len(again) == 0 {
		return s, s.preload(running, srv)
	}
	c.Log.Warn("the data directory is older than some data deletions: requests are refused until they are applied again", "deletions", len(again))
	s.refusal.Store("The data of this server was restored from a backup, and data deletions that are younger are being applied again. Try again later.")
	s.group.Go(func() error { return s.forgetFirst(running, db, again) })
	return s, nil
}

// ready is what /readyz says.
func (s *server) ready() bool { return s.opened.Load() && !s.leaving.Load() }

// preload opens the models that are deployed. The server answers meanwhile, and is ready when they are open: the first requests for a large model would wait.
func (s *server) preload(ctx context.Context, srv *serve.Service) error {
	deployed, err := srv.Deployed(ctx)
	if err != nil {
		return err
	}
	if len(deployed) == 0 {
		s.opened.Store(true)
		return nil
	}
	s.group.Go(func() error {
		srv.Preload(ctx, deployed)
		s.opened.Store(true)
		return nil
	})
	return nil
}

// serveMetrics answers the pages of metrics, /healthz and /readyz on a port of their own.
func (s *server) serveMetrics(listen string, metrics map[string]http.Handler) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w", listen, errors.Unwrap(err))
	}
	pages := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: wire.New(wire.Options{Ready: s.ready, Extra: metrics})}
	s.closers = append(s.closers, pages.Close)
	go pages.Serve(l) // ends with Close
	s.config.Log.Info("metrics", "url", "http://"+reachable(l.Addr().(*net.TCPAddr))+"/metrics")
	return nil
}

// openLedger opens the ledger if there is to be one. It must not be part of what a backup of the data directory brings back.
func openLedger(c config) (*ledger.Ledger, error) {
	if c.Ledger == "" {
		return nil, nil
	}
	dir, err := filepath.Abs(c.Ledger)
	if err != nil {
		return nil, err
	}
	if rel, err := filepath.Rel(c.Data, dir); err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return nil, errors.New("--ledger must not be inside of the data directory: it would be restored together with it")
	}
	return ledger.Open(dir)
}

// expireLedger destroys lists when their time is over.
func expireLedger(ctx context.Context, l *ledger.Ledger, c config) error {
	return c.regularly(ctx, time.Hour, "expire the ledger", func(time.Time) error { return l.Expire() })
}

// regularly calls do once each period until the context ends. What fails is logged and tried again the next time.
func (c config) regularly(ctx context.Context, period time.Duration, what string, do func(now time.Time) error) error {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			if err := do(now); err != nil && ctx.Err() == nil {
				c.Log.Error(what, "error", err)
			}
		}
	}
}

// refused says why no operation may be answered.
func (s *server) refused() string {
	why, _ := s.refusal.Load().(string)
	return why
}

// forgetFirst begins to serve once the deletions that a restored backup does not know have been applied again.
func (s *server) forgetFirst(ctx context.Context, db *meta.DB, jobs []string) error {
	err := work.Reapplied(ctx, db, jobs)
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		s.config.Log.Error("a data deletion could not be applied again: requests stay refused; restart to try once more", "error", err)
		return nil
	}
	s.config.Log.Info("all younger data deletions are applied again: serving")
	s.refusal.Store("")
	s.opened.Store(true)
	return nil
}

// bounds is how many calls of the runtime and with records may be under way in any case: 50 ms of work, if a processor takes only 2,500 of them a second.
func bounds() map[string]int {
	each := 128 * max(pace.Cores(), 2)
	bounds := map[string]int{}
	for _, name := range []string{"PutEvents", "PutActionInteractions", "PutItems", "PutUsers", "PutActions", "GetRecommendations", "GetPersonalizedRanking", "GetActionRecommendations"} {
		bounds[name] = each
	}
	bounds["Explain"] = pace.Cores() // goes through all items of a model
	return bounds
}

// duePeriod is how often the server looks for what is due.
const duePeriod = 5 * time.Second

// schedule starts the automatic trainings that are due, and moves campaigns that follow the latest version.
func schedule(ctx context.Context, ctl *control.Service, c config) error {
	return c.regularly(ctx, duePeriod, "start automatic trainings", func(now time.Time) error {
		_, err := ctl.TrainDue(ctx, now)
		return err
	})
}

// refresh starts the evaluations of trends that are due.
func refresh(ctx context.Context, ctl *control.Service, c config) error {
	period := duePeriod
	if c.TrendRefresh > 0 {
		period = min(period, c.TrendRefresh)
	}
	return c.regularly(ctx, period, "evaluate trends again", func(now time.Time) error {
		_, err := ctl.RefreshDue(ctx, now, c.TrendRefresh)
		return err
	})
}

// retrain starts the regular trainings of recommenders that are due.
func retrain(ctx context.Context, ctl *control.Service, c config) error {
	return c.regularly(ctx, min(duePeriod, c.RetrainPeriod), "train recommenders again", func(now time.Time) error {
		_, err := ctl.RetrainDue(ctx, now, c.RetrainPeriod)
		return err
	})
}

// updateModels brings the new items of datasets to the models that admit them without training.
func updateModels(ctx context.Context, srv *serve.Service, c config) error {
	return c.regularly(ctx, min(duePeriod, c.UpdatePeriod), "update models", func(now time.Time) error {
		_, err := srv.UpdateModels(ctx, now, c.UpdatePeriod)
		return err
	})
}

func observeS3(operation string, err error) {
	outcome := "ok"
	if err != nil {
		outcome = "error"
	}
	metrics.S3Requests.WithLabelValues(operation, outcome).Inc()
}

// bucket opens customers' buckets for jobs, always through the S3 API.
func (s *server) bucket() func(ctx context.Context, name string) (blob.Store, error) {
	c := blob.S3Config{Endpoint: s.config.S3Endpoint, Region: s.config.Region, AccessKey: s.config.S3AccessKey, SecretKey: s.config.S3SecretKey, PathStyle: true, Observe: observeS3}
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
		s.leaving.Store(true)
		s.leave(failed)
	case err := <-failed:
		s.leaving.Store(true)
		failed <- err
	}
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

// leave goes on serving while whoever looks at /readyz takes notice, unless a part fails.
func (s *server) leave(failed chan error) {
	if s.config.DrainDelay > 0 {
		s.config.Log.Info("shutting down: not ready for new clients", "delay", s.config.DrainDelay)
		select {
		case <-time.After(s.config.DrainDelay):
		case err := <-failed:
			failed <- err
		}
	}
	s.config.Log.Info("shutting down: finishing requests under way")
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
	if err := blob.MkdirAll(dir); err != nil { // durably: what is acknowledged stands below it
		return fmt.Errorf("cannot use the data directory %s: %w", dir, err)
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
