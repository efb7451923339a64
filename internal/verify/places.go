package verify

import (
	"slices"
	"strings"
)

// A Place is one kind of file, or of memory, that could hold a user id.
type Place struct {
	Name    string
	Pattern string // of slash-separated paths below the data directory: * is one name, ** any number; "" if the place is no file
	Eraser  string // what takes the users out
	Check   string // how verification makes sure of it

	look func(s *search, f file) error // nil: what the table below says under Check needs no look at single files
}

// places is the registry: whatever palate writes below its data directory is claimed by a row, and a row says who erases and how that is checked. A file that
// no row claims fails a deletion; a test fails when the registry has a row without a planted leak. The first row that matches counts.
var places = []Place{
	{"customers' buckets", "buckets/**", "nobody: they are the customer's", "not looked at", nil},
	{"attributes of objects in buckets", "buckets.meta/**", "nobody: they are the customer's", "not looked at", nil},
	{"lock file", "palate.lock", "nothing is ever written to it", "must be empty", (*search).emptyFile},
	{"metadata database", "meta.db", "no id ever enters it", "searched as bytes; so are its rows, but for words of the customer's own", (*search).database},
	{"metadata database, write-ahead log", "meta.db-wal", "no id ever enters it", "searched as bytes", (*search).database},
	{"metadata database, shared memory", "meta.db-shm", "no id ever enters it", "searched as bytes", (*search).database},
	{"unfinished file", "store/**/.tmp-*", "its writer, or the next start", "must go away while verification waits", nil},
	{"dropped dataset group", "store/groups/.dropped-*/**", "the job that drops it, or the next start", "belongs to no dataset group any more", nil},
	{"event log", "store/groups/*/log/*.log", "folded into the tables without the rows, then destroyed", "every record decoded", (*search).segment},
	{"tally of metrics", "store/groups/*/tally/sums.json", "knows no user; series of a source that is named like one, and windows of few events, are dropped", "every source compared and searched, but for ARNs", (*search).tally},
	{"table file", "store/groups/*/tables/*/data/*.parquet", "rewritten without the rows, then destroyed", "every dictionary and row group decoded, the rest searched as bytes", nil},
	{"table metadata", "store/groups/*/tables/*/metadata/*.metadata.json", "holds counts, never values; only the current one is kept", "every text searched; the only one", (*search).json},
	{"manifest", "store/groups/*/tables/*/metadata/*.avro", "holds counts, never values; only current ones are kept", "every text searched; no bounds; a current one", nil},
	{otherEngines, "store/groups/*/tables/*/incoming/**", "taken over and destroyed, or destroyed by the deletion's sweep", "every whole data file decoded, the rest searched as bytes", nil},
	{"staging", "store/groups/*/staging/*/**", "destroyed when its work ends, and at start; a deletion waits for imports older than its cut", "must belong to work in progress", nil},
	{"ended list", "store/groups/*/erasing/.ended-*/**", "the job that ends it, or the next start", "must go away while verification waits", nil},
	{"list of users", "store/groups/*/erasing/*/users", "destroyed as the deletion's last step", "must belong to a running deletion", nil},
	{"list of sessions", "store/groups/*/erasing/*/sessions", "destroyed as the deletion's last step", "must belong to a running deletion", nil},
	{"late-event filter", "store/groups/*/late/*", "keyed hashes; destroyed with their key when they expire", "searched as bytes; must not have expired", (*search).late},
	{"receipt", "receipts/*.json", "holds counts and hashes, never an id", "every text searched, but for ARNs", (*search).receipt},
	{"salt of a receipt", "receipts/*.salt", "taken by whoever asked for the deletion, or destroyed after 30 days", "searched as bytes", (*search).salt},
	{"signing key", "receipts/signing-key.pem", "holds a key", "searched as bytes", (*search).signingKey},
	{"unfinished receipt", "receipts/.tmp-*", "its writer, or the next receipt", "must go away while verification waits", nil},
	{"record of answers", "answers/*.shown", "knows no user; a deletion takes out the items of every answer of its group", "every record decoded: no items before the group was forgotten", (*search).shown},
	{"unfinished record of answers", "answers/.tmp-*", "its writer, or the next start", "must go away while verification waits", nil},
	{"model", "store/models/*/**", "trained again from its own input without the users, then destroyed", "every user id decoded, the rest searched as bytes", nil},
	{"streamed rows in memory", "", "dropped when the log is folded", "every row compared", nil},
	{"live events in memory", "", "dropped by the erasure", "every user compared", nil},
	{"imported events in memory", "", "dropped when a deletion hides its users, and none are kept while it runs", "every user compared", nil},
	{"records in memory", "", "built anew from the erased table", "every key compared", nil},
}

// Places returns the registry.
func Places() []Place { return slices.Clone(places) }

// Claimed tells whether a row of the registry has a file, given by its slash-separated path below the data directory.
func Claimed(path string) bool { return claim(path) != nil }

// claim finds the row of a path below the data directory.
func claim(path string) *Place {
	for i := range places {
		if places[i].Pattern != "" && matches(strings.Split(places[i].Pattern, "/"), strings.Split(path, "/")) {
			return &places[i]
		}
	}
	return nil
}

// mayHold tells whether the registry has files below a directory.
func mayHold(dir []string) bool {
	for _, p := range places {
		pattern := strings.Split(p.Pattern, "/")
		for n := range pattern {
			if pattern[n] == "**" && matches(pattern[:n+1], dir) || n+1 < len(pattern) && matches(pattern[:n+1], dir) {
				return true
			}
		}
	}
	return false
}

// matches compares a path with a pattern, name by name.
func matches(pattern, path []string) bool {
	for i, p := range pattern {
		if p == "**" {
			for skip := i; skip <= len(path); skip++ {
				if matches(pattern[i+1:], path[skip:]) {
					return true
				}
			}
			return false
		}
		if i == len(path) || !matchName(p, path[i]) {
			return false
		}
	}
	return len(path) == len(pattern)
}

// matchName knows one star.
func matchName(pattern, name string) bool {
	head, tail, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == name
	}
	if head == "" && strings.HasPrefix(name, ".") && !strings.HasPrefix(pattern, ".") {
		return false // hidden names stand in the registry by themselves
	}
	return len(name) >= len(head)+len(tail) && strings.HasPrefix(name, head) && strings.HasSuffix(name, tail)
}
