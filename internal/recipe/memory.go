package recipe

import (
	"fmt"

	"github.com/palate-dev/palate/internal/dataset"
	"github.com/palate-dev/palate/internal/pace"
	"github.com/palate-dev/palate/internal/quota"
	"github.com/palate-dev/palate/internal/recipe/vec"
)

// The memory of a training is known before it begins. What grows with the data are arrays with so many bytes an event, a user and an item; the dense inverse grows
// with the square of the core. An estimate that is somewhat too high only makes a training wait for another one, one that is too low can end the process, so
// the sizes below are rounded up, and the heap is counted with the garbage that the collector lets stand.

// Size is what the memory of a training depends on.
type Size struct {
	Events, Users, Items int64
	Active               int64 // items with enough events for the core; at most Items
	Pairs, Longest       int64 // of events of the same user, of each the latest basketSize: of all users, and of the one with the most
	Met                  int64 // entries that rows may have: of each item rowEntries, and no more than there are events beside its own; 0, as Pairs, if nobody has counted
	Given                int64 // bytes of attributes
}

// Size of the data. It reads all events once.
func (d Data) Size() Size {
	acted := 0
	if d.Acted != nil {
		acted = d.Acted.Len()
	}
	s := sizeOf(d.Events, acted, d.Items, d.Users)
	s.Items += int64(len(d.Items.ids()))
	return s
}

// size is that of the data the model was trained on.
func (m *Model) size() Size {
	acted := 0
	if m.acts != nil {
		acted = len(m.acts.acted.Item)
	}
	ev := m.ev
	ev.Items = m.items
	s := sizeOf(&ev, acted, m.itemRows, m.userRows)
	if m.itemRows != nil {
		s.Given += textBytes(m.listed())
	}
	if m.userRows != nil {
		s.Given += textBytes(m.profiles.strings())
	}
	return s
}

func sizeOf(ev *dataset.Events, acted int, attributes ...*Attributes) Size {
	users := max(0, len(ev.Offsets)-1)
	s := Size{Events: int64(ev.Len()), Users: int64(users), Items: int64(len(ev.Items))}
	count, met := make([]int32, len(ev.Items)), make([]int64, len(ev.Items))
	for u := range users {
		n := ev.Offsets[u+1] - ev.Offsets[u]
		beside := min(n, basketSize)
		s.Pairs += n * beside
		s.Longest = max(s.Longest, n*beside)
		for _, i := range ev.Item[ev.Offsets[u]:ev.Offsets[u+1]] {
			if count[i]++; count[i] == activeCount {
				s.Active++
			}
			met[i] += beside
		}
	}
	for _, n := range met {
		s.Met += min(rowEntries, n)
	}
	s.Given = int64(acted) * actedEvent // an example of each event with an action, and what was known of its user
	for _, a := range attributes {
		s.Given += a.bytes()
	}
	return s
}

// bytes is about the memory that the attributes take.
func (a *Attributes) bytes() (n int64) {
	if a == nil {
		return 0
	}
	n = textBytes(a.IDs)
	for i := range a.Columns {
		c := &a.Columns[i]
		n += textBytes(c.Level) + textBytes(c.Text)
		n += 8*int64(len(c.Start)) + 4*int64(len(c.Cell)) + 8*int64(len(c.Number))
	}
	return n
}

func textBytes(list []string) (n int64) {
	const header = 16 // of a string
	for _, s := range list {
		n += header + int64(len(s))
	}
	return n
}

// activeCount is the fewest events of an item whose sums can stand out against the weakest λ.
const activeCount = 2

// Bytes of a training; see the types that are named.
const (
	base         = 64 << 20              // of what does not grow
	actedEvent   = 18 + 80 + 4*64 + 2*48 // the event, its example, tokens, cells of counts
	inputEvent   = 18 + 4                // dataset.Events, and the items' codes once more
	inputUser    = 64                    // an id with its header, its offset, and what is known of the user
	inputItem    = 128                   // an id with its header, counts, shares and ranks
	historyEvent = 24 + 4                // corpus and postings
	basketEvent  = 8 + 4                 // baskets and their postings
	holdingEvent = 4 + 4                 // who has which item, and their values
	entryBytes   = 4 + 4                 // an entry of a row
	vectorBytes  = 6                     // of what is made of a byte of attributes: a block, its place in the vectors, and the index
	coldEntry    = 3 * (4 + 4)           // a neighbour of an item, as found, as kept and turned
	tasteEvent   = 4 * (4 + 4)           // entries of the rows of users' values, while they are selected
	fitRowSets   = 3                     // rows that are kept while a fit blends them
	tryRowSets   = 6                     // and while the data are asked for the best blend: both sides, a regression and a blend for the best and for a candidate
	unevenLot    = 2                     // how many times their share those may have who are asked, who are drawn by lot
	selecting    = 4                     // sets of rows that it takes to select the entries of one more: up to twice as many, with the room in which they grow, and the rows
	batchBytes   = 4 + 4                 // an entry of a batch
	meetingBytes = 8                     // and at most one meeting for each, without order
	workerItem   = 8 + 3*(4+4)           // a worker's sums
)

// Memory is the most bytes that training cfg's recipe on data of that size takes at a time, the data included. Candidates of a search are tried one after the other
// rather than to take more than the limits leave.
func Memory(cfg Config, s Size, lim quota.Limits) (int64, error) {
	need, _, err := plan(cfg, s, lim)
	return need, err
}

// plan is Memory, with how many candidates of a search are tried at the same time: no more than there are cores, nor than the limits have memory for.
func plan(cfg Config, s Size, lim quota.Limits) (need int64, atOnce int, err error) {
	entry, err := trainable(cfg.Recipe)
	if err != nil {
		return 0, 0, err
	}
	data, one := inputBytes(s), workBytes(cfg, entry, s)
	atOnce = 1
	if cfg.Search != nil {
		atOnce = max(1, min(cfg.Search.Parallel, cfg.Search.Trials, pace.Cores()))
	}
	for atOnce > 1 && lim.TrainingMemory > 0 && data+int64(atOnce)*one > lim.TrainingMemory {
		atOnce--
	}
	return data + int64(atOnce)*one, atOnce, nil
}

// inputBytes is what the data take and all that does not grow, with the garbage that the collector lets stand.
func inputBytes(s Size) int64 {
	heap := s.Events*inputEvent + s.Users*inputUser + s.Items*inputItem + s.Given
	return base + heap + heap/2
}

// workBytes is what one training takes beside the data, or the evaluation of one candidate.
func workBytes(cfg Config, entry *Entry, s Size) int64 {
	heap, outside := int64(pace.Cores())*s.Items*workerItem, int64(0)
	switch entry.TrainedAs {
	case popularityCount:
	case personalizationV1, personalizationV2:
		core := min(s.Active, coreSize, coreSets+s.Events/eventsSets) // with order it is smaller
		targets := min(s.Items, batchSets)
		entries := min(batchEntries, targets*core)
		if s.Pairs > 0 {
			entries = min(entries, s.Pairs)
		}
		dense := min(targets, entries*denseShare/max(1, core))
		outside = vec.InverseBytes(int(core)) + int64(pace.Cores())*panelBytes(core, dense)
		outside += entries*batchBytes + max(entries*meetingBytes, 4*min(targets*core, entries*denseShare)) // the columns, and meetings or the panels of dense groups
		if s.Given > 0 {
			heap += s.Given*vectorBytes + s.Items*int64(nearest(int(s.Items), coldEntries))*coldEntry + s.Events*tasteEvent
		}
		heap += s.Events*(historyEvent+basketEvent) + max(rowBytes(s, fitRowSets)*rowGrowth(cfg, entry), rowBytes(s.asked(), tryRowSets)) + (s.Users+s.Items)*int64(factorsFor(int(s.Users), int(s.Items)))*4
	case itemAffinity, attributeAffinity: // beside the input stand the one that is measured on and the one that the use of attributes is chosen on
		heap += s.Events*(2*inputEvent+historyEvent+basketEvent+holdingEvent) + rowBytes(s, 2) + s.Given*vectorBytes
	default:
		heap += s.Events*(historyEvent+2*basketEvent) + rowBytes(s, 1) + s.Given*vectorBytes
	}
	return heap + heap/2 + outside
}

// asked is the size of what choose asks, as far as rows go.
func (s Size) asked() Size {
	if most := unevenLot*s.Pairs*lotShare(s.Events, choiceSets)/lotWhole + s.Longest; s.Met > 0 {
		s.Met = min(s.Met, most)
	}
	return s
}

// rowBytes is what so many sets of rows take, and what it takes to select the entries of one more.
func rowBytes(s Size, sets int64) int64 {
	entries := s.Met
	if entries == 0 {
		full := min(s.Items, s.Active)
		entries = full*rowEntries + min((s.Items-full)*rowEntries, s.Events*2*reachDefault)
	}
	return (sets + selecting) * entries * entryBytes
}

// rowGrowth is how many times rowEntries a row of personalization may keep, rounded up.
func rowGrowth(cfg Config, entry *Entry) int64 {
	in := input{cfg: &cfg, entry: entry}
	return int64((in.keep() + rowEntries - 1) / rowEntries)
}

// panelBytes is what a worker needs to score with a core of that size and so many dense targets.
func panelBytes(core, dense int64) int64 {
	const tile = vec.TileRows * vec.TileCols
	return 4 * (unitPanels*(core*vec.TileCols+(dense/vec.TileRows+1)*tile) + core*vec.NarrowCols)
}

// Fits refuses, with a *DataError, a training on data of that size that takes more memory than the limits leave to all trainings together.
func Fits(cfg Config, s Size, lim quota.Limits) error {
	need, err := Memory(cfg, s, lim)
	if err != nil || lim.TrainingMemory == 0 || need <= lim.TrainingMemory {
		return err
	}
	what := fmt.Sprintf("%d interactions", s.Events)
	if s.Users > 0 {
		what += fmt.Sprintf(" of %d users with %d items", s.Users, s.Items)
	}
	return dataErrorf("Training on %s needs about %s of memory, but all trainings together may take %s. Start palate with a larger --training-memory, "+
		"or train on less.", what, SizeText(need), SizeText(lim.TrainingMemory))
}

// SizeText writes a number of bytes as people read it.
func SizeText(n int64) string {
	if n < 1<<30 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}
