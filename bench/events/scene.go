package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strings"

	"github.com/palate-dev/palate/bench/internal/target"
	"github.com/palate-dev/palate/internal/blob"
)

const schemaText = `{"type":"record","name":"Interactions","namespace":"com.amazonaws.personalize.schema","version":"1.0","fields":[
	{"name":"USER_ID","type":"string"},{"name":"ITEM_ID","type":"string"},{"name":"TIMESTAMP","type":"long"},{"name":"EVENT_TYPE","type":"string"},
	{"name":"EVENT_VALUE","type":["float","null"]},{"name":"DEVICE","type":["string","null"],"categorical":true}]}`

// scene is a dataset group with an event tracker.
type scene struct {
	t                        *target.Server
	group, dataset, tracking string
	objects                  blob.Store
	made                     int
	campaign                 string
}

func newScene(t *target.Server) (*scene, error) {
	s := &scene{t: t}
	var err error
	if s.objects, err = t.Bucket("bench"); err != nil {
		return nil, err
	}
	schema, err := t.Make("schema", target.Object{"name": "bench", "schema": schemaText})
	if err != nil {
		return nil, err
	}
	if s.group, err = t.Make("datasetGroup", target.Object{"name": "bench"}); err != nil {
		return nil, err
	}
	s.dataset, err = t.Make("dataset", target.Object{"name": "bench", "datasetType": "Interactions", "schemaArn": schema, "datasetGroupArn": s.group})
	if err != nil {
		return nil, err
	}
	out, err := t.Call("CreateEventTracker", target.Object{"name": "bench", "datasetGroupArn": s.group})
	if err != nil {
		return nil, err
	}
	s.tracking = out["trackingId"].(string)
	return s, t.Wait("eventTracker", out["eventTrackerArn"].(string))
}

func (s *scene) name(kind string) string {
	s.made++
	return fmt.Sprintf("%s-%d", kind, s.made)
}

const (
	distinctRequests = 4096
	catalogue        = 2_000 // items: what is measured are requests beside a training, and not the training
)

// events are prepared PutEvents calls of ten events of one user, whose sizes are like those of a shop: about 180 bytes an event.
func (s *scene) events() ([][]byte, error) {
	random := rand.New(rand.NewPCG(3, 4))
	requests := make([][]byte, distinctRequests)
	for n := range requests {
		list := make([]target.Object, 10)
		for i := range list {
			list[i] = target.Object{
				"eventId": fmt.Sprintf("event-%06d-%d", n, i), "eventType": "view", "itemId": itemID(random.IntN(catalogue)), "sentAt": 1_790_000_000 + n,
				"properties": `{"device":"phone","eventValue":` + fmt.Sprint(random.IntN(100)) + `}`,
			}
		}
		user := userID(random.IntN(200_000))
		request, err := s.t.Raw("/events", target.Object{"trackingId": s.tracking, "userId": user, "sessionId": "session-" + user, "eventList": list})
		if err != nil {
			return nil, err
		}
		requests[n] = request
	}
	return requests, nil
}

// asks are prepared GetRecommendations calls.
func (s *scene) asks() ([][]byte, error) {
	random := rand.New(rand.NewPCG(5, 6))
	requests := make([][]byte, distinctRequests)
	for n := range requests {
		request, err := s.t.Raw("/recommendations", target.Object{"campaignArn": s.campaign, "userId": userID(random.IntN(10_000))})
		if err != nil {
			return nil, err
		}
		requests[n] = request
	}
	return requests, nil
}

// upload generates rows interactions, about 45 bytes each, whose users and items follow power laws.
func (s *scene) upload(key string, rows int) error {
	r, w := io.Pipe()
	go func() { w.CloseWithError(interactions(w, rows)) }()
	return s.objects.Create(context.Background(), key, r, blob.PutOptions{})
}

func interactions(to io.Writer, rows int) error {
	w := bufio.NewWriterSize(to, 1<<20)
	random := rand.New(rand.NewPCG(1, 2))
	users := max(rows/20, 10)
	fmt.Fprintln(w, "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE,DEVICE")
	var line []byte
	for i := range rows {
		user, item := int(math.Pow(random.Float64(), 1.8)*float64(users)), int(math.Pow(random.Float64(), 3)*catalogue)
		line = append(append(line[:0], userID(user)...), ',')
		line = append(append(line, itemID(item)...), ',')
		line = fmt.Appendf(line, "%d,view,,phone\n", 1_700_000_000+int64(i)*60)
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	return w.Flush()
}

func userID(n int) string { return fmt.Sprintf("u-%012x", uint64(n+1)*0x9E3779B97F4A7C15>>16) }

func itemID(n int) string { return fmt.Sprintf("item-%07d", n) }

// beginImport starts a FULL import of an uploaded object.
func (s *scene) beginImport(key string) (arn string, err error) {
	return s.t.Begin("datasetImportJob", target.Object{"jobName": s.name("import"), "datasetArn": s.dataset, "roleArn": target.Role, "importMode": "FULL",
		"dataSource": target.Object{"dataLocation": "s3://bench/" + key}})
}

// beginErasure starts the deletion of one user in a hundred, whose rows stand in nearly every row group.
func (s *scene) beginErasure(users int) (arn string, err error) {
	list := []string{"USER_ID"}
	for n := s.made; n < users; n += 100 {
		list = append(list, userID(n))
	}
	key := s.name("forget") + ".csv"
	if err := s.objects.Create(context.Background(), key, strings.NewReader(strings.Join(list, "\n")+"\n"), blob.PutOptions{}); err != nil {
		return "", err
	}
	return s.t.Begin("dataDeletionJob", target.Object{"jobName": s.name("erase"), "datasetGroupArn": s.group, "roleArn": target.Role,
		"dataSource": target.Object{"dataLocation": "s3://bench/" + key}})
}

// deploy trains user-personalization-v2 on what the dataset holds and deploys it.
func (s *scene) deploy() error {
	solution, err := s.t.Make("solution", target.Object{"name": "bench", "datasetGroupArn": s.group, "performAutoTraining": false,
		"recipeArn": "arn:aws:personalize:::recipe/aws-user-personalization-v2"})
	if err != nil {
		return err
	}
	version, err := s.t.Make("solutionVersion", target.Object{"solutionArn": solution})
	if err != nil {
		return err
	}
	s.campaign, err = s.t.Make("campaign", target.Object{"name": "bench", "solutionVersionArn": version})
	return err
}
