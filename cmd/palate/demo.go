package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/palate-dev/palate/internal/demo"
)

// runDemo starts a server of its own, on a free port and in a temporary directory, and goes through the whole main job with it.
func runDemo(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o := demo.Options{Out: stdout}
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.StringVar(&o.Interactions, "interactions", "", "CSV `FILE` with USER_ID, ITEM_ID, TIMESTAMP and more (default: the films in the binary)")
	flags.StringVar(&o.Items, "items", "", "CSV `FILE` with ITEM_ID and more")
	flags.StringVar(&o.Users, "users", "", "CSV `FILE` with USER_ID and more")
	flags.StringVar(&o.Files, "files", "", "write the files that the printed aws commands read to `DIR`")
	keep := flags.Bool("keep", false, "keep the data directory afterwards")
	if err := parse(flags, args, stderr); err != nil {
		return err
	}
	if o.Interactions == "" && (o.Items != "" || o.Users != "") {
		return errors.New("--items and --users need --interactions")
	}
	// The embedded S3 changes the working directory of the process, so what the user names relative to it is looked up now.
	for _, path := range []*string{&o.Interactions, &o.Items, &o.Users, &o.Files} {
		if *path == "" {
			continue
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp("", "palate-demo-")
	if err != nil {
		return err
	}
	if *keep {
		defer fmt.Fprintf(stdout, "The data is in %s: palate serve --data %s\n", dir, dir)
	} else {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	began := time.Now()
	s, err := start(ctx, config{
		Listen: "127.0.0.1:0", Data: dir, Limits: "local", Account: "000000000000", Region: "us-east-1", Drain: 5 * time.Second,
		Log: slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "palate %s serves Amazon Personalize and S3 at %s (started in %.2f s).\n",
		version(), s.URL, time.Since(began).Seconds())

	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.wait(running) }()
	o.Endpoint = s.URL
	err = demo.Run(ctx, o)
	stop()
	return errors.Join(err, <-ended)
}
