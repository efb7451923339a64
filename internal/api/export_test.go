package api

import "testing"

// ModelOperation is an operation as the reference has it, for tests outside the package.
type ModelOperation struct {
	Path  string
	Empty bool
}

// ModelOperations are the operations of each service, by name.
func ModelOperations(t *testing.T) map[string]map[string]ModelOperation {
	t.Helper()
	all := make(map[string]map[string]ModelOperation)
	for service, r := range readReference(t) {
		all[service] = r.operations()
	}
	return all
}
