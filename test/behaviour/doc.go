// Package behaviour holds palate, as a running binary, to what the specification says about it beyond the main job: every dataset type, both domains, the
// service's limits, deletions in every order, and what happens when jobs meet. The package has tests only.
//
// Every server of these tests also is a trap: ids of users begin with "canary", and when the server ends none may stand in its log, in a message, in the
// metadata database or in the name of a file.
package behaviour
