// Command erasure measures a data deletion job from end to end, as a client sees it: the real binary, the embedded S3, interactions imported and a model trained,
// then a list of one per cent of the users. It prints the seconds of each step of the job beside those of the import and of the training in the same run.
//
//	go run ./bench/erasure -palate ./palate -rows 5000000
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/palate-dev/palate/internal/blob"
)

const role = "arn:aws:iam::000000000000:role/palate"

const schema = `{"type":"record","name":"Interactions","namespace":"com.amazonaws.personalize.schema","version":"1.0","fields":[
	{"name":"USER_ID","type":"string"},{"name":"ITEM_ID","type":"string"},{"name":"TIMESTAMP","type":"long"},{"name":"EVENT_TYPE","type":"string"}]}`

func main() {
	rows := flag.Int("rows", 5_000_000, "interactions to generate")
	palate := flag.String("palate", "palate", "the binary to measure")
	recipe := flag.String("recipe", "aws-user-personalization", "recipe of the model")
	flag.Parse()
	if err := run(context.Background(), *palate, *recipe, *rows); err != nil {
		log.Fatal(err)
	}
}

type m = map[string]any

func run(ctx context.Context, palate, recipe string, rows int) error {
	dir, err := os.MkdirTemp("", "bench-erasure-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := serve(ctx, palate, filepath.Join(dir, "data"))
	if err != nil {
		return err
	}
	defer s.stop()
	bucket, err := blob.CreateBucket(ctx, blob.S3Config{Endpoint: s.url, Region: "us-east-1", AccessKey: "any", SecretKey: "any", PathStyle: true}, "bench")
	if err != nil {
		return err
	}
	users := max(rows/20, 100)
	if err := bucket.Create(ctx, "interactions.csv", generate(rows, users), blob.PutOptions{}); err != nil {
		return err
	}
	list := "USER_ID\n"
	for u := 0; u < users; u += 100 {
		list += userID(u) + "\n"
	}
	if err := bucket.Create(ctx, "list.csv", strings.NewReader(list), blob.PutOptions{}); err != nil {
		return err
	}
	fmt.Printf("%d rows, %d users, %d of them deleted, recipe %s; %d cores, %s\n\n", rows, users, (users+99)/100, recipe, runtime.NumCPU(), runtime.Version())

	group := s.make("CreateDatasetGroup", "datasetGroup", m{"name": "bench"})
	text := s.call("CreateSchema", m{"name": "bench", "schema": schema})["schemaArn"]
	set := s.make("CreateDataset", "dataset", m{"name": "bench", "datasetType": "Interactions", "schemaArn": text, "datasetGroupArn": group})
	timed := func(what string, f func()) {
		begun := time.Now()
		f()
		fmt.Printf("%-28s %7.2f s\n", what, time.Since(begun).Seconds())
	}
	timed("import", func() {
		s.make("CreateDatasetImportJob", "datasetImportJob", m{"jobName": "bench", "datasetArn": set, "roleArn": role, "dataSource": m{"dataLocation": "s3://bench/interactions.csv"}})
	})
	solution := s.make("CreateSolution", "solution", m{"name": "bench", "datasetGroupArn": group, "recipeArn": "arn:aws:personalize:::recipe/" + recipe, "performAutoTraining": false})
	timed("training", func() { s.make("CreateSolutionVersion", "solutionVersion", m{"solutionArn": solution}) })
	timed("deletion, end to end", func() {
		s.make("CreateDataDeletionJob", "dataDeletionJob", m{"jobName": "bench", "datasetGroupArn": group, "roleArn": role, "dataSource": m{"dataLocation": "s3://bench/list.csv"}})
	})
	if s.err != nil {
		return s.err
	}
	for _, step := range steps.FindAllStringSubmatch(s.log.String(), -1) {
		took, err := time.ParseDuration(step[2])
		if err != nil {
			return err
		}
		fmt.Printf("%-28s %7.2f s\n", "  "+step[1], took.Seconds())
	}
	return nil
}

// steps finds the durations of the job's steps in the server's log.
var steps = regexp.MustCompile(`steps\.(\w+)=(\S+)`)

func userID(u int) string { return fmt.Sprintf("user-%08d", u) }

// generate streams rows whose users and items follow power laws.
func generate(rows, users int) io.Reader {
	r, w := io.Pipe()
	go func() {
		out := bufio.NewWriterSize(w, 1<<20)
		random := rand.New(rand.NewPCG(1, 2))
		items := max(rows/100, 100)
		fmt.Fprintln(out, "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE")
		for i := range rows {
			user := (int(math.Pow(random.Float64(), 1.8)*float64(users)) * 7919) % users
			item := int(math.Pow(random.Float64(), 3) * float64(items))
			fmt.Fprintf(out, "%s,item-%07d,%d,view\n", userID(user), item, 1_700_000_000+i)
		}
		w.CloseWithError(out.Flush())
	}()
	return r
}

// server is a running palate. The first error stays in err; later calls do nothing.
type server struct {
	url string
	log bytes.Buffer
	cmd *exec.Cmd
	err error
}

func serve(ctx context.Context, palate, data string) (*server, error) {
	s := &server{cmd: exec.CommandContext(ctx, palate, "serve", "--listen", "127.0.0.1:0", "--data", data)}
	s.cmd.Stderr = &s.log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if _, url, ok := strings.Cut(lines.Text(), "export AWS_ENDPOINT_URL="); ok {
			s.url = url
			go io.Copy(io.Discard, out)
			return s, nil
		}
	}
	return nil, fmt.Errorf("palate did not start: %s", s.log.String())
}

func (s *server) stop() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

func (s *server) call(operation string, in m) (out m) {
	if s.err != nil {
		return m{}
	}
	body, err := json.Marshal(in)
	if err != nil {
		s.err = err
		return m{}
	}
	req, err := http.NewRequest(http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		s.err = err
		return m{}
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "AmazonPersonalize."+operation)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.err = err
		return m{}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", operation, text)
	}
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	s.err = err
	return out
}

// make creates a resource and waits until it is usable.
func (s *server) make(operation, noun string, in m) (arn string) {
	arn, _ = s.call(operation, in)[noun+"Arn"].(string)
	for s.err == nil {
		d, _ := s.call("Describe"+strings.ToUpper(noun[:1])+noun[1:], m{noun + "Arn": arn})[noun].(m)
		switch status, _ := d["status"].(string); {
		case status == "ACTIVE" || status == "COMPLETED":
			return arn
		case strings.HasSuffix(status, "FAILED"):
			s.err = fmt.Errorf("%s: %v", operation, d["failureReason"])
		}
		time.Sleep(20 * time.Millisecond)
	}
	return arn
}
