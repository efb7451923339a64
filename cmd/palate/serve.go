package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/palate-dev/palate/internal/notify"
	"github.com/palate-dev/palate/internal/pace"
)

// config is everything that can be set. Each field is one flag of `palate serve`; secrets come from the environment or a file.
type config struct {
	Listen        string            // HOST:PORT to listen on; port 0 picks a free one
	Data          string            // directory for everything palate stores; made if absent
	Ledger        string            // directory that remembers deletions for restored backups; "" = none
	Strict        bool              // while a group forgets users, nobody in it is answered personally
	Limits        string            // "local" or "aws": which minimums and quotas apply
	Account       string            // the 12-digit account in ARNs and in sts get-caller-identity
	Region        string            // region of requests that do not name one
	S3Endpoint    string            // where jobs find buckets; "" = the embedded S3
	Credentials   map[string]string // access key -> secret; nil accepts any credentials, on loopback only
	S3AccessKey   string            // credentials of jobs at S3Endpoint
	S3SecretKey   string            //
	Hold          time.Duration     // least time that a resource stays in each transitional status
	Filtered      int               // how many of a user's newest events of a type filters look at
	Memory        byteSize          // what all trainings together may take; 0 is no limit
	RetrainPeriod time.Duration     // how often recommenders are trained again; 0 = never
	AutoTraining  bool              // whether solutions train on their schedule
	TrendRefresh  time.Duration     // how often trends are evaluated again; 0 = as often as their recipes say
	FirstTraining time.Duration     // from a solution's creation to its first training by schedule; 0: an hour
	UpdatePeriod  time.Duration     // between automatic updates of models; 0: none
	AnswerBytes   byteSize          // what the record of answers may take on disk; 0: none is kept
	AnswerAge     time.Duration     // and how long it goes back; 0: none is kept
	MetricsListen string            // HOST:PORT of /metrics, for itself; "" = on Listen, unless credentials are configured
	Webhook       string            // URL that is told of changes of status; "" = none is
	WebhookSecret []byte            // what the messages to it are signed with
	DrainDelay    time.Duration     // how long everything is served at shutdown while /readyz says no
	Drain         time.Duration     // how long requests under way may take to end at shutdown, after that
	Log           *slog.Logger
}

func (c *config) flags(fs *flag.FlagSet) {
	fs.StringVar(&c.Listen, "listen", "127.0.0.1:4725", "`HOST:PORT` to listen on")
	fs.StringVar(&c.Data, "data", "palate-data", "`DIR` that holds everything palate stores")
	fs.StringVar(&c.Ledger, "ledger", "", "`DIR` outside of --data that remembers data deletions, so that a restored backup forgets again before it serves")
	fs.BoolVar(&c.Strict, "strict-erasure", false, "while a data deletion runs, answer everybody of its dataset group without personalization")
	fs.StringVar(&c.Limits, "limits", "local", "`local` drops the service's minimums and quotas, `aws` enforces them all")
	fs.StringVar(&c.Account, "account-id", "000000000000", "12-digit `ACCOUNT` in ARNs")
	fs.StringVar(&c.Region, "region", "us-east-1", "`REGION` of requests that name none")
	fs.StringVar(&c.S3Endpoint, "s3-endpoint", "", "`URL` of the S3 that jobs read and write (default: the embedded S3)")
	fs.DurationVar(&c.Hold, "hold", 0, "hold every transitional status for at least this `DURATION`, so that clients can watch each")
	fs.IntVar(&c.Filtered, "filter-interactions", 100, "how many of a user's newest interactions of each event type filters look at, 1 to 100")
	c.Memory = defaultTrainingMemory()
	fs.Var(&c.Memory, "training-memory", "`SIZE` such as 4GiB or 500MiB that all trainings, and batch jobs for what they read beside their models, may take together; one that needs more fails at once, 0 is no limit; unless given, half of the machine's or container's")
	fs.DurationVar(&c.FirstTraining, "first-training", time.Hour, "from the creation of a solution to its first training by its schedule")
	fs.DurationVar(&c.UpdatePeriod, "update-period", 2*time.Hour, "how often deployed models admit new items, without training; 0: never")
	fs.DurationVar(&c.RetrainPeriod, "retrain-period", 7*24*time.Hour, "how often recommenders are fully trained again, counted from their creation; 0: never")
	fs.BoolVar(&c.AutoTraining, "auto-training", true, "create solution versions on the schedule of each solution")
	fs.DurationVar(&c.TrendRefresh, "trend-refresh", 0, "evaluate trends again, and make incremental updates, each `DURATION` in which data came (default: trend_discovery_frequency of each solution, 2h of vod-trending-now, 20m of incremental updates)")
	c.AnswerBytes = 256 << 20
	fs.Var(&c.AnswerBytes, "answers-size", "`SIZE` on disk of the record of what answers showed, by recommendationId, for impressions and attribution of later events; the oldest are forgotten, 0 keeps none")
	fs.DurationVar(&c.AnswerAge, "answers-age", 7*24*time.Hour, "how long the record of answers goes back at most; 0 keeps none")
	fs.StringVar(&c.MetricsListen, "metrics-listen", "", "`HOST:PORT` that answers /metrics (default: --listen answers it, but not where credentials are configured)")
	fs.StringVar(&c.Webhook, "webhook", "", "`URL` that is told of every change of the status of a resource, as a CloudEvent signed with PALATE_WEBHOOK_SECRET; https, or http on this machine")
	fs.DurationVar(&c.DrainDelay, "drain-delay", 0, "at shutdown, go on serving for this `DURATION` while /readyz answers 503, so that a proxy sends its requests elsewhere")
	fs.DurationVar(&c.Drain, "drain", 10*time.Second, "wait at most this `DURATION` for requests under way at shutdown")
}

var accountPattern = regexp.MustCompile(`^\d{12}$`)

// check completes the configuration and refuses a half-made one.
func (c *config) check() error {
	if c.Limits != "local" && c.Limits != "aws" {
		return fmt.Errorf("--limits must be local or aws, not %q", c.Limits)
	}
	if c.Filtered < 1 || c.Filtered > 100 {
		return fmt.Errorf("--filter-interactions must be between 1 and 100, not %d", c.Filtered)
	}
	if !accountPattern.MatchString(c.Account) {
		return fmt.Errorf("--account-id must be 12 digits, not %q", c.Account)
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("--listen must be HOST:PORT, not %q", c.Listen)
	}
	if c.Credentials == nil && !loopback(host) {
		return fmt.Errorf("refusing to listen on %s, which other machines can reach, with any credentials accepted: "+
			"set PALATE_ACCESS_KEY_ID and PALATE_SECRET_ACCESS_KEY, or --credentials FILE, or listen on 127.0.0.1", c.Listen)
	}
	if _, _, err := net.SplitHostPort(c.MetricsListen); err != nil && c.MetricsListen != "" {
		return fmt.Errorf("--metrics-listen must be HOST:PORT, not %q", c.MetricsListen)
	}
	if c.Webhook != "" {
		if err := notify.CheckURL(c.Webhook); err != nil {
			return fmt.Errorf("--webhook: %w", err)
		}
		if c.WebhookSecret == nil {
			return errors.New("--webhook needs PALATE_WEBHOOK_SECRET: whsec_ and 24 to 64 random bytes in base64")
		}
	}
	if c.TrendRefresh < 0 {
		return errors.New("--trend-refresh must not be negative")
	}
	if c.AnswerAge < 0 {
		return errors.New("--answers-age must not be negative")
	}
	if c.RetrainPeriod < 0 {
		return errors.New("--retrain-period must not be negative")
	}
	if c.DrainDelay < 0 || c.Drain < 0 {
		return errors.New("--drain-delay and --drain must not be negative")
	}
	if c.S3Endpoint != "" && (c.S3AccessKey == "") != (c.S3SecretKey == "") {
		return errors.New("--s3-endpoint needs both PALATE_S3_ACCESS_KEY_ID and PALATE_S3_SECRET_ACCESS_KEY, or neither")
	}
	return nil
}

// loopback reports whether host can be reached from this machine only. An empty host means every interface.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// secrets reads the secret of the webhook, and credentials from the environment and, if file is not "", from lines of "ACCESS_KEY SECRET_KEY".
func (c *config) secrets(file string) error {
	c.S3AccessKey, c.S3SecretKey = os.Getenv("PALATE_S3_ACCESS_KEY_ID"), os.Getenv("PALATE_S3_SECRET_ACCESS_KEY")
	key, secret := os.Getenv("PALATE_ACCESS_KEY_ID"), os.Getenv("PALATE_SECRET_ACCESS_KEY")
	if (key == "") != (secret == "") {
		return errors.New("PALATE_ACCESS_KEY_ID and PALATE_SECRET_ACCESS_KEY must be set together")
	}
	if key != "" {
		c.Credentials = map[string]string{key: secret}
	}
	if text := os.Getenv("PALATE_WEBHOOK_SECRET"); text != "" {
		secret, err := notify.ParseSecret(text)
		if err != nil {
			return fmt.Errorf("PALATE_WEBHOOK_SECRET: %w", err)
		}
		c.WebhookSecret = secret
	}
	if file == "" {
		return nil
	}
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("read --credentials: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) != 2 {
			return fmt.Errorf("%s line %d: want ACCESS_KEY SECRET_KEY", file, n)
		}
		if c.Credentials == nil {
			c.Credentials = map[string]string{}
		}
		c.Credentials[fields[0]] = fields[1]
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read --credentials: %w", err)
	}
	if c.Credentials == nil {
		return fmt.Errorf("%s holds no credentials", file)
	}
	return nil
}

func runServe(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var c config
	fs := flag.NewFlagSet("serve", flag.ContinueOnError)
	c.flags(fs)
	credentials := fs.String("credentials", "", "`FILE` with one \"ACCESS_KEY SECRET_KEY\" a line; required beyond loopback (or PALATE_ACCESS_KEY_ID and PALATE_SECRET_ACCESS_KEY)")
	verbose := fs.Bool("verbose", false, "log every request")
	format := fs.String("log-format", "text", "`FORMAT` of the log on stderr: text (key=value) or json, one object a line")
	if err := parse(fs, args, stderr); err != nil {
		return err
	}
	if err := c.secrets(*credentials); err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return err
	}
	var err error
	if c.Log, err = newLog(stderr, *format, *verbose); err != nil {
		return err
	}

	uuid.EnableRandPool() // ids are no secrets, and each answer has two
	if roomForThreads(os.ReadFile) {
		pace.Spare(spareThreads)
	}
	collectSeldom(systemMemory(os.ReadFile), c.Log)
	s, err := start(ctx, c)
	if err != nil {
		return err
	}
	banner(stdout, s, c)
	return s.wait(ctx)
}

// newLog is the server's log. What may stand in it is decided where it is written: resources, counts and durations, never what a client sent.
func newLog(w io.Writer, format string, verbose bool) (*slog.Logger, error) {
	o := &slog.HandlerOptions{Level: slog.LevelInfo}
	if verbose {
		o.Level = slog.LevelDebug
	}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return nil, fmt.Errorf("--log-format must be text or json, not %q", format)
}

func banner(w io.Writer, s *server, c config) {
	s3 := s.URL + " (embedded)"
	if c.S3Endpoint != "" {
		s3 = c.S3Endpoint
	}
	credentials, keys := "any (loopback only)", " AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any"
	if c.Credentials != nil {
		credentials, keys = "configured", ""
	}
	fmt.Fprintf(w, `palate %s

  Amazon Personalize, runtime and events  %s
  S3                                      %s
  health                                  %s/healthz  %s/readyz
  data                                    %s
  account %s, limits %s, credentials %s

  export AWS_ENDPOINT_URL=%s
  export AWS_DEFAULT_REGION=%s%s

`, version(), s.URL, s3, s.URL, s.URL, c.Data, c.Account, c.Limits, credentials, s.URL, c.Region, keys)
}
