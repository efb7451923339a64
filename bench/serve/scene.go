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

// shop is a generated catalogue and what people did with it, in a dataset group of its own. All its names follow from its size, so that a data directory that was
// kept is used again.
type shop struct {
	s                  *target.Server
	name               string
	items, users, rows int
	bare               bool // without an Items dataset, as a training would compare all items by their attributes, and with most events of the same few items, as it plans memory by the others
}

const (
	topicItems = 200 // items that go together
	categories = 50  // values of CATEGORY; the items of a topic share one
	purchases  = 8   // one event in so many is a purchase
)

const interactionsSchema = `{"type":"record","name":"Interactions","namespace":"com.amazonaws.personalize.schema","version":"1.0","fields":[
	{"name":"USER_ID","type":"string"},{"name":"ITEM_ID","type":"string"},{"name":"TIMESTAMP","type":"long"},{"name":"EVENT_TYPE","type":"string"}]}`

const itemsSchema = `{"type":"record","name":"Items","namespace":"com.amazonaws.personalize.schema","version":"1.0","fields":[
	{"name":"ITEM_ID","type":"string"},{"name":"CATEGORY","type":"string","categorical":true},{"name":"PRICE","type":"float"}]}`

// shops are the catalogues of the table.
func shops(s *target.Server) map[int]*shop {
	all := map[int]*shop{}
	for _, c := range []shop{
		{items: 10_000, users: 10_000, rows: 200_000},
		{items: 100_000, users: 50_000, rows: 1_000_000},
		{items: 1_000_000, users: 55_000, rows: 1_100_000, bare: true},
	} {
		c.s, c.name = s, fmt.Sprintf("items-%d", c.items)
		if c.bare {
			c.name += "-bare"
		}
		all[c.items] = &c
	}
	return all
}

func (c *shop) arn(kind, name string) string {
	return "arn:aws:personalize:us-east-1:000000000000:" + kind + "/" + name
}

// campaign is a campaign of the shop by the recipe that it is for.
func (c *shop) campaign(use string) string { return c.arn("campaign", c.name+"-"+use) }

// filter is the filter on category and purchased items.
func (c *shop) filter() string { return c.arn("filter", c.name) }

// exists reports whether something was made in an earlier run.
func (c *shop) exists(noun, arn string) bool {
	_, err := c.s.Call("Describe"+strings.ToUpper(noun[:1])+noun[1:], target.Object{noun + "Arn": arn})
	return err == nil
}

// open fills the shop, unless an earlier run did. What takes long comes first, and the campaigns last, so that a shop with its campaign is whole.
func (c *shop) open() error {
	group := c.arn("dataset-group", c.name)
	if c.exists("campaign", c.campaign("recommend")) {
		return nil
	}
	if c.exists("datasetGroup", group) { // what was left unfinished is not repaired
		return fmt.Errorf("an earlier run left the dataset group %s unfinished: use another directory", c.name)
	}
	bucket, err := c.s.Bucket(c.name)
	if err != nil {
		return err
	}
	if _, err := c.s.Make("datasetGroup", target.Object{"name": c.name}); err != nil {
		return err
	}
	for _, d := range []struct {
		kind, schema string
		rows         func(io.Writer) error
	}{{"Items", itemsSchema, c.catalogue}, {"Interactions", interactionsSchema, c.interactions}} {
		if c.bare && d.kind == "Items" {
			continue
		}
		r, w := io.Pipe()
		go func() { w.CloseWithError(d.rows(w)) }()
		if err := bucket.Create(context.Background(), d.kind+".csv", r, blob.PutOptions{}); err != nil {
			return err
		}
		schema, err := c.s.Make("schema", target.Object{"name": c.name + "-" + d.kind, "schema": d.schema})
		if err != nil {
			return err
		}
		dataset, err := c.s.Make("dataset", target.Object{"name": c.name + "-" + d.kind, "datasetType": d.kind, "schemaArn": schema, "datasetGroupArn": group})
		if err != nil {
			return err
		}
		if _, err := c.s.Make("datasetImportJob", target.Object{"jobName": c.name + "-" + d.kind, "datasetArn": dataset, "roleArn": target.Role, "importMode": "FULL",
			"dataSource": target.Object{"dataLocation": "s3://" + c.name + "/" + d.kind + ".csv"}}); err != nil {
			return err
		}
	}
	if !c.bare {
		if _, err := c.s.Make("filter", target.Object{"name": c.name, "datasetGroupArn": group,
			"filterExpression": `INCLUDE ItemID WHERE Items.CATEGORY IN ($CATEGORY) | EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("purchase")`}); err != nil {
			return err
		}
	}
	return c.deploy("recommend", recipes["recommend"])
}

// deploy trains a recipe and makes its campaign, unless it is there.
func (c *shop) deploy(use, recipe string) error {
	if c.exists("campaign", c.campaign(use)) {
		return nil
	}
	solution, err := c.s.Make("solution", target.Object{"name": c.name + "-" + use, "datasetGroupArn": c.arn("dataset-group", c.name), "performAutoTraining": false,
		"recipeArn": "arn:aws:personalize:::recipe/" + recipe})
	if err != nil {
		return err
	}
	version, err := c.s.Make("solutionVersion", target.Object{"solutionArn": solution})
	if err != nil {
		return err
	}
	_, err = c.s.Make("campaign", target.Object{"name": c.name + "-" + use, "solutionVersionArn": version})
	return err
}

func userID(n int) string { return fmt.Sprintf("user-%08d", n) }

func itemID(n int) string { return fmt.Sprintf("item-%07d", n) }

func category(topic int) string { return fmt.Sprintf("category-%02d", topic%categories) }

func (c *shop) catalogue(to io.Writer) error {
	w := bufio.NewWriterSize(to, 1<<20)
	fmt.Fprintln(w, "ITEM_ID,CATEGORY,PRICE")
	for i := range c.items {
		fmt.Fprintf(w, "%s,%s,%d.5\n", itemID(i), category(i/topicItems), i*7919%500)
	}
	return w.Flush()
}

// interactions draws rows in which users have a few topics each and like some of their items more than others. Every item occurs, however rarely: a model knows only
// those that do.
func (c *shop) interactions(to io.Writer) error {
	w := bufio.NewWriterSize(to, 1<<20)
	random := rand.New(rand.NewPCG(1, uint64(c.items)))
	topics, steepness := c.items/topicItems, 2.2
	if c.bare {
		steepness = 6
	}
	fmt.Fprintln(w, "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE")
	for n := range c.rows {
		var user, item int
		if n < c.items { // each item once, by somebody whose first topic it is of
			item = n
			user = (item/topicItems + topics*random.IntN(max(c.users/topics, 1))) % c.users
		} else {
			user = random.IntN(c.users)
			topic := (user + []int{0, 0, 7, 7 * 31}[random.IntN(4)]*(user/topics+1)) % topics
			item = topic*topicItems + int(math.Pow(random.Float64(), steepness)*topicItems)
		}
		kind := "view"
		if random.IntN(purchases) == 0 {
			kind = "purchase"
		}
		fmt.Fprintf(w, "%s,%s,%d,%s\n", userID(user), itemID(item), 1_700_000_000+n, kind)
	}
	return w.Flush()
}

// distinct is how many different requests a load has.
const distinct = 4096

// requests signs the requests of a load, each with a random user.
func (c *shop) requests(path string, of func(random *rand.Rand, user string) target.Object) ([][]byte, error) {
	random := rand.New(rand.NewPCG(3, 4))
	all := make([][]byte, distinct)
	for i := range all {
		var err error
		if all[i], err = c.s.Raw(path, of(random, userID(random.IntN(c.users)))); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// asks are GetRecommendations calls for 25 items.
func (c *shop) asks() ([][]byte, error) {
	return c.requests("/recommendations", func(_ *rand.Rand, user string) target.Object {
		return target.Object{"campaignArn": c.campaign("recommend"), "userId": user, "numResults": 25}
	})
}

// filteredAsks are the same of one category, without what the user purchased.
func (c *shop) filteredAsks() ([][]byte, error) {
	return c.requests("/recommendations", func(random *rand.Rand, user string) target.Object {
		return target.Object{"campaignArn": c.campaign("recommend"), "userId": user, "numResults": 25, "filterArn": c.filter(),
			"filterValues": target.Object{"CATEGORY": `"` + category(random.IntN(categories)) + `"`}}
	})
}

// rankings are GetPersonalizedRanking calls of 500 items.
func (c *shop) rankings() ([][]byte, error) {
	return c.requests("/personalize-ranking", func(random *rand.Rand, user string) target.Object {
		list := make([]string, 500)
		for i, n := range random.Perm(c.items)[:len(list)] {
			list[i] = itemID(n)
		}
		return target.Object{"campaignArn": c.campaign("rank"), "userId": user, "inputList": list}
	})
}

// puts are PutEvents calls of one event.
func (c *shop) puts() ([][]byte, error) {
	tracker, err := c.s.Call("ListEventTrackers", target.Object{"datasetGroupArn": c.arn("dataset-group", c.name)})
	if err != nil {
		return nil, err
	}
	var arn string
	if list, _ := tracker["eventTrackers"].([]any); len(list) > 0 {
		arn = list[0].(target.Object)["eventTrackerArn"].(string)
	} else if arn, err = c.s.Make("eventTracker", target.Object{"name": c.name, "datasetGroupArn": c.arn("dataset-group", c.name)}); err != nil {
		return nil, err
	}
	out, err := c.s.Call("DescribeEventTracker", target.Object{"eventTrackerArn": arn})
	if err != nil {
		return nil, err
	}
	tracking := out["eventTracker"].(target.Object)["trackingId"].(string)
	return c.requests("/events", func(random *rand.Rand, user string) target.Object {
		return target.Object{"trackingId": tracking, "userId": user, "sessionId": "session-" + user, "eventList": []target.Object{
			{"eventType": "view", "itemId": itemID(random.IntN(c.items)), "sentAt": 1_790_000_000 + random.IntN(1000)}}}
	})
}
