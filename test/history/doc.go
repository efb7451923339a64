// Package history drives the real binary through random histories and compares what it answers with a plain model in memory. A history is a row of batches: calls
// that follow one another, with jobs that go on beside them, and kills between. A batch is right if some order of what its jobs do gives what was seen: an export
// sees the dataset at one moment, an import arrives at one and shows at another, a deletion cuts at one. The package has tests only.
package history
