// Package mainjob drives the main job of palate through the real binary: import, events, training, recommendations, export and deletion, whole and
// interrupted. The package has tests only.
package mainjob
