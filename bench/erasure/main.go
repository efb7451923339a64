// Command erasure measures a data deletion job from end to end, as a client sees it: the real binary, the embedded S3, interactions imported and models trained one
// after the other, then a list of one per cent of the users. It prints the seconds of each step of the job beside those of the import and of the trainings in the same
// run, and the processor time of the server.
//
//	go run ./bench/erasure -rows 5000000 -recipes aws-popularity-count
//	go run ./bench/erasure -rows 1000000 -users 6000 -items 4000  # a group with six models
//
// A recipe that is named twice is trained twice: two versions of one solution.
package main

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/palate-dev/palate/bench/internal/target"
	"github.com/palate-dev/palate/internal/blob"
)

const schema = `{"type":"record","name":"Interactions","namespace":"com.amazonaws.personalize.schema","version":"1.0","fields":[
	{"name":"USER_ID","type":"string"},{"name":"ITEM_ID","type":"string"},{"name":"TIMESTAMP","type":"long"},{"name":"EVENT_TYPE","type":"string"}]}`

// group is what a shop may have trained: two versions of one solution, and a solution of each other kind.
const group = "aws-user-personalization-v2,aws-user-personalization-v2,aws-personalized-ranking-v2,aws-sims,aws-similar-items,aws-popularity-count"

func main() {
	rows := flag.Int("rows", 5_000_000, "interactions to generate")
	users := flag.Int("users", 0, "users to generate; 0: one for 20 interactions")
	items := flag.Int("items", 0, "items to generate; 0: one for 100 interactions")
	recipes := flag.String("recipes", group, "recipes of the models, in the order in which they are trained")
	flag.Parse()
	b := bench{rows: *rows, users: *users, items: *items, recipes: strings.Split(*recipes, ",")}
	if b.users == 0 {
		b.users = max(b.rows/20, 100)
	}
	if b.items == 0 {
		b.items = max(b.rows/100, 100)
	}
	if err := b.run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

type m = target.Object

type bench struct {
	rows, users, items int
	recipes            []string

	server *target.Server
	log    bytes.Buffer // of the server
}

func (b *bench) run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "bench-erasure-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	palate, err := target.Build(dir)
	if err != nil {
		return err
	}
	if b.server, err = target.StartLogged(&b.log, palate, filepath.Join(dir, "data")); err != nil {
		return err
	}
	defer b.server.Stop()
	if err := b.upload(ctx); err != nil {
		return err
	}
	fmt.Printf("%d rows, %d users, %d of them deleted, %d items; %d cores, %s\n\n| what | elapsed s | CPU s |\n|---|---|---|\n", b.rows, b.users, (b.users+99)/100, b.items, runtime.NumCPU(), runtime.Version())
	return b.measure()
}

// upload puts the interactions and the list of users into the embedded S3.
func (b *bench) upload(ctx context.Context) error {
	bucket, err := b.server.Bucket("bench")
	if err != nil {
		return err
	}
	if err := bucket.Create(ctx, "interactions.csv", b.generate(), blob.PutOptions{}); err != nil {
		return err
	}
	list := "USER_ID\n"
	for u := 0; u < b.users; u += 100 {
		list += userID(u) + "\n"
	}
	return bucket.Create(ctx, "list.csv", strings.NewReader(list), blob.PutOptions{})
}

// measure imports, trains and deletes.
func (b *bench) measure() error {
	made := map[string]string{}
	create := func(name, noun string, in m) (err error) {
		made[name], err = b.server.Make(noun, in)
		return err
	}
	if err := create("group", "datasetGroup", m{"name": "bench"}); err != nil {
		return err
	}
	if err := create("schema", "schema", m{"name": "bench", "schema": schema}); err != nil {
		return err
	}
	if err := create("dataset", "dataset", m{"name": "bench", "datasetType": "Interactions", "schemaArn": made["schema"], "datasetGroupArn": made["group"]}); err != nil {
		return err
	}
	if _, _, err := b.timed("import", "datasetImportJob", m{"jobName": "bench", "datasetArn": made["dataset"], "roleArn": target.Role,
		"dataSource": m{"dataLocation": "s3://bench/interactions.csv"}}); err != nil {
		return err
	}
	trained, trainedCPU := 0.0, 0.0
	for _, recipe := range b.recipes {
		if made[recipe] == "" {
			if err := create(recipe, "solution", m{"name": recipe, "datasetGroupArn": made["group"], "recipeArn": "arn:aws:personalize:::recipe/" + recipe, "performAutoTraining": false}); err != nil {
				return err
			}
		}
		took, cpu, err := b.timed("training, "+recipe, "solutionVersion", m{"solutionArn": made[recipe]})
		if err != nil {
			return err
		}
		trained, trainedCPU = trained+took, trainedCPU+cpu
	}
	took, cpu, err := b.timed("deletion, end to end", "dataDeletionJob", m{"jobName": "bench", "datasetGroupArn": made["group"], "roleArn": target.Role,
		"dataSource": m{"dataLocation": "s3://bench/list.csv"}})
	if err != nil {
		return err
	}
	fmt.Printf("| - by all trainings | %.2f | %.2f |\n", took/trained, cpu/trainedCPU)
	for _, step := range steps.FindAllStringSubmatch(b.log.String(), -1) {
		took, err := time.ParseDuration(step[2])
		if err != nil {
			return err
		}
		fmt.Printf("| - %s | %.2f | |\n", step[1], took.Seconds())
		if step[1] == "rebuild" {
			fmt.Printf("| - rebuild, by all trainings | %.2f | |\n", took.Seconds()/trained)
		}
	}
	return nil
}

// timed makes a resource and prints what that took.
func (b *bench) timed(what, noun string, in m) (seconds, cpu float64, err error) {
	begun, before := time.Now(), b.server.CPU()
	_, err = b.server.Make(noun, in)
	seconds = time.Since(begun).Seconds()
	cpu = (b.server.CPU() - before).Seconds()
	fmt.Printf("| %s | %.2f | %.2f |\n", what, seconds, cpu)
	return seconds, cpu, err
}

// steps finds the durations of the job's steps in the server's log.
var steps = regexp.MustCompile(`steps\.(\w+)=(\S+)`)

func userID(u int) string { return fmt.Sprintf("user-%08d", u) }

// generate streams rows whose users and items follow power laws.
func (b *bench) generate() io.Reader {
	r, w := io.Pipe()
	go func() {
		out := bufio.NewWriterSize(w, 1<<20)
		random := rand.New(rand.NewPCG(1, 2))
		fmt.Fprintln(out, "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE")
		for i := range b.rows {
			user := (int(math.Pow(random.Float64(), 1.8)*float64(b.users)) * 7919) % b.users
			item := int(math.Pow(random.Float64(), 3) * float64(b.items))
			fmt.Fprintf(out, "%s,item-%07d,%d,view\n", userID(user), item, 1_700_000_000+i)
		}
		w.CloseWithError(out.Flush())
	}()
	return r
}
