// Command serve measures the runtime of the real binary over HTTP with wrk, a load generator that is not ours: recommendations of three catalogues, rankings, events
// beside recommendations, overload, model swaps under load, and the start of the server.
//
//	go run ./bench/serve                             # the table of docs/benchmarks.md
//	go run ./bench/serve -only filter -during 5s    # one case
//	go run ./bench/serve -data DIR                   # keeps what was generated and trained, and uses it the next time
//	go run ./bench/serve -plot docs                  # also latency against load, as serving.svg
//	go run ./bench/serve -only soak -soak 30m        # memory under load
//
// All data is generated, imported and trained by the product itself; users are random and requests signed. Beside the figures stand those of a plain net/http server
// that answers with as many bytes, in the same run. The load generator runs on the same cores as the server, on one thread.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"time"

	"github.com/palate-dev/palate/bench/internal/plot"
	"github.com/palate-dev/palate/bench/internal/target"
)

func main() {
	var b bench
	data := flag.String("data", "", "where to work and what to keep (default: a temporary directory)")
	binary := flag.String("palate", "", "the palate to run (default: built here)")
	only := flag.String("only", "", "run only the cases whose names match this regular expression")
	plain := flag.String("plain", "", "be the plain server that figures are compared with, and answer with the content of this file")
	flag.DurationVar(&b.during, "during", 8*time.Second, "how long each load is measured")
	flag.IntVar(&b.connections, "connections", 16, "connections of each load")
	flag.IntVar(&b.swaps, "swaps", 1000, "model swaps under load")
	flag.DurationVar(&b.soak, "soak", 0, "how long the case soak runs")
	flag.StringVar(&b.plot, "plot", "", "also measure latency against load, and write serving.svg into this directory")
	flag.Parse()
	err := func() error {
		if *plain != "" {
			body, err := os.ReadFile(*plain)
			if err != nil {
				return err
			}
			return target.Plain(body)
		}
		wanted, err := regexp.Compile(*only)
		if err != nil {
			return err
		}
		b.wanted = wanted.MatchString
		return b.run(*data, *binary)
	}()
	if err != nil {
		log.Fatal(err)
	}
}

type bench struct {
	during      time.Duration
	connections int
	swaps       int
	soak        time.Duration
	plot        string
	wanted      func(name string) bool

	binary, data string
	generator    *generator
	server       *target.Server
	shops        map[int]*shop
}

func (b *bench) run(dir, binary string) (err error) {
	tmp, err := os.MkdirTemp("", "bench-serve-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if b.generator, err = newGenerator(tmp); err != nil {
		return err
	}
	if b.binary = binary; binary == "" {
		if b.binary, err = target.Build(tmp); err != nil {
			return err
		}
	}
	if b.data = dir; dir == "" {
		b.data = filepath.Join(tmp, "data")
	}
	if err := b.start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.server.Stop()) }()
	fmt.Printf("%d cores, %s, %d connections, %v each\n\n", runtime.NumCPU(), runtime.Version(), b.connections, b.during)
	fmt.Println("| case | requests/s | p50 ms | p99 ms | p99.9 ms | server CPU µs a request | refused | target |\n|---|---|---|---|---|---|---|---|")
	for _, c := range []struct {
		name    string
		measure func(name string) error
	}{
		{"10 k items, 25 results", func(name string) error { return b.ask(name, 10_000, "recommend", (*shop).asks, "12,000/s, p99 10 ms") }},
		{"plain net/http answer", b.plainly},
		{"100 k items, filter on category and purchases", func(name string) error {
			return b.ask(name, 100_000, "recommend", (*shop).filteredAsks, "8,000/s, p99 15 ms")
		}},
		{"100 k items, 25 results", func(name string) error { return b.ask(name, 100_000, "recommend", (*shop).asks, "") }},
		{"1 M items, 25 results", func(name string) error {
			return b.ask(name, 1_000_000, "recommend", (*shop).asks, "5,000/s, p99 20 ms")
		}},
		{"GetPersonalizedRanking of 500 items", func(name string) error { return b.ask(name, 10_000, "rank", (*shop).rankings, "4,000/s") }},
		{"PutEvents of 1 event", b.events},
		{"overload", b.overload},
		{"swaps", b.swap},
		{"start with 1 M items", b.restart},
		{"soak", b.soaking},
	} {
		if b.wanted(c.name) {
			if err := c.measure(c.name); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	if b.plot != "" {
		return b.series()
	}
	return nil
}

func (b *bench) start() (err error) {
	b.server, err = target.Start(b.binary, b.data)
	if err == nil {
		b.shops = shops(b.server)
	}
	return err
}

// row prints what was measured of a load.
func row(name string, f figures, note string) {
	fmt.Printf("| %s | %.0f | %.2f | %.2f | %.2f | %.0f | %.0f | %s |\n", name, f.rate(), f.P50/1000, f.P99/1000, f.P999/1000, f.cost(), f.Statuses, note)
}

// recipes by what their campaigns are for.
var recipes = map[string]string{"recommend": "aws-user-personalization-v2", "rank": "aws-personalized-ranking-v2"}

// shop makes sure that a shop has what is asked of it.
func (b *bench) shop(items int, uses ...string) (*shop, error) {
	c := b.shops[items]
	if err := c.open(); err != nil {
		return nil, err
	}
	for _, use := range uses {
		if err := c.deploy(use, recipes[use]); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// ask measures requests of one kind.
func (b *bench) ask(name string, items int, use string, of func(*shop) ([][]byte, error), goal string) error {
	c, err := b.shop(items, use)
	if err != nil {
		return err
	}
	requests, err := of(c)
	if err != nil {
		return err
	}
	f, err := b.measure(load{requests: requests, connections: b.connections})
	if err != nil {
		return err
	}
	row(name, f, goal)
	return nil
}

// measure measures a load that must not meet errors.
func (b *bench) measure(l load) (figures, error) {
	f, err := b.generator.run(b.server, l, b.during)
	return f, errors.Join(err, f.clean())
}

// plainly measures a server that answers the same requests with the bytes of one answer.
func (b *bench) plainly(name string) error {
	c, err := b.shop(10_000)
	if err != nil {
		return err
	}
	request, err := c.s.Request("/recommendations", target.Object{"campaignArn": c.campaign("recommend"), "userId": userID(1), "numResults": 25})
	if err != nil {
		return err
	}
	answer, err := answerTo(request)
	if err != nil {
		return err
	}
	file := filepath.Join(b.generator.dir, "answer")
	if err := os.WriteFile(file, answer, 0o600); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	plain, err := target.Spawn(exec.Command(self, "-plain", file))
	if err != nil {
		return err
	}
	defer plain.Stop() // by a signal: its status says so
	requests, err := c.asks()
	if err != nil {
		return err
	}
	f, err := b.generator.run(plain, load{requests: requests, connections: b.connections}, b.during)
	if err := errors.Join(err, f.clean()); err != nil {
		return err
	}
	row(name, f, fmt.Sprintf("the limit; %d bytes", len(answer)))
	return nil
}

// answerTo sends a request and returns the answer, which must not be an error.
func answerTo(request *http.Request) ([]byte, error) {
	resp, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("answered %d: %s", resp.StatusCode, body)
	}
	return body, err
}

// events measures 1,000 recommendations a second, alone, then beside 5,000 PutEvents a second, then beside as many as go.
func (b *bench) events(name string) error {
	c, err := b.shop(10_000)
	if err != nil {
		return err
	}
	asks, err := c.asks()
	if err != nil {
		return err
	}
	puts, err := c.puts()
	if err != nil {
		return err
	}
	paced := load{requests: asks, connections: b.connections, rate: 1000}
	alone, err := b.measure(paced)
	if err != nil {
		return err
	}
	row("1,000 recommendations/s, alone", alone, "")
	for _, p := range []struct {
		load load
		goal string
	}{
		{load{requests: puts, connections: 64, rate: 5700}, "5,000/s"}, // of which the latency takes some
		{load{requests: puts, connections: b.connections}, "as many as go"},
	} {
		beside, err := b.generator.start(b.server, paced, warmUp+b.during+2*time.Second)
		if err != nil {
			return err
		}
		f, err := b.measure(p.load)
		asked, stopErr := beside.wait()
		if err := errors.Join(err, stopErr, asked.clean()); err != nil {
			return err
		}
		asked.cpu = 0 // is in the other row
		row(name+" beside 1,000 recommendations/s", f, p.goal+"; CPU of both")
		row("1,000 recommendations/s beside these", asked, fmt.Sprintf("p99 %.1f times that alone, at most 2", asked.P99/alone.P99))
	}
	return nil
}

// capacity is how many calls under way the server holds in any case, 128 a core, as cmd/palate sets it; it gives its best rate with far fewer.
func capacity() int { return 128 * max(runtime.NumCPU(), 2) }

// overload measures as many clients as the server holds calls, then twice and ten times as many. Who is refused comes again after 250 ms; SDKs wait half a second on
// average the first time, and longer later.
func (b *bench) overload(string) error {
	c, err := b.shop(10_000)
	if err != nil {
		return err
	}
	best := 0.0
	for _, times := range []int{1, 2, 10} {
		requests, err := c.asks()
		if err != nil {
			return err
		}
		f, err := b.generator.run(b.server, load{requests: requests, connections: times * capacity(), backoff: 250 * time.Millisecond}, b.during)
		if err != nil {
			return err
		}
		if f.Broken > 0 {
			return fmt.Errorf("%.0f of the clients got no answer", f.Broken)
		}
		best = max(best, f.rate())
		row(fmt.Sprintf("%d clients", times*capacity()), f, fmt.Sprintf("%.2f of the best rate", f.rate()/best))
	}
	return nil
}

// swap deploys two versions in turn while clients ask.
func (b *bench) swap(string) error {
	c, err := b.shop(10_000)
	if err != nil {
		return err
	}
	described, err := c.s.Call("DescribeCampaign", target.Object{"campaignArn": c.campaign("recommend")})
	if err != nil {
		return err
	}
	versions := []string{described["campaign"].(target.Object)["solutionVersionArn"].(string)}
	other, err := c.s.Make("solutionVersion", target.Object{"solutionArn": c.arn("solution", c.name+"-recommend")})
	if err != nil {
		return err
	}
	versions = append(versions, other)
	requests, err := c.asks()
	if err != nil {
		return err
	}
	before := c.s.CPU()
	clients, err := b.generator.start(b.server, load{requests: requests, connections: b.connections}, 14*time.Minute)
	if err != nil {
		return err
	}
	begin := time.Now()
	swapErr := func() error {
		for n := range b.swaps {
			if _, err := c.s.Call("UpdateCampaign", target.Object{"campaignArn": c.campaign("recommend"), "solutionVersionArn": versions[(n+1)%2]}); err != nil {
				return err
			}
			for {
				out, err := c.s.Call("DescribeCampaign", target.Object{"campaignArn": c.campaign("recommend")})
				if err != nil {
					return err
				}
				d := out["campaign"].(target.Object)
				if d["solutionVersionArn"] == versions[(n+1)%2] && d["status"] == "ACTIVE" {
					if u, _ := d["latestCampaignUpdate"].(target.Object); u == nil || u["status"] == "ACTIVE" {
						break
					}
				}
				time.Sleep(2 * time.Millisecond)
			}
		}
		return nil
	}()
	took := time.Since(begin)
	f, err := clients.stop()
	f.cpu = c.s.CPU() - before
	if err := errors.Join(err, swapErr, f.clean()); err != nil {
		return err
	}
	row(fmt.Sprintf("%d model swaps in %.0f s", b.swaps, took.Seconds()), f, "no error")
	return nil
}

// restart measures how long the server takes until it says that it is ready, and until its largest model answers.
func (b *bench) restart(name string) error {
	if _, err := b.shop(1_000_000); err != nil {
		return err
	}
	if err := b.server.Stop(); err != nil {
		return err
	}
	begin := time.Now()
	if err := b.start(); err != nil {
		return err
	}
	listening := time.Since(begin)
	for {
		resp, err := http.Get(b.server.URL + "/readyz")
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	ready := time.Since(begin)
	c := b.shops[1_000_000]
	request, err := c.s.Request("/recommendations", target.Object{"campaignArn": c.campaign("recommend"), "userId": userID(1)})
	if err != nil {
		return err
	}
	if _, err := answerTo(request); err != nil {
		return err
	}
	fmt.Printf("\n%s: listens after %.2f s, ready after %.2f s, the first recommendations after %.2f s, %.0f MB resident (target: 2 s)\n\n", name, listening.Seconds(), ready.Seconds(), time.Since(begin).Seconds(), b.server.Memory())
	return nil
}

// soaking measures memory under load.
func (b *bench) soaking(string) error {
	if b.soak == 0 {
		return nil
	}
	c, err := b.shop(100_000)
	if err != nil {
		return err
	}
	fmt.Println("\n| minutes | requests/s | p99 ms | resident MB |\n|---|---|---|---|")
	for begin := time.Now(); time.Since(begin) < b.soak; {
		requests, err := c.filteredAsks() // signed anew: a signature lives fifteen minutes
		if err != nil {
			return err
		}
		clients, err := b.generator.start(b.server, load{requests: requests, connections: b.connections}, time.Minute)
		if err != nil {
			return err
		}
		f, err := clients.wait()
		if err := errors.Join(err, f.clean()); err != nil {
			return err
		}
		fmt.Printf("| %.0f | %.0f | %.1f | %.0f |\n", time.Since(begin).Minutes(), f.rate(), f.P99/1000, b.server.Memory())
	}
	fmt.Println()
	return nil
}

// series measures latency while clients hold back to a share of the rate that is possible, and draws it.
func (b *bench) series() error {
	var lines []plot.Line
	for _, c := range []struct {
		name  string
		items int
		of    func(*shop) ([][]byte, error)
	}{{"10 k items", 10_000, (*shop).asks}, {"100 k items, filter", 100_000, (*shop).filteredAsks}, {"1 M items", 1_000_000, (*shop).asks}} {
		shop, err := b.shop(c.items)
		if err != nil {
			return err
		}
		requests, err := c.of(shop)
		if err != nil {
			return err
		}
		const clients = 64
		best, err := b.measure(load{requests: requests, connections: b.connections})
		if err != nil {
			return err
		}
		line := plot.Line{Name: "p99 ms, " + c.name}
		for _, share := range []float64{0.1, 0.2, 0.4, 0.6, 0.8, 0.9} {
			f, err := b.measure(load{requests: requests, connections: clients, rate: share * best.rate()})
			if err != nil {
				return err
			}
			row(fmt.Sprintf("%s, %.0f %% of the best rate", c.name, 100*share), f, "")
			line.X, line.Y = append(line.X, f.rate()), append(line.Y, f.P99/1000)
		}
		line.X, line.Y = append(line.X, best.rate()), append(line.Y, best.P99/1000)
		lines = append(lines, line)
	}
	return os.WriteFile(filepath.Join(b.plot, "serving.svg"), []byte(plot.Log("latency against load", "requests/s", lines)), 0o644)
}
