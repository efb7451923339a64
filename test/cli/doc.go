// Package cli tests the palate command as a person uses it. The package has tests only.
package cli
