// Package gateway is the embedded S3: versitygw with its posix backend, in this process, over one directory.
//
// A bucket is a directory and an object is a file, so operators can look at them; palate itself reaches them through the S3 API only.
//
//   - No port: versitygw listens on a Unix socket that only this process knows, and Handler brings the requests of palate's own port to it.
//   - With no credentials configured every request is taken for the owner's, however it is signed: Handler takes the client's signature off,
//     unwraps a signed body, and signs anew with a secret that is made at Start and never leaves the process. Checksums that the client sends are
//     still verified. With credentials, requests pass untouched and versitygw verifies them; the region they are signed for must then be ours.
//   - An answered write is durable. versitygw does not fsync; the backend wrapper in durable.go does, before the object appears and before the answer.
//   - ETags, metadata and tags are kept in extended attributes where the file system has them, else in files beside (DIR.meta). The choice is made
//     once for a directory and remembered.
//
// versitygw's posix backend works relative to the process's working directory, so Start changes it to DIR and Close changes it back, and there can be
// only one Gateway in a process at a time. Whoever runs beside it must use absolute paths.
package gateway

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3api"
	"github.com/versity/versitygw/s3api/middlewares"
)

// Options configures a Gateway.
type Options struct {
	Credentials map[string]string // secret by access key; nil accepts any credentials and none
	Region      string            // what GetBucketLocation says and, with Credentials, what requests must be signed for; "" is us-east-1
	Log         *slog.Logger      // nil is silent
}

// ErrRunning is returned by Start while another Gateway of this process is open.
var ErrRunning = errors.New("another embedded S3 is open in this process, which can hold only one at a time")

// working is held by the Gateway that has changed the working directory. It is process state because the working directory is.
var working sync.Mutex

const (
	maxConnections = 4096
	maxParts       = 10_000
	rootUser       = "palate" // owns every bucket; stable, because bucket owners are stored
)

// Gateway is a running embedded S3.
type Gateway struct {
	handler http.Handler
	close   func() error
}

// Start serves the buckets under dir, making dir if it is missing.
func Start(ctx context.Context, dir string, o Options) (*Gateway, error) {
	if !working.TryLock() {
		return nil, ErrRunning
	}
	g, err := start(ctx, dir, o)
	if err != nil {
		working.Unlock()
		return nil, fmt.Errorf("start the embedded S3: %w", err)
	}
	return g, nil
}

func start(ctx context.Context, dir string, o Options) (_ *Gateway, err error) {
	var undo closers
	defer func() {
		if err != nil {
			err = errors.Join(err, undo.run())
		}
	}()
	o.Region = cmp.Or(o.Region, "us-east-1")
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	from, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	undo.add(func() error { return os.Chdir(from) })
	files, attributes, err := openFiles(dir)
	if err != nil {
		return nil, err
	}
	undo.add(func() error { files.Shutdown(); return nil })
	users := newAccounts(o.Credentials)
	upstream, stop, err := serve(files, users, o.Region)
	if err != nil {
		return nil, err
	}
	undo.add(stop)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	g := &Gateway{handler: newHandler(upstream, users, policies{attributes, files}, o)}
	g.close = sync.OnceValue(func() error {
		defer working.Unlock()
		return undo.run()
	})
	return g, nil
}

// openFiles makes the directory the working directory and opens it for versitygw.
func openFiles(dir string) (*durable, meta.MetadataStorer, error) {
	attributes, err := openMetadata(dir, dir+".meta")
	if err != nil {
		return nil, nil, err
	}
	if err := sweep(dir); err != nil {
		return nil, nil, err
	}
	var options posix.PosixOpts
	options.SetNewDirPerm(0o700)
	options.SetNewFilePerm(0o600)
	options.CopyObjectThreshold = 5 << 30 // S3's own limit
	options.ForceNoObjLockFile = true     // one process owns the directory; its own locks are enough
	files, err := posix.New(dir, attributes, options)
	if err != nil {
		return nil, nil, err
	}
	return &durable{Posix: files, root: dir}, attributes, nil
}

// serve runs versitygw on a socket and returns the way to it. stop waits for the requests under way.
func serve(files *durable, users *accounts, region string) (upstream *http.Transport, stop func() error, err error) {
	address, remove, err := socketAddress()
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, remove())
		}
	}()
	listening := make(chan struct{})
	server, err := s3api.New(files, middlewares.RootUserConfig{Access: users.root.Access, Secret: users.root.Secret}, region, users, nil, nil, nil, nil,
		s3api.WithQuiet(), s3api.WithKeepAlive(), s3api.WithDisableACL(),
		s3api.WithConcurrencyLimiter(maxConnections, maxConnections), s3api.WithMpMaxParts(maxParts),
		s3api.WithSocketPerm(0o600), s3api.WithOnListen(func() { close(listening) }),
	)
	if err != nil {
		return nil, nil, err
	}
	served := make(chan error, 1)
	go func() { served <- server.ServeMultiPort([]string{address}) }()
	select {
	case err := <-served:
		return nil, nil, err
	case <-listening:
	}
	upstream = newTransport(address)
	if err := answers(upstream); err != nil {
		return nil, nil, err
	}
	return upstream, func() error {
		upstream.CloseIdleConnections()
		err := server.ShutDown()
		<-served // says only that its listener is closed
		return errors.Join(err, remove())
	}, nil
}

// Handler serves S3 requests. It must not be called after Close.
func (g *Gateway) Handler() http.Handler { return g.handler }

// Close finishes the requests under way, for at most ten seconds, and releases the directory.
func (g *Gateway) Close() error { return g.close() }

// socketAddress names the socket that versitygw listens on. On Linux it is an abstract one with an unguessable name, which vanishes with the process
// however that ends; elsewhere a file in a fresh directory that no other user can enter.
func socketAddress() (address string, remove func() error, err error) {
	if runtime.GOOS == "linux" {
		return "@palate-s3-" + rand.Text(), func() error { return nil }, nil
	}
	dir, err := os.MkdirTemp("", "palate-s3-")
	if err != nil {
		return "", nil, err
	}
	return filepath.Join(dir, "socket"), func() error { return os.RemoveAll(dir) }, nil
}

func newTransport(address string) *http.Transport {
	var dialer net.Dialer
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", address)
		},
		MaxIdleConnsPerHost: 64,
		DisableCompression:  true,
		WriteBufferSize:     64 << 10,
		ReadBufferSize:      64 << 10,
	}
}

// answers waits for the first answer. Until versitygw is in its accept loop it cannot be shut down, and its listening hook runs shortly before that.
func answers(upstream http.RoundTripper) error {
	r, err := http.NewRequest(http.MethodGet, "http://s3/", nil)
	if err != nil {
		return err
	}
	answer, err := upstream.RoundTrip(r)
	if err != nil {
		return err
	}
	return answer.Body.Close()
}

// closers undo what has been opened, last first.
type closers []func() error

func (c *closers) add(f func() error) { *c = append(*c, f) }

func (c *closers) run() error {
	var errs []error
	for i := len(*c) - 1; i >= 0; i-- {
		errs = append(errs, (*c)[i]())
	}
	*c = nil
	return errors.Join(errs...)
}
