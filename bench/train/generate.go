package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/palate-dev/palate/internal/dataset"
)

// shape is what a generated data set looks like.
type shape struct {
	name                 string
	events, users, items int
	fewest               int  // events of a user
	unordered            bool // all events at one time
	equal                bool // all users have the same events
}

// begun is the time of the first event; later ones are up to hours apart.
const begun = 1_600_000_000

// generate draws events with the structure that recommenders look for: items belong to topics, and within a topic their popularity follows a power law; a user has
// a few favourite topics; and half of the time the next item is one of a handful that often follow the last one. Nobody has an item twice unless there is
// no other. The same shape gives the same events.
func generate(s shape) *dataset.Events {
	random := rand.New(rand.NewPCG(uint64(s.events), uint64(s.items)))
	g := newWalker(s.items, random)
	ev := &dataset.Events{
		Types: []string{"view"}, Offsets: make([]int64, 1, s.users+1), Item: make([]int32, 0, s.events+s.users), Time: make([]int64, 0, s.events+s.users), Seq: int64(s.events),
	}
	lengths := historyLengths(s, random)
	for u, n := range lengths {
		ev.Users = append(ev.Users, fmt.Sprintf("user-%08d", u))
		from := len(ev.Item)
		if s.equal && u > 0 {
			ev.Item = append(ev.Item, ev.Item[:n]...)
			ev.Time = append(ev.Time, ev.Time[:n]...)
		} else {
			ev.Item = g.walk(ev.Item, u, n)
			at := int64(begun + random.IntN(86400*365))
			for range n {
				ev.Time = append(ev.Time, at)
				if !s.unordered {
					at += 1 + int64(random.ExpFloat64()*7200)
				}
			}
		}
		if s.unordered {
			for i := from; i < len(ev.Time); i++ {
				ev.Time[i] = begun
			}
			slices.Sort(ev.Item[from:])
		}
		ev.Offsets = append(ev.Offsets, int64(len(ev.Item)))
	}
	ev.Type = make([]uint16, len(ev.Item))
	ev.Value = slices.Repeat([]float32{float32(math.NaN())}, len(ev.Item))
	nameItems(ev, s.items)
	return ev
}

// nameItems names the items that occur and gives them the ranks of their names.
func nameItems(ev *dataset.Events, items int) {
	code := make([]int32, items)
	for _, i := range ev.Item {
		code[i] = 1
	}
	for i, used := range code {
		if used == 1 {
			code[i] = int32(len(ev.Items))
			ev.Items = append(ev.Items, fmt.Sprintf("item-%08d", i))
		}
	}
	for at, i := range ev.Item {
		ev.Item[at] = code[i]
	}
}

// historyLengths draws how many events each user has, log-normal above the fewest, with the shape's sum.
func historyLengths(s shape, random *rand.Rand) []int {
	draws, sum := make([]float64, s.users), 0.0
	for u := range draws {
		draws[u] = math.Exp(random.NormFloat64())
		if s.equal {
			draws[u] = 1
		}
		sum += draws[u]
	}
	lengths := make([]int, s.users)
	spare := float64(s.events - s.users*s.fewest)
	left := s.events
	for u, d := range draws {
		lengths[u] = s.fewest + int(d/sum*spare)
		left -= lengths[u]
	}
	for u := 0; left > 0 && !s.equal; u = (u + 1) % s.users {
		lengths[u]++
		left--
	}
	return lengths
}

const (
	topicItems = 200 // mean items of a topic
	favourites = 4   // topics of a user
	successors = 8   // items that often follow another
	follows    = 50  // percent of events that follow the one before
)

// walker draws histories.
type walker struct {
	random *rand.Rand
	topics [][]int32 // items by topic, the popular ones first
	topic  []int32   // of each item
	place  []int32   // of each item in its topic
	seen   []int32   // 1 + the last user who had the item
}

func newWalker(items int, random *rand.Rand) *walker {
	g := &walker{random: random, topics: make([][]int32, max(1, items/topicItems)), topic: make([]int32, items), place: make([]int32, items), seen: make([]int32, items)}
	for _, i := range random.Perm(items) {
		t := random.IntN(len(g.topics))
		g.topic[i], g.place[i] = int32(t), int32(len(g.topics[t]))
		g.topics[t] = append(g.topics[t], int32(i))
	}
	g.topics = slices.DeleteFunc(g.topics, func(t []int32) bool { return len(t) == 0 })
	for t, list := range g.topics {
		for _, i := range list {
			g.topic[i] = int32(t)
		}
	}
	return g
}

// walk appends n items of user u.
func (g *walker) walk(items []int32, u, n int) []int32 {
	var mine [favourites]int
	for k := range mine {
		mine[k] = int(math.Pow(g.random.Float64(), 1.5) * float64(len(g.topics)))
	}
	last := int32(-1)
	for range n {
		item := last
		for try := 0; try < 20 && (item < 0 || g.seen[item] == int32(u)+1); try++ {
			item = g.next(last, mine[g.random.IntN(favourites)], try)
		}
		g.seen[item] = int32(u) + 1
		items = append(items, item)
		last = item
	}
	return items
}

// next draws an item: one that follows the last, or one of the topic, or, after some tries, any.
func (g *walker) next(last int32, topic, try int) int32 {
	if last >= 0 && try < 3 && g.random.IntN(100) < follows {
		list := g.topics[g.topic[last]]
		return list[(int(g.place[last])*7+1+g.random.IntN(successors))%len(list)]
	}
	if try > 8 {
		topic = g.random.IntN(len(g.topics))
	}
	list := g.topics[topic]
	return list[int(math.Pow(g.random.Float64(), 2.2)*float64(len(list)))]
}
