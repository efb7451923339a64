package recipe

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/palate-dev/palate/internal/blob"
	"github.com/palate-dev/palate/internal/quota"
	"github.com/palate-dev/palate/internal/schema"
	"github.com/palate-dev/palate/internal/userset"
)

// Train trains cfg's recipe on the data and writes the model into dir, durably. What an interrupted attempt left in dir is destroyed first, so dir must not
// be a model in use. Progress may be nil.
//
// Data that cannot be trained on is a *DataError. A model that would leave less than blob.Reserve free on the disk is a *blob.RoomError; one by Retrain, which a
// deletion waits for, may take the last room.
func Train(ctx context.Context, d Data, cfg Config, lim quota.Limits, dir string, progress Progress) (*Manifest, error) {
	entry, err := trainable(cfg.Recipe)
	if err != nil {
		return nil, err
	}
	size := d.Size()
	if err := Fits(cfg, size, lim); err != nil {
		return nil, err
	}
	_, atOnce, err := plan(cfg, size, lim)
	if err != nil {
		return nil, err
	}
	admit := newAdmission(&cfg, entry)
	all := d.Events
	d.Events = admit.keep(all)
	in := newInput(&cfg, entry, admit, d)
	if slices.Contains(entry.Requires, schema.Interactions) {
		err = admit.check(all, in.ev, lim)
	} else {
		err = d.checkTexts()
	}
	if err != nil {
		return nil, err
	}
	if entry.Type == UserSegmentation {
		if err := checkSegments(entry.TrainedAs, d); err != nil {
			return nil, err
		}
	}
	return build(ctx, in, all.Seq, dir, blob.Reserve, atOnce, nil, progress)
}

// Retrain is Rebuild in one go.
func Retrain(ctx context.Context, from string, without *userset.Set, to string, progress Progress) (m *Manifest, touched bool, err error) {
	return Rebuild(ctx, from, without, to, Again{}, progress)
}

// Rebuild writes into to what Train would have written on the data of the model in from without some users. touched says whether any of them
// had been in it, or may have had a part in hyperparameters or in counts of fresh items that it took over, which it is without afterwards; if not, nothing is written and m is the manifest of from. The limits of data do not apply: an erasure may leave less than
// a training may start from, even nothing. A search goes on where again says that an earlier call left off, and what an equal model has learnt is copied.
func Rebuild(ctx context.Context, from string, without *userset.Set, to string, again Again, progress Progress) (m *Manifest, touched bool, err error) {
	old, err := Open(from)
	if err != nil {
		return nil, false, err
	}
	defer old.Close()
	cfg := old.manifest.Config
	if again.Hold != nil {
		release, err := again.Hold(cfg, old.size())
		if err != nil {
			return nil, false, err
		}
		defer release()
	}
	d, touched := old.trainedOn().Without(without)
	if cfg.Search != nil {
		search := *cfg.Search
		if search.Chosen != nil { // by data that may have held the users
			search.Chosen, touched = nil, true
		}
		search.Resume = again.Resume
		cfg.Search = &search
	}
	if cfg.Updated { // the counts of fresh items tell nothing of whom they come from
		cfg.Updated, touched = false, true
	}
	if !touched {
		return old.Manifest(), false, nil
	}
	entry, err := trainable(cfg.Recipe)
	if err != nil {
		return nil, false, err
	}
	admit := newAdmission(&cfg, entry)
	m, err = build(ctx, newInput(&cfg, entry, admit, d), old.manifest.Seq, to, 0, 1, &again, progress)
	return m, true, err
}

// Replay trains the model in from once more, from the input that it stores, into to: the manifest must have the same hash, but for one with fresh items, which
// is repeated without them.
func Replay(ctx context.Context, from, to string, progress Progress) (*Manifest, error) {
	old, err := Open(from)
	if err != nil {
		return nil, err
	}
	defer old.Close()
	cfg := old.manifest.Config
	cfg.Updated = false
	entry, err := trainable(cfg.Recipe)
	if err != nil {
		return nil, err
	}
	return build(ctx, newInput(&cfg, entry, newAdmission(&cfg, entry), old.trainedOn()), old.manifest.Seq, to, blob.Reserve, 1, nil, progress)
}

func trainable(name string) (*Entry, error) {
	entry, ok := Find(name)
	if !ok || !entry.Trainable {
		return nil, fmt.Errorf("recipe %q: %w", name, ErrNotTrainable)
	}
	return entry, nil
}

// build trains on an input and writes the model into dir, with so many bytes left free on the disk. Candidates of a search are tried atOnce at a time. again is
// nil for a training.
func build(ctx context.Context, in *input, seq int64, dir string, reserve int64, atOnce int, again *Again, progress Progress) (*Manifest, error) {
	if in.kept.Len() > math.MaxInt32 {
		return nil, dataErrorf("Dataset has more than %d interactions", math.MaxInt32)
	}
	progress = oneAtATime(progress)
	m := &Manifest{Format: format, Recipe: in.trainer, Config: *in.cfg, Seq: seq, Build: buildID()}
	m.Users, m.Items, m.Events = int64(len(in.kept.Users)), int64(len(in.items)), int64(in.kept.Len())
	m.Settings = map[string]float64{}
	w, err := createModel(dir, reserve)
	if err != nil {
		return nil, err
	}
	if w.input(in); w.err != nil {
		return nil, w.err
	}
	if again != nil {
		of, err := in.contentOf(m, w.arrays)
		if err != nil {
			return nil, err
		}
		if done, err := again.takeOver(of, m, w); err != nil {
			return nil, err
		} else if done {
			return m, w.commit(m)
		}
	}
	if in.trainer == personalizationV1 || in.trainer == personalizationV2 {
		if err := in.chooseOnce(ctx, again, m.Build, w.arrays, phased("choice", progress)); err != nil {
			return nil, err
		}
		in.compare()
	}
	switch s := in.cfg.Search; {
	case s == nil:
	case s.Chosen != nil:
		in = in.with(s.Chosen)
	default:
		of, err := digest(m, w.arrays)
		if err != nil {
			return nil, err
		}
		if m.Tuned, m.Metrics, err = in.search(ctx, s, of, atOnce, progress); err != nil {
			return nil, err
		}
		in = in.with(m.Tuned)
	}
	switch in.trainer {
	case popularityCount:
		err = in.trainPopularity(ctx, m, w, progress)
	case nextBestAction:
		err = in.trainActions(ctx, m, w, progress)
	case trendingNow:
		err = in.trainTrending(ctx, m, w, progress)
	case sims, similarItems:
		err = in.trainRelated(ctx, m, w, progress)
	case itemAffinity, attributeAffinity:
		err = in.trainAffinity(ctx, m, w, progress)
	case semanticSimilarity:
		err = in.trainSemantic(ctx, m, w, progress)
	case personalizationV1, personalizationV2:
		err = in.trainPersonalization(ctx, m, w, progress)
	default:
		err = fmt.Errorf("recipe %q: %w", in.trainer, ErrNotTrainable)
	}
	if err != nil {
		return nil, err
	}
	progress("writing", 0, 1)
	if err := w.commit(m); err != nil {
		return nil, err
	}
	progress("writing", 1, 1)
	return m, nil
}

// measured prefixes the phases of the training that is only for evaluation.
func measured(progress Progress) Progress { return phased("evaluation", progress) }

// phased prefixes the phases of a training that serves no requests.
func phased(purpose string, progress Progress) Progress {
	return func(phase string, done, total int64) { progress(purpose+": "+phase, done, total) }
}

// oneAtATime lets the workers of a training report one after the other. A nil report becomes one that does nothing.
func oneAtATime(report Progress) Progress {
	if report == nil {
		return func(string, int64, int64) {}
	}
	var turn sync.Mutex
	return func(phase string, done, total int64) {
		turn.Lock()
		defer turn.Unlock()
		report(phase, done, total)
	}
}
